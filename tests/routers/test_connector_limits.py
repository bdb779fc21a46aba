"""What one router, and this machine, can have under way at once, and how quickly what is not wanted any more ends."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import sys
from pathlib import Path

import anyio
import pytest

from chomp_mcp.messages import FailureKind, WireRequest
from chomp_mcp.routers import connector
from chomp_mcp.routers.client import Client
from tests.dialects.asking import ask, failure
from tests.support.scripted import ScriptedRouter

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_proxies")]


def post(url: str, body: bytes = b"{}") -> WireRequest:
    return WireRequest("POST", f"{url}/chat/completions", {}, body)


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.fixture
async def narrow():
    """Two connections to each router."""
    client = Client(upstream_timeout=5, connections=2)
    yield client
    await client.close()


async def test_more_requests_than_connections_wait_for_their_turn(narrow, upstream):
    gate = anyio.Event()
    upstream.raw([b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n", gate, b"ok"], close=False)
    answers = []

    async def one() -> None:
        answers.append(await ask(narrow, post(upstream.url)))

    async with anyio.create_task_group() as tasks:
        for _ in range(6):
            tasks.start_soon(one)
        await upstream.saw_request(2)
        async with ScriptedRouter() as other:
            other.reply(200, b"another router is not held up")
            assert await ask(narrow, post(other.url)) == b"another router is not held up"
        assert len(upstream.requests) == 2
        gate.set()
    assert answers == [b"ok"] * 6
    assert upstream.connection_count == 2


async def test_whoever_waits_too_long_for_a_connection_is_told_so_and_the_router_not_blamed(
    narrow, upstream, monkeypatch
):
    monkeypatch.setattr(connector, "CONNECT_SECONDS", 0.1)
    upstream.hang(after=["a"])
    busy = [await narrow.send(post(upstream.url)) for _ in range(2)]
    error = await failure(narrow, post(upstream.url))
    assert (error.kind, error.message) == (
        FailureKind.LOCAL,
        f"2 requests to 127.0.0.1:{upstream.port} are under way, and none ended for 0.1 s.",
    )
    busy[0].close()
    upstream.reply(200, b"ok")
    assert await ask(narrow, post(upstream.url)) == b"ok"
    busy[1].close()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="counts open files in /proc")
async def test_a_machine_without_free_files_is_not_the_routers_failure(client, upstream):
    import resource

    await client.reachable(upstream.url)  # all is loaded
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (open_files() + 10, hard))
    fill: list[int] = []
    try:
        with contextlib.suppress(OSError):
            fill.extend(iter(lambda: os.dup(0), -1))
        error = await failure(client, post(upstream.url))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for each in fill:
            os.close(each)
    assert error.kind is FailureKind.LOCAL
    assert os.strerror(errno.EMFILE) in error.message


async def test_cancelling_hangs_up_on_a_router_behind_tls_at_once(client, self_signed, tmp_path, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
    async with ScriptedRouter(ssl_context=self_signed) as upstream:
        upstream.hang()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(client.send, post(upstream.url))
            await upstream.saw_request()
            tasks.cancel_scope.cancel()
        await upstream.saw_disconnect()
        upstream.hang(after=["a"])
        (await client.send(post(upstream.url))).close()
        await upstream.saw_disconnect(2)


async def test_cancelling_hangs_up_at_once_though_the_router_does_not_read(client):
    begun, over, ended = anyio.Event(), anyio.Event(), anyio.Event()
    received = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal received
        await reader.readexactly(1000)
        begun.set()
        await over.wait()
        with contextlib.suppress(OSError):
            while data := await reader.read(2**20):
                received += len(data)
        writer.close()
        ended.set()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    body = bytes(50_000_000)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(client.send, post(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", body))
        await begun.wait()
        tasks.cancel_scope.cancel()
    over.set()
    with anyio.fail_after(5):
        await ended.wait()
    server.close()
    await server.wait_closed()
    assert received < len(body) - 1000
