"""Connections that died between two exchanges: nobody notices, and nothing is said twice."""

from __future__ import annotations

import socket
import sys

import anyio
import pytest

from chomp_mcp.messages import FailureKind, WireRequest
from chomp_mcp.routers import connector
from chomp_mcp.routers.client import Client
from tests.dialects.asking import ask, failure

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_proxies")]

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
METHODS = pytest.mark.parametrize("method", ["POST", "GET"])


def to(url: str, method: str = "POST", body: bytes = b"{}") -> WireRequest:
    return WireRequest(method, f"{url}/chat/completions", {}, body if method == "POST" else b"")


async def keep(client: Client, upstream, count: int) -> None:
    """So many unused connections."""
    script = upstream.on(path="/chat/completions")
    gate = anyio.Event()
    for _ in range(count):
        script.raw([OK[:-1], gate, OK[-1:]], close=False)
    async with anyio.create_task_group() as tasks:
        for _ in range(count):
            tasks.start_soon(ask, client, to(upstream.url))
        await upstream.saw_request(count)
        gate.set()
    assert (len(upstream.connections), upstream.connection_count) == (count, count)


@METHODS
@pytest.mark.parametrize("reset", [True, False])
async def test_a_request_that_meets_a_dead_connection_goes_out_again_on_a_fresh_one(client, upstream, method, reset):
    script = upstream.on(path="/chat/completions")
    await keep(client, upstream, 1)
    script.cut(after=0, reset=reset)
    script.reply(200, b"again")
    assert await ask(client, to(upstream.url, method)) == b"again"
    assert [seen.connection for seen in upstream.requests] == [0, 0, 1]
    assert [seen.body for seen in upstream.requests[1:]] == [to(upstream.url, method).body] * 2


async def test_a_large_request_goes_out_again_in_full(client, upstream):
    script = upstream.on(path="/chat/completions")
    await keep(client, upstream, 1)
    script.cut(after=0)
    script.reply(200, b"again")
    body = b"[" + b"1," * 2_000_000 + b"1]"
    assert await ask(client, to(upstream.url, body=body)) == b"again"
    assert upstream.requests[-1].body == body


@METHODS
async def test_it_does_not_go_out_a_third_time(client, upstream, method):
    script = upstream.on(path="/chat/completions")
    await keep(client, upstream, 5)
    script.cut(after=0)
    script.cut(after=0)
    error = await failure(client, to(upstream.url, method))
    assert (error.kind, error.resent) == (FailureKind.TRANSIENT, True)
    assert [seen.connection for seen in upstream.requests[5:]][1:] == [5]


@METHODS
async def test_a_request_on_a_fresh_connection_goes_out_once(client, upstream, method):
    script = upstream.on(path="/chat/completions")
    script.cut(after=0)
    error = await failure(client, to(upstream.url, method))
    assert (error.kind, error.resent) == (FailureKind.TRANSIENT, False)
    assert len(upstream.requests) == 1


@METHODS
@pytest.mark.parametrize("after", [1, 20, 60])
async def test_an_answer_that_has_begun_is_not_asked_for_again(client, upstream, method, after):
    script = upstream.on(path="/chat/completions")
    await keep(client, upstream, 1)
    script.cut(after=after)
    assert (await failure(client, to(upstream.url, method))).kind is FailureKind.TRANSIENT
    assert len(upstream.requests) == 2


async def test_one_dead_connection_ends_the_other_unused_ones_to_the_same_place(client, upstream):
    script = upstream.on(path="/chat/completions")
    await keep(client, upstream, 10)
    script.cut(after=0, reset=True)
    script.reply(200, b"again")
    assert await ask(client, to(upstream.url)) == b"again"
    with anyio.fail_after(5):
        while len(upstream.connections) > 1:
            await anyio.lowlevel.checkpoint()
    assert await ask(client, to(upstream.url)) == b"again"
    assert upstream.connection_count == 11


async def test_many_at_once_that_all_meet_dead_connections_are_all_answered(client, upstream):
    script = upstream.on(path="/chat/completions")
    await keep(client, upstream, 10)
    for _ in range(10):
        script.cut(after=0, reset=True)
    script.reply(200, b"again")
    answers = []

    async def one() -> None:
        answers.append(await ask(client, to(upstream.url)))

    async with anyio.create_task_group() as tasks:
        for _ in range(10):
            tasks.start_soon(one)
    assert answers == [b"again"] * 10


async def test_a_router_that_hangs_up_after_each_answer_without_a_word_loses_no_request(client, upstream):
    upstream.raw([OK])  # closes behind it
    for _ in range(100):
        assert await ask(client, to(upstream.url)) == b"ok"
    assert len(upstream.requests) <= 200


async def test_a_request_without_an_answer_is_not_sent_twice_but_ends_the_unused_connections(upstream):
    script = upstream.on(path="/chat/completions")
    client = Client(upstream_timeout=0.5)
    await keep(client, upstream, 5)
    script.hang()
    script.reply(200, b"fine")
    assert (await failure(client, to(upstream.url))).kind is FailureKind.TIMEOUT
    assert await ask(client, to(upstream.url)) == b"fine"
    assert [seen.connection for seen in upstream.requests[6:]] == [5]
    await client.close()


async def test_what_comes_when_nobody_asked_ends_the_connection(client, upstream):
    said, more = anyio.Event(), anyio.Event()
    upstream.raw([OK, said, OK[:20], more], close=False)
    upstream.reply(200, b"second")
    assert await ask(client, to(upstream.url)) == b"ok"
    said.set()
    await upstream.saw_disconnect()
    assert await ask(client, to(upstream.url)) == b"second"


async def test_an_unused_connection_is_ended_after_a_while(client, upstream, monkeypatch):
    monkeypatch.setattr(connector, "IDLE_SECONDS", 0.05)
    await keep(client, upstream, 2)
    with anyio.fail_after(5):
        while upstream.connections:
            await anyio.lowlevel.checkpoint()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the options have other names elsewhere")
async def test_the_system_watches_the_path_to_the_router(upstream):
    client = Client(upstream_timeout=120)
    response = await client.send(to(upstream.url))
    [[(protocol, _)]] = client._session._connector._conns.values()
    watched = protocol.transport.get_extra_info("socket")
    assert watched.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
    options = (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT, socket.TCP_USER_TIMEOUT)
    assert [watched.getsockopt(socket.IPPROTO_TCP, option) for option in options] == [15, 5, 3, 10_000]
    response.close()
    await client.close()
