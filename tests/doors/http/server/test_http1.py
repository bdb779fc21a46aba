"""HTTP/1.1 as the server speaks it: heads that are bounded, and how the pieces of an answer go out."""

from __future__ import annotations

import asyncio
import json
import re

import anyio
import pytest
import uvicorn
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState

from chomp_mcp.doors.http.server import http1
from chomp_mcp.doors.http.server.http1 import Joining
from tests.doors.http.test_app import everything, raw
from tests.doors.http.test_guard import exchange
from tests.support.serving import serving, settings_for

pytestmark = pytest.mark.anyio
HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n"


class Wire(asyncio.Transport):
    """A transport that tells what was done to it."""

    def __init__(self) -> None:
        super().__init__()
        self.done: list[bytes | str] = []

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.done.append(bytes(data))

    def close(self) -> None:
        self.done.append("closed")


@pytest.fixture
async def wire() -> Wire:
    return Wire()


@pytest.fixture
async def joining(wire: Wire) -> Joining:
    return Joining(wire, asyncio.get_running_loop())


async def test_head_and_body_are_one_write(wire: Wire, joining: Joining) -> None:
    joining.write(HEAD)
    joining.write(b"hi")
    joining.write(b"more")
    await asyncio.sleep(0)
    assert wire.done == [HEAD + b"hi", b"more"]


async def test_a_head_waits_for_no_body_that_comes_later(wire: Wire, joining: Joining) -> None:
    joining.write(HEAD)
    await asyncio.sleep(0)
    joining.write(b"hi")
    assert wire.done == [HEAD, b"hi"]


async def test_a_head_goes_out_before_the_connection_closes(wire: Wire, joining: Joining) -> None:
    joining.write(HEAD)
    joining.close()
    await asyncio.sleep(0)
    assert wire.done == [HEAD, "closed"]


@pytest.mark.parametrize(
    ("value", "is_sane"), [(b"plain", True), (b"with\ta tab", True), (b"a\r\nset-cookie: b", False), (b"nul\0", False)]
)
async def test_no_value_of_a_header_splits_the_head(value: bytes, is_sane: bool) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        head = [(b"x-value", value), (b"content-length", b"2")]
        await send({"type": "http.response.start", "status": 200, "headers": head})
        await send({"type": "http.response.body", "body": b"hi"})

    config = uvicorn.Config(app, ws="none", access_log=False, log_config=None)
    config.load()
    server = await asyncio.get_running_loop().create_server(
        lambda: http1.Protocol(config, ServerState(), {}), "127.0.0.1", 0
    )
    async with server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n")
        with anyio.fail_after(30):
            told = await (reader.readuntil(b"\r\n\r\nhi") if is_sane else reader.read())
        writer.close()
    assert told.count(b"\r\nx-value: " + value + b"\r\n") == is_sane
    assert is_sane or not told  # the connection ends instead


async def test_more_connections_than_the_files_allow_are_told_to_come_back_and_the_log_says_why(
    home, caplog, monkeypatch
) -> None:
    monkeypatch.setattr(http1, "most_connections", lambda: 2)
    monkeypatch.setattr(http1.Protocol, "_told_at", 0.0)
    async with serving(settings_for(home)) as gateway:
        port = gateway.chomp.settings.port
        held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2)]
        refused = await gateway.http.get("/healthz")
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "overloaded")
        assert refused.headers["retry-after"] == "1"
        assert "ulimit -n" in refused.json()["error"]["message"]
        for _, writer in held:
            writer.close()
        with anyio.fail_after(10):
            while (await gateway.http.get("/healthz")).status_code != 200:
                pass
    assert [record.message for record in caplog.records if "raise ulimit -n" in record.message]


async def test_requests_that_do_not_wait_for_their_answers_are_answered_in_order_and_do_not_pile_up(home) -> None:
    async with serving(settings_for(home)) as gateway:
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.chomp.settings.port)
        with anyio.fail_after(20):
            writer.write(b"".join(get(number) for number in range(10)))
            few = b""
            while few.count(b"HTTP/1.1 ") < 10:
                few += await reader.read(65_536)
            writer.write(b"".join(get(number) for number in range(10, 200)))  # in one packet, more than may wait
            many = await reader.read()
        writer.close()
        ids = [int(each) for each in re.findall(rb"x-request-id: n-(\d+)", few + many)]
        assert ids == list(range(10 + 1 + http1.MAX_PIPELINED)), "in their order, and then the connection ends"
        assert (await gateway.http.get("/healthz")).status_code == 200


