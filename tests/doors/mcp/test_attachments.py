"""`files` and `save_to` over stdio and HTTP: roots, jobs, and a server of its own process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp import Client, StdioServerParameters
from mcp.types import ListRootsResult, Root

from chomp_mcp.doors.mcp.server import build_server
from tests.doors.files.asking import CLAUDE, ask, sent
from tests.support.mcp_doors import MODES, running, stdio, text_of
from tests.support.scripted import ScriptedRouter

pytestmark = pytest.mark.anyio


async def test_over_http_files_are_refused_with_the_reason(tmp_path: Path, upstream: ScriptedRouter) -> None:
    async with running(tmp_path, upstream) as chomp, Client(build_server(chomp)) as client:
        for arguments in ({"files": ["x"]}, {"save_to": "x"}):
            result = await client.call_tool("ask", {"prompt": "x", "router": "lab", **arguments})
            assert result.is_error
            assert "Over HTTP no file of this machine is read or written" in text_of(result)
    assert not upstream.chats


@pytest.mark.parametrize("mode", MODES)
async def test_the_clients_roots_are_the_allowed_folders(
    tmp_path: Path, project: Path, upstream: ScriptedRouter, mode: str
) -> None:
    async def roots(_context: Any) -> ListRootsResult:
        return ListRootsResult(roots=[Root(uri=(project / "src").as_uri())])  # type: ignore[arg-type]

    async with (
        running(tmp_path / "home", upstream) as chomp,
        Client(build_server(chomp, started_in=str(project)), mode=mode, list_roots_callback=roots) as client,
    ):
        assert not (await ask(client, "a.py")).is_error
        assert "print('a')" in sent(upstream)
        assert "outside of the allowed folders" in text_of(await ask(client, str(project / "README.md")))


def started_in(project: Path, server: StdioServerParameters) -> StdioServerParameters:
    return server.model_copy(update={"cwd": str(project)})


@pytest.mark.parametrize("mode", MODES)
async def test_a_dispatched_job_reads_and_saves_over_stdio(
    tmp_path: Path, project: Path, upstream: ScriptedRouter, mode: str
) -> None:
    upstream.answer("the answer\n" * 3)
    server = started_in(project, stdio(tmp_path / "home", upstream))
    async with Client(server, mode=mode, client_info=CLAUDE) as client:
        begun = await client.call_tool(
            "dispatch", {"prompt": "Why?", "router": "lab", "files": ["src/**"], "save_to": "out.md"}
        )
        assert begun.meta, text_of(begun)
        job_id = begun.meta["chomp/job"]["job_id"]
        result = await client.call_tool("result", {"job_id": job_id, "wait_seconds": 30})
    assert (project / "out.md").read_text() == "the answer\n" * 3
    assert text_of(result).startswith(f"Saved to {project / 'out.md'}: 33 bytes, 3 lines.")
    assert "print('b')" in sent(upstream)


async def test_what_goes_into_a_file_stays_out_of_the_conversation_also_while_it_runs(
    tmp_path: Path, project: Path, upstream: ScriptedRouter
) -> None:
    rest = anyio.Event()
    begun = "".join(f"line {number}\n" for number in range(2000))
    upstream.stream([begun, rest, "the end"])
    server = started_in(project, stdio(tmp_path / "home", upstream, CHOMP_DEADLINE_SECONDS="2"))
    async with Client(server) as client:
        result = await ask(client, save_to="out.md")
        assert text_of(result).startswith("Still running as job")
        assert f"To be saved to {project / 'out.md'}: {len(begun):,} bytes" in text_of(result)
        assert len(result.model_dump_json()) < 2000
        assert result.structured_content
        looked = await client.call_tool("result", {"job_id": result.structured_content["job_id"]})
        assert len(looked.model_dump_json()) < 2000
        rest.set()
        done = await client.call_tool("result", {"job_id": result.structured_content["job_id"], "wait_seconds": 30})
        assert text_of(done).startswith(f"Saved to {project / 'out.md'}: {len(begun) + 7:,} bytes")
    assert (project / "out.md").read_text() == begun + "the end"


async def test_an_ask_past_its_deadline_saves_at_its_end(
    tmp_path: Path, project: Path, upstream: ScriptedRouter
) -> None:
    rest = anyio.Event()
    upstream.stream(["Hello", rest, " world"])
    server = started_in(project, stdio(tmp_path / "home", upstream, CHOMP_DEADLINE_SECONDS="0.5"))
    async with Client(server) as client:
        result = await ask(client, save_to="out.md")
        assert text_of(result).startswith("Still running as job")
        rest.set()
        with anyio.fail_after(20):
            while not (project / "out.md").exists():  # noqa: ASYNC110 - another process writes it
                await anyio.sleep(0.05)
    assert (project / "out.md").read_text() == "Hello world"
