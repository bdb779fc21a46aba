"""What the real hosts sent, played again: does their model still read what it read when they were recorded?

`test_programs.py` records them. Over stdio the frames go in as they were; over HTTP those of the same era.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.hosts.recording import RECORDED, load
from tests.hosts.scenes import CALLS, SETTINGS, furnish, plain
from tests.support.serving import process, url_of

pytestmark = pytest.mark.anyio
HOSTS = sorted(path.stem for path in RECORDED.glob("*.json"))
SERVER = Path(sys.executable).parent / ("chomp-mcp.exe" if os.name == "nt" else "chomp-mcp")
Result = Mapping[str, Any]


def text(result: Result) -> str:
    return "\n".join(block["text"] for block in result["content"])


def structure_first(result: Result) -> str:
    """Claude Code and Codex give their model the structure, and only where there is none the text."""
    structure = result.get("structuredContent")
    return json.dumps(structure) if structure is not None and not result.get("isError") else text(result)


SHOWN: Mapping[str, Callable[[Result], str]] = {"claude": structure_first, "codex": structure_first, "opencode": text}
"""What of a result reaches the model, as it was seen in the real programs."""


def test_all_hosts_are_recorded():
    assert set(HOSTS) == set(SHOWN)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("host", HOSTS)
def test_over_stdio_a_hosts_model_reads_what_it_read(host, home, tmp_path):
    recorded = load(host)
    furnish(tmp_path / "work")
    calls = [frame for frame in recorded["sent"] if frame.get("method") == "tools/call"]
    with subprocess.Popen(
        [SERVER],
        cwd=tmp_path / "work",
        env={**os.environ, **SETTINGS},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as server:
        results = played(server, recorded["sent"])
    assert [frame["params"]["name"] for frame in calls] == [call.tool for call in CALLS]
    assert [plain(SHOWN[host](results[json.dumps(frame["id"])])) for frame in calls] == recorded["read"]


def played(server: subprocess.Popen[str], frames: list[dict[str, Any]]) -> dict[str, Result]:
    """Each frame of the host's, and the answer to it; what the server asks in between is refused. Id -> result."""
    results: dict[str, Result] = {}
    for frame in frames:
        write(server, frame)
        name = json.dumps(frame["id"]) if "id" in frame else ""
        while name and name not in results:
            told = json.loads(server.stdout.readline())
            if "method" not in told:
                results[json.dumps(told["id"])] = told.get("result", {})
            elif told["method"] == "roots/list":
                write(server, {"jsonrpc": "2.0", "id": told["id"], "result": {"roots": []}})
            elif "id" in told:
                error = {"code": -32601, "message": "not here"}
                write(server, {"jsonrpc": "2.0", "id": told["id"], "error": error})
    server.stdin.close()
    return results


def write(server: subprocess.Popen[str], frame: Mapping[str, Any]) -> None:
    server.stdin.write(json.dumps(frame) + "\n")
    server.stdin.flush()


@pytest.mark.timeout(120)
@pytest.mark.parametrize("host", HOSTS)
async def test_over_http_a_hosts_model_reads_text_and_files_are_refused(host, home):
    recorded = load(host)
    hello = next(frame for frame in recorded["sent"] if frame.get("method") == "initialize")
    calls = [frame for frame in recorded["sent"] if frame.get("method") == "tools/call"]
    async with process(home, "--port", "0", **SETTINGS) as served:
        url = f"{await url_of(served)}/mcp"
        async with httpx2.AsyncClient(trust_env=False, timeout=60) as http:
            headers = {"accept": "application/json, text/event-stream"}
            welcome = await http.post(url, json=hello, headers=headers)
            headers["mcp-session-id"] = welcome.headers["mcp-session-id"]
            headers["mcp-protocol-version"] = hello["params"]["protocolVersion"]
            await http.post(url, json={"jsonrpc": "2.0", "method": "notifications/initialized"}, headers=headers)
            read = [SHOWN[host](result_of((await http.post(url, json=frame, headers=headers)).text)) for frame in calls]
    assert [plain(answer) for answer in read[:4]] == recorded["read"][:4]
    assert all("no file of this machine" in answer for answer in read[4:])


def result_of(stream: str) -> Result:
    """The result among the events of an answer."""
    events = [json.loads(line.removeprefix("data:")) for line in stream.splitlines() if line.startswith("data:")]
    return next(event["result"] for event in events if "result" in event)
