"""How an answer's pieces go out: the head with the first of its body, and by itself where no body is there yet."""

from __future__ import annotations

import asyncio
import re

import anyio
import pytest

from chomp_mcp.doors.http.server import http1
from chomp_mcp.doors.http.server.http1 import Joining
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