def get(number: int) -> bytes:
    return f"GET /healthz HTTP/1.1\r\nhost: localhost\r\nx-request-id: n-{number}\r\n\r\n".encode()


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01 this is TLS\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost localhost\r\n\r\n",
        b"POST /api/keys HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\nnope\r\n",
    ],
)
async def test_what_is_no_http_is_told_so_in_the_envelope(gateway, sent):
    async with raw(gateway, sent) as stream:
        head, _, body = (await everything(stream)).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    assert b"\r\nx-request-id: req_" in head
    assert b"\r\nconnection: close" in head
    assert json.loads(body)["error"]["code"] == "invalid_request"


@pytest.mark.parametrize("before", [b"", b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n"])
async def test_a_head_that_never_ends_is_given_up(home, monkeypatch, before):
    monkeypatch.setattr(http1, "HEAD_SECONDS", 0.05)
    async with serving(settings_for(home)) as gateway, raw(gateway, before) as stream:
        if before:
            assert b'{"status":"ok"}' in await stream.receive()
        await stream.send(b"GET /healthz HTTP/1.1\r\nhost: local")
        answer = await everything(stream)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b'"code":"request_timeout"' in answer


async def test_a_connection_that_never_says_anything_is_closed(home, monkeypatch):
    monkeypatch.setattr(http1, "HEAD_SECONDS", 0.05)
    async with serving(settings_for(home)) as gateway, raw(gateway, b"\r\n") as stream:
        assert await everything(stream) == b""


async def test_an_answer_may_take_longer_than_a_head(home, upstream, monkeypatch):
    monkeypatch.setattr(http1, "HEAD_SECONDS", 0.05)
    upstream.stream(["Hel", 0.2, "lo"])
    async with serving(settings_for(home, lab=upstream.url)) as gateway:
        for _ in range(2):
            assert (await gateway.chat()).json()["choices"][0]["message"]["content"] == "Hello"


async def test_who_waits_for_100_continue_never_sends_too_much(gateway):
    head = b"POST /api/keys HTTP/1.1\r\nhost: localhost\r\nexpect: 100-continue\r\ncontent-length: 50000000\r\n\r\n"
    async with raw(gateway, head) as stream:
        answer = await everything(stream)
    assert answer.startswith(b"HTTP/1.1 413 ")


CHAT = "/v1/chat/completions"
PROBE = {"model": "mock/echo", "messages": [{"role": "user", "content": "hi"}]}

ENDLESS = [
    pytest.param(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n", b"x: " + b"a" * 997, id="one header"),
    pytest.param(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n", b"x: y\r\n" * 100, id="many headers"),
    pytest.param(b"GET /", b"a" * 1000, id="the path"),
    pytest.param(
        b"POST /api/keys HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n0\r\n",
        b"x: " + b"a" * 997,
        id="the trailer",
    ),
]


@pytest.mark.parametrize(("first", "more"), ENDLESS)
async def test_a_head_is_bounded_in_size(gateway, first, more):
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.chomp.settings.port)
    sent = 0
    with anyio.fail_after(20):
        try:
            writer.write(first)
            while not reader.at_eof() and sent < 50_000_000:
                writer.write(more)
                await writer.drain()
                sent += len(more)
                await asyncio.sleep(0)
        except ConnectionError:
            pass
    writer.close()
    assert sent < 5_000_000  # what the sockets hold, and not what the server does


@pytest.mark.parametrize("count", [129, 1000])
async def test_a_head_is_bounded_in_headers(gateway, count):
    headers = "".join(f"x-{i}: y\r\n" for i in range(count))
    answer = await exchange(gateway, f"GET /healthz HTTP/1.1\r\nhost: localhost\r\n{headers}\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 431 ")
    assert b'"code":"request_too_large"' in answer


async def test_a_head_of_a_busy_connection_is_bounded_too(gateway, upstream):
    upstream.hang()
    body = json.dumps({**PROBE, "model": "lab/m"}).encode()
    head = f"POST {CHAT} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {len(body)}\r\n\r\n".encode()
    _, writer = await asyncio.open_connection("127.0.0.1", gateway.chomp.settings.port)
    with anyio.fail_after(20):
        writer.write(head + body)
        await upstream.saw_request()
        with pytest.raises(ConnectionError):
            writer.write(b"GET / HTTP/1.1\r\nx: ")
            while True:
                writer.write(b"a" * 10_000)
                await writer.drain()
                await asyncio.sleep(0)
    writer.close()
