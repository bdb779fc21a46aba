"""Replicas as processes of their own, behind nginx: both generations of MCP, and one that is stopped under load."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.types import ElicitResult

from tests.cluster.balancer import balanced
from tests.cluster.replicas import MASTER_KEY
from tests.support.mcp_doors import agreeable, call
from tests.support.serving import process, url_of

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.timeout(240),
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="nginx and Redis as they run on Linux"),
]

CHAT = {"model": "mock/lorem?tokens=60", "messages": [{"role": "user", "content": "hi"}]}


async def test_mcp_of_both_generations_and_a_rolling_restart_behind_nginx(home: Path, redis_url: str, tmp_path: Path):
    environ = {
        "CHOMP_STORE": redis_url,
        "CHOMP_MASTER_KEY": MASTER_KEY,
        "GATEWAY_PORT": "0",
        "GATEWAY_RATE_RPS": "0",
        "OLLAMA_BASE_URL": "http://127.0.0.1:9",
    }
    async with AsyncExitStack() as stack:
        started = [await stack.enter_async_context(process(home / str(n), **environ)) for n in range(2)]
        urls = [await url_of(each) for each in started]
        url = await stack.enter_async_context(balanced(tmp_path / "nginx", urls))
        # A connection for each request, so that nginx deals them out in turn.
        limits = httpx2.Limits(max_keepalive_connections=0)
        http = await stack.enter_async_context(
            httpx2.AsyncClient(base_url=url, timeout=60, trust_env=False, limits=limits)
        )

        for mode in ("2026-07-28", "legacy"):
            connection = streamable_http_client(f"{url}/mcp", http_client=http)
            async with Client(connection, mode=mode, elicitation_callback=_types_a_key) as client:
                with anyio.fail_after(60):
                    assert len((await client.list_tools()).tools) == 6
                    for n in range(6):
                        assert (await call(client, "ask", prompt=f"{n}", model="mock/echo"))["text"] == f"{n}"
                    job = await call(client, "dispatch", prompt="later", model="mock/echo")
                    told = await call(client, "result", job_id=job["job_id"], wait_seconds=20)
                    assert (told["status"], told["text"]) == ("done", "later")
                    if mode != "legacy":  # the question comes from one replica, and its answer goes to another
                        answered = await call(client, "register_keys", router="groq")
                        assert answered["routers"] == {"groq": "gsk_…4f2a"}
        sse = await http.get("/sse")
        assert sse.status_code == 501
        assert "CHOMP_MCP_SESSIONS=1" in sse.json()["error"]["message"]

        seen = await _rolling_restart(stack, started, urls, http, home, environ)
        assert set(seen) == {200}, seen
        assert seen[200] > 20  # requests came all the while; how many is a matter of the machine


async def _types_a_key(context: Any, params: Any) -> ElicitResult:
    return await agreeable(context, params)


async def _rolling_restart(
    stack: AsyncExitStack,
    started: list[asyncio.subprocess.Process],
    urls: list[str],
    http: httpx2.AsyncClient,
    home: Path,
    environ: dict[str, str],
) -> Counter[int]:
    """What callers met while each replica was ended in turn and started anew on its port."""
    seen: Counter[int] = Counter()

    is_over = anyio.Event()

    async def caller() -> None:
        while not is_over.is_set():
            answer = await http.post("/v1/chat/completions", json=CHAT)
            seen[answer.status_code] += 1

    async with anyio.create_task_group() as tasks:
        for _ in range(8):
            tasks.start_soon(caller)
        for n, old in enumerate(started):
            old.send_signal(signal.SIGTERM)
            assert await old.wait() == 0
            port = urls[n].rpartition(":")[2]
            new = await stack.enter_async_context(process(home / str(n), **{**environ, "GATEWAY_PORT": port}))
            assert await url_of(new) == urls[n]
        is_over.set()
    return seen
