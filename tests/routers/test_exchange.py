"""HTTP/1.1 as routers and what stands before them speak it: where an answer ends, and what a request may carry."""

from __future__ import annotations

import asyncio
import gc

import anyio
import pytest

from chomp_mcp.messages import FailureKind, WireRequest
from tests.dialects.asking import ask, failure

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_proxies")]

HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n"
OK = HEAD + b"\r\nok"


def post(url: str, **headers: str) -> WireRequest:
    return WireRequest("POST", url, headers, b"{}")


@pytest.mark.parametrize(
    ("wire", "body"),
    [
        (OK, b"ok"),
        (b"HTTP/1.1 200 OK\r\n\r\nto the end", b"to the end"),
        (b"HTTP/1.0 200 OK\r\n\r\nto the end", b"to the end"),
        (b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok", b"ok"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", b"ok"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2;a=b\r\nok\r\n0\r\nx-trailer: 1\r\n\r\n", b"ok"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + OK, b"ok"),
        (b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n" + OK, b"ok"),
    ],
)
@pytest.mark.parametrize("at_once", [True, False])
async def test_an_answer_ends_where_it_says(client, upstream, wire, body, at_once):
    upstream.raw([wire] if at_once else [wire[at : at + 1] for at in range(len(wire))])
    assert await ask(client, post(upstream.url)) == body


@pytest.mark.parametrize(
    "wire",
    [
        HEAD + b"\r\no",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n",
    ],
)
async def test_an_answer_without_an_end_or_a_beginning_is_transient(client, upstream, wire):
    upstream.raw([wire])
    error = await failure(client, post(upstream.url))
    assert (error.kind, error.message) == (
        FailureKind.TRANSIENT,
        f"127.0.0.1:{upstream.port} broke the connection off.",
    )


@pytest.mark.parametrize(
    "wire",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nok",
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: other\r\nconnection: upgrade\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nx: " + 500_000 * b"y" + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + 5_000 * b"x: y\r\n" + b"\r\n",
        OK + b"surplus",
    ],
)
async def test_an_answer_whose_head_is_wrong_or_endless_is_transient(client, upstream, wire):
    upstream.raw([wire], close=False)
    error = await failure(client, post(upstream.url))
    assert (error.kind, error.message) == (
        FailureKind.TRANSIENT,
        f"127.0.0.1:{upstream.port} sent something that is no HTTP.",
    )


async def test_the_headers_of_an_interim_answer_and_of_a_trailer_are_not_the_answers(client, upstream):
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-Late: 1\r\n\r\n"
    upstream.raw([b"HTTP/1.1 103 Early Hints\r\nX-Early: 1\r\n\r\n" + chunked])
    response = await client.send(post(upstream.url))
    assert (await response.read(), dict(response.headers)) == (b"", {"transfer-encoding": "chunked"})
    response.close()


@pytest.mark.parametrize(
    "wire",
    [
        HEAD + b"connection: close\r\n\r\nok",
        OK + b"HTTP/1.1 200 OK\r\n\r\nnobody asked for this",
    ],
)
async def test_a_connection_that_may_not_carry_another_exchange_is_not_used_again(client, upstream, wire):
    upstream.raw([wire], close=False)
    upstream.reply(200, b"second")
    assert await ask(client, post(upstream.url)) == b"ok"
    assert await ask(client, post(upstream.url)) == b"second"
    assert upstream.connection_count == 2


async def test_what_comes_when_nobody_asked_ends_the_connection(client, upstream):
    said, more = anyio.Event(), anyio.Event()
    upstream.raw([OK, said, b"unasked", more], close=False)
    upstream.reply(200, b"second")
    assert await ask(client, post(upstream.url)) == b"ok"
    said.set()
    await upstream.saw_disconnect()
    assert await ask(client, post(upstream.url)) == b"second"


async def test_a_router_waits_for_whoever_reads_slowly(client, upstream):
    piece, sent = 100_000 * b"x", 0

    async def play(_request, wire):
        nonlocal sent
        await wire.head(200, None, 400 * len(piece))
        for _ in range(400):
            await wire.send(piece)
            sent += len(piece)

    upstream.play(play)
    response = await client.send(post(upstream.url))
    [connection] = upstream.connections
    with anyio.fail_after(5):
        while connection._writable.is_set():
            await anyio.lowlevel.checkpoint()
    assert sent < 400 * len(piece)
    assert sum([len(chunk) async for chunk in response.iter_bytes()]) == 400 * len(piece)
    response.close()


async def test_nobody_reads_on_into_the_answer_to_somebody_else(client, upstream):
    upstream.reply(200, b"first")
    upstream.reply(200, b"second")
    one = await client.send(post(upstream.url))
    left = one.iter_bytes()
    assert await anext(left) == b"first"
    one.close()
    other = await client.send(post(upstream.url))
    assert [chunk async for chunk in left] == []
    assert await other.read() == b"second"
    other.close()
    assert upstream.connection_count == 1


async def test_a_name_with_several_addresses_is_tried_at_all_of_them(client, upstream):
    upstream.reply(200, b"ok")
    assert await ask(client, post(f"http://localhost:{upstream.port}/v1")) == b"ok"
    assert upstream.requests[0].headers["host"] == f"localhost:{upstream.port}"


async def test_what_a_url_cannot_carry_is_quoted_and_what_is_quoted_stays(client, upstream):
    upstream.reply(200, b"ok")
    await ask(client, post(f"{upstream.url}/a b/ü/%2F?q=1 2"))
    assert upstream.requests[0].target == "/v1/a%20b/%C3%BC/%2F?q=1%202"


async def test_a_user_in_the_url_is_shown_unless_there_is_a_key(client, upstream):
    upstream.reply(200, b"ok")
    url = upstream.url.replace("//", "//me:hunter%202@")
    await ask(client, post(url))
    await ask(client, post(url, Authorization="Bearer key"))
    assert [seen.headers["authorization"] for seen in upstream.requests] == ["Basic bWU6aHVudGVyIDI=", "Bearer key"]


@pytest.mark.parametrize("name", ["content-length", "Transfer-Encoding", "x team", "x\nteam", ""])
async def test_a_header_that_would_break_the_request_is_refused(client, upstream, name):
    error = await failure(client, post(upstream.url, **{name: "1"}))
    assert "correct it in the router's row" in error.message
    assert upstream.requests == []


LARGE = bytes(20_000_000)
TOO_LARGE = b"HTTP/1.1 413 Content Too Large\r\ncontent-length: 3\r\n\r\nbig"


async def test_an_answer_that_comes_before_the_end_of_a_large_request_is_taken_and_its_connection_ends(client):
    ended = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        if f"content-length: {len(LARGE)}".encode() in head:
            writer.write(TOO_LARGE)
            with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
                await reader.readexactly(len(LARGE))
            ended.set()
        else:
            writer.write(OK)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    with anyio.fail_after(20):
        response = await client.send(WireRequest("POST", url, {}, LARGE))
        assert (response.status, await response.read()) == (413, b"big")
        response.close()
        await ended.wait()
        assert await ask(client, WireRequest("POST", url, {}, b"{}")) == b"ok"
    server.close()
    await server.wait_closed()


async def test_a_router_that_hangs_up_in_the_middle_of_a_large_request_leaves_no_error_unread(client):
    unread = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: unread.append(context))

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(100_000)
        writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    error = await failure(client, WireRequest("POST", url, {}, LARGE))
    await asyncio.sleep(0)
    gc.collect()  # what nobody has read is told when it goes
    assert (error.kind, unread) == (FailureKind.TRANSIENT, [])
    server.close()
    await server.wait_closed()
