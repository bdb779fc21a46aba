"""MCP is loaded behind the first answers: what comes meanwhile, what goes wrong, and how it ends."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import anyio
import httpx2
import pytest
from mcp.server.mcpserver import MCPServer
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from starlette.applications import Starlette
from starlette.routing import BaseRoute

from chomp_mcp.doors.mcp.lazy import LateMcp
from chomp_mcp.doors.mcp.server import mcp_routes

pytestmark = pytest.mark.anyio

HELLO = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "early", "version": "1"}},
}
HEADERS = {"accept": "application/json, text/event-stream"}


class Loading:
    """A load that takes until `may_end`; the first fails where an error is given."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.has_begun = anyio.Event()
        self.may_end = anyio.Event()

    async def __call__(self) -> tuple[Sequence[BaseRoute], StreamableHTTPSessionManager]:
        self.has_begun.set()
        await self.may_end.wait()
        if self.errors:
            raise self.errors.pop()
        return mcp_routes(MCPServer("late"), no_sessions="this is a test; wait")


@asynccontextmanager
async def client_of(late: LateMcp) -> AsyncIterator[httpx2.AsyncClient]:
    transport = httpx2.ASGITransport(Starlette(routes=late.routes()))
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080", headers=HEADERS) as http:
        yield http


def test_the_http_app_is_there_without_the_sdk() -> None:
    code = "import sys, chomp_mcp.doors.http.app; print([name for name in ('mcp', 'pydantic') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=50)
    assert done.stdout == "[]\n"


async def test_it_loads_by_itself_after_a_while() -> None:
    loading = Loading()
    async with LateMcp(loading, quiet_seconds=0).run():
        with anyio.fail_after(5):
            await loading.has_begun.wait()


async def test_a_request_makes_it_load_and_waits_for_it() -> None:
    loading = Loading()
    late = LateMcp(loading, quiet_seconds=3600)
    answers: list[httpx2.Response] = []
    async with late.run(), client_of(late) as http:

        async def ask() -> None:
            answers.append(await http.post("/mcp", json=HELLO))

        with anyio.fail_after(5):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(ask)
                await loading.has_begun.wait()
                assert not answers
                loading.may_end.set()
        assert (answers[0].status_code, (await http.post("/mcp", json=HELLO)).status_code) == (200, 200)


async def test_a_client_that_gives_up_takes_nothing_from_the_others() -> None:
    loading = Loading()
    late = LateMcp(loading, quiet_seconds=3600)
    async with late.run(), client_of(late) as http:
        with anyio.fail_after(5):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(http.post, "/mcp")
                await loading.has_begun.wait()
                tasks.cancel_scope.cancel()
            loading.may_end.set()
            assert (await http.post("/mcp", json=HELLO)).status_code == 200


async def test_it_can_end_while_it_loads() -> None:
    loading = Loading()
    with anyio.fail_after(5):
        async with LateMcp(loading, quiet_seconds=0).run():
            await loading.has_begun.wait()


async def test_what_goes_wrong_is_logged_and_told_and_the_next_request_tries_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    loading = Loading(ImportError("no such wheel"))
    loading.may_end.set()
    late = LateMcp(loading, quiet_seconds=3600)
    async with late.run(), client_of(late) as http:
        with anyio.fail_after(5):
            with pytest.raises(ImportError, match="no such wheel"):
                await http.post("/mcp", json=HELLO)
            assert caplog.text.count("MCP cannot be served") == 1
            assert (await http.post("/mcp", json=HELLO)).status_code == 200
