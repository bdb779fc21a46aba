"""HTTP/1.1 as routers and what stands before them speak it; connections kept, ended, and led through proxies."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import ssl
import zlib
from collections.abc import AsyncIterator

import anyio
import pytest

from chomp_mcp.messages import FailureKind, WireRequest
from chomp_mcp.routers.client import Client, Unreachable
from chomp_mcp.routers.pool import Place, Pool
from tests.dialects.asking import ask, failure
from tests.support.scripted import ScriptedRouter

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
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nok",
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: other\r\nconnection: upgrade\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nx: " + 500_000 * b"y" + b"\r\n\r\n",
    ],
)
async def test_an_answer_without_an_end_or_a_beginning_is_transient(client, upstream, wire):
    upstream.raw([wire])
    error = await failure(client, post(upstream.url))
    assert (error.kind, error.message) == (
        FailureKind.TRANSIENT,
        f"127.0.0.1:{upstream.port} broke the connection off.",
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
        OK + b"surplus",
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


async def test_of_two_requests_on_an_old_connection_that_ends_the_safe_one_is_sent_again(client, upstream):
    async def get() -> bytes:
        return await ask(client, WireRequest("GET", f"{upstream.url}/models", {}))

    for method, send in (("GET", get), ("POST", lambda: ask(client, post(upstream.url)))):
        fine = upstream.on(path="/models") if method == "GET" else upstream
        fine.reply(200, b"first")
        fine.cut(after=0)
        fine.reply(200, b"third")
        assert await send() == b"first"
        if method == "GET":
            assert await send() == b"third"
        else:
            with pytest.raises(Unreachable):
                await send()


async def test_an_unused_connection_is_ended_after_a_while(upstream):
    pool = Pool(idle_seconds=0.05)
    place = Place("http", "127.0.0.1", upstream.port)
    loop = asyncio.get_running_loop()
    connections = [await pool.open(place, patience=5, until=loop.time() + 5) for _ in range(2)]
    for connection in connections:
        await connection.start(b"POST /v1 HTTP/1.1\r\n\r\n", patience=5, until=loop.time() + 5)
        pool.give_back(place, connection)
    with anyio.fail_after(5):
        while upstream.connections:
            await anyio.lowlevel.checkpoint()
    assert pool.take(place) is None
    await pool.close()


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
    connection = next(iter(client._pool._open))
    with anyio.fail_after(5):
        while not connection._is_paused:
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
    assert await one.read() == b""
    assert await other.read() == b"second"
    other.close()
    assert upstream.connection_count == 1


@pytest.mark.parametrize("pack", [gzip.compress, zlib.compress])
async def test_a_large_packed_body_comes_in_pieces(client, upstream, pack):
    upstream.reply(200, pack(3_000_000 * b"x"), {"content-encoding": "gzip" if pack is gzip.compress else "deflate"})
    response = await client.send(post(upstream.url))
    sizes = [len(chunk) async for chunk in response.iter_bytes()]
    response.close()
    assert (sum(sizes), max(sizes) <= 256 * 1024) == (3_000_000, True)


async def test_a_packed_body_without_its_end_is_transient(client, upstream):
    upstream.reply(200, gzip.compress(b"hello")[:-4], {"content-encoding": "gzip"})
    assert (await failure(client, post(upstream.url))).kind is FailureKind.TRANSIENT


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


@contextlib.asynccontextmanager
async def tunnel(
    to_port: int, answer: bytes = b"HTTP/1.1 200 Connected\r\n\r\n", *, tls: ssl.SSLContext | None = None
) -> AsyncIterator[tuple[int, list[str]]]:
    """A proxy that leads every CONNECT to one port; its own port, and the heads that it saw."""
    heads: list[str] = []
    tasks: set[asyncio.Task[None]] = set()

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append((await reader.readuntil(b"\r\n\r\n")).decode())
        writer.write(answer)
        if b" 200 " not in answer:
            writer.close()
            return
        there, back = await asyncio.open_connection("127.0.0.1", to_port)
        for each in (relay(reader, back), relay(there, writer)):
            task = asyncio.create_task(each)
            tasks.add(task)
            task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1], heads
    finally:
        server.close()
        with anyio.fail_after(5):
            while tasks:
                await asyncio.wait(tasks)


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_https_goes_through_a_tunnel_that_the_proxy_makes(self_signed, tmp_path, monkeypatch, scheme):
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
    tls = self_signed if scheme == "https" else None
    async with ScriptedRouter(ssl_context=self_signed) as upstream, tunnel(upstream.port, tls=tls) as (port, heads):
        monkeypatch.setenv("HTTPS_PROXY", f"{scheme}://me:secret@127.0.0.1:{port}")
        client = Client(upstream_timeout=5)
        for _ in range(2):
            assert (await client.send(post("https://router.invalid/v1", Authorization="Bearer k"))).status == 200
        await client.close()
    assert heads[0].split("\r\n")[:3] == [
        "CONNECT router.invalid:443 HTTP/1.1",
        "Host: router.invalid",
        "Proxy-Authorization: Basic bWU6c2VjcmV0",
    ]
    assert "Bearer" not in "".join(heads)
    assert upstream.requests[0].headers["host"] == "router.invalid"
    assert "proxy-authorization" not in upstream.requests[0].headers


async def test_a_certificate_is_checked_in_the_tunnel_too(self_signed, monkeypatch):
    async with ScriptedRouter(ssl_context=self_signed) as upstream, tunnel(upstream.port) as (port, _):
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")
        error = await failure(Client(upstream_timeout=5), post("https://router.invalid/v1"))
    assert "self-signed certificate" in error.message
    assert upstream.requests == []


async def test_a_proxy_that_refuses_is_told_as_such(monkeypatch):
    async with tunnel(1, b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n") as (port, _):
        monkeypatch.setenv("HTTPS_PROXY", f"http://me:secret@127.0.0.1:{port}")
        error = await failure(Client(upstream_timeout=5), post("https://router.invalid/v1"))
    assert error.message == "The proxy on the way to router.invalid refused: check HTTPS_PROXY."


async def test_a_proxy_that_is_not_there_is_told_as_such(monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "http://me:secret@127.0.0.1:1")
    error = await failure(Client(upstream_timeout=5), post("https://router.invalid/v1"))
    assert error.message == "The proxy on the way to router.invalid cannot be reached: Connection refused."


async def test_a_proxy_learns_who_asks_for_plain_http_too(monkeypatch):
    async with ScriptedRouter() as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.base.replace("//", "//me:secret@"))
        client = Client(upstream_timeout=5)
        await ask(client, post("http://router.invalid/v1"))
        await client.close()
    assert proxy.requests[0].headers["proxy-authorization"] == "Basic bWU6c2VjcmV0"
