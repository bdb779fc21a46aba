"""MCP Inspector's command line against the product, over stdio, Streamable HTTP and SSE, in both protocol eras.

Inspector's exit codes: 0 done, 5 the tool answered with an error; any other is a failure of the connection.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

TOOLS = {"ask", "dispatch", "result", "list_models", "register_keys", "status"}
ASK = ("tools/call", "--tool-name", "ask", "--tool-args-json", '{"prompt": "hello", "model": "mock/echo"}')
UNKNOWN = ("tools/call", "--tool-name", "result", "--tool-args-json", '{"job_id": "job_0"}')
TOOL_ERROR = 5


@dataclass(frozen=True)
class Look:
    """One call of the Inspector, the exit code it must have, and what must be true of its JSON."""

    name: str
    method: tuple[str, ...]
    holds: Callable[[Any], bool]
    exit_code: int = 0


LOOKS = (
    Look("tools/list", ("tools/list",), lambda out: {tool["name"] for tool in out["tools"]} == TOOLS),
    Look("tools/list --strict", ("tools/list", "--strict"), bool),
    Look("ask", ASK, lambda out: out["structuredContent"]["text"] == "hello" and not out.get("isError")),
    Look("an unknown job", UNKNOWN, lambda out: out["isError"] and "job_0" in out["content"][0]["text"], TOOL_ERROR),
    Look("resources/list", ("resources/list",), lambda out: len(out["resources"]) > 0),
)


def main() -> int:
    with tempfile.TemporaryDirectory() as home:
        os.environ["CHOMP_HOME"] = home
        with served() as url:
            ways = {
                "stdio": ("chomp-mcp",),
                "http": ("--server-url", f"{url}/mcp", "--transport", "http"),
                "sse": ("--server-url", f"{url}/sse", "--transport", "sse"),
            }
            failures = [
                f"{way}, {era}, {look.name}: {why}"
                for way, target in ways.items()
                for era in ("legacy", "modern")
                for look in LOOKS
                if (why := failure(target, era, look))
            ]
            count = len(ways) * 2 * len(LOOKS)
    print("\n".join([*failures, f"{count - len(failures)} of {count} looks as they should be"]))
    return 1 if failures else 0


def failure(target: tuple[str, ...], era: str, look: Look) -> str:
    """Why the look is not as it should be, or nothing."""
    command = [
        "mcp-inspector",
        "--cli",
        "-q",
        *target,
        "--protocol-era",
        era,
        "--format",
        "json",
        "--method",
        *look.method,
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    told = f"exit code {done.returncode}: {(done.stderr or done.stdout).strip()[-300:]}"
    if done.returncode != look.exit_code:
        return told
    try:
        out = json.loads(done.stdout)
        return "" if look.holds(out.get("result", out)) else f"unexpected answer: {done.stdout.strip()[:300]}"
    except (ValueError, KeyError, TypeError) as error:
        return f"{error!r} in {done.stdout.strip()[:300]!r}"


@contextlib.contextmanager
def served() -> Iterator[str]:
    """The product, serving HTTP on a free port."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = subprocess.Popen(["chomp-mcp", "serve", "--port", str(port)], stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    try:
        wait_for(f"{url}/healthz")
        yield url
    finally:
        process.terminate()
        process.wait(30)


def wait_for(url: str) -> None:
    for _ in range(150):
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=1):
            return
        time.sleep(0.1)
    raise SystemExit(f"{url} does not answer")


if __name__ == "__main__":
    sys.exit(main())
