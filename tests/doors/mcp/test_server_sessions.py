"""Many sessions at once, and sessions whose clients are never heard of again."""

from __future__ import annotations

import os
from typing import Any

import anyio
import httpx2
import pytest
from starlette.applications import Starlette

from chomp_mcp.app import Chomp
from chomp_mcp.doors.mcp.server import build_server, mcp_routes
from tests.support.serving import Served, settings_for

pytestmark = pytest.mark.anyio

MANY = int(os.environ.get("CHOMP_TEST_SESSIONS", "100"))
"""For each of them the SDK makes a task, a stream and a server of its own; 300 take five seconds of CPU."""
HEADERS = {"accept": "application/json, text/event-stream", "content-type": "application/json"}
HELLO = {
    "protocolVersion": "2025-11-25",
    "capabilities": {},
    "clientInfo": {"name": "one of many", "version": "1"},
}


async def send(http: httpx2.AsyncClient, method: str, params: dict[str, Any], session: str = "") -> httpx2.Response:
    body: dict[str, Any] = {"jsonrpc": "2.0", "method": method, "params": params}
    if not method.startswith("notifications/"):
        body["id"] = 1
    headers = {**HEADERS, **({"mcp-session-id": session} if session else {})}
    return await http.post("/mcp", json=body, headers=headers)


async def opened(http: httpx2.AsyncClient) -> str:
    """A session's id."""
    answer = await send(http, "initialize", HELLO)
    session = answer.headers["mcp-session-id"]
    await send(http, "notifications/initialized", {}, session)
    return session


async def test_a_crowd_of_sessions_is_served_side_by_side(gateway: Served) -> None:
    answers: list[str] = []
    async with httpx2.AsyncClient(base_url=gateway.url, timeout=60, trust_env=False) as http:

        async def one(number: int) -> None:
            session = await opened(http)
            asked = {"name": "ask", "arguments": {"prompt": f"number {number}", "model": "mock/echo"}}
            answers.append((await send(http, "tools/call", asked, session)).text)

        with anyio.fail_after(50):
            async with anyio.create_task_group() as tasks:
                for number in range(MANY):
                    tasks.start_soon(one, number)
    assert len(answers) == MANY
    assert all(any(f'"number {number}"' in answer for answer in answers) for number in range(MANY))


async def test_a_session_whose_client_vanished_is_cleaned_up(home) -> None:
    settings = settings_for(home)
    async with Chomp(settings) as chomp:
        routes, manager = mcp_routes(build_server(chomp))
        manager.session_idle_timeout = 0.2
        app = Starlette(routes=routes)
        transport = httpx2.ASGITransport(app)
        async with manager.run(), httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080") as http:
            session = await opened(http)
            with anyio.fail_after(5):
                while manager._server_instances:
                    await anyio.lowlevel.checkpoint()
            assert (await send(http, "tools/list", {}, session)).status_code == 404
