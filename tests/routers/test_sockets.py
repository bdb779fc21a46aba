"""Ways through SOCKS proxies, and paths that have died."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from chomp_mcp.messages import FailureKind, WireRequest
from tests.dialects.asking import ask, failure
from tests.routers.test_target import proxy
from tests.support.scripted import ScriptedRouter

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_proxies")]


def post(url: str, **headers: str) -> WireRequest:
    return WireRequest("POST", url, headers, b"{}")


@contextlib.asynccontextmanager
async def socks(to_port: int, *, reply: int = 0) -> AsyncIterator[tuple[int, list[object]]]:
    """SOCKS5 (RFC 1928) with user and password where they are shown (RFC 1929); its port, and what it was told."""
    told: list[object] = []

    async def text(reader: asyncio.StreamReader) -> str:
        [length] = await reader.readexactly(1)
        return (await reader.readexactly(length)).decode()

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        _, count = await reader.readexactly(2)
        knows_password = b"\x02" in await reader.readexactly(count)
        writer.write(b"\x05\x02" if knows_password else b"\x05\x00")
        if knows_password:
            await reader.readexactly(1)
            told.append((await text(reader), await text(reader)))
            writer.write(b"\x01\x00")
        kind = (await reader.readexactly(4))[3]
        assert kind == 3, "a name, and not an address that was looked up here"
        told.append((await text(reader), int.from_bytes(await reader.readexactly(2), "big")))
        writer.write(bytes([5, reply, 0, 1, 0, 0, 0, 0, 0, 0]))
        return reply == 0

    async with proxy(to_port, greet) as port:
        yield port, told


@pytest.mark.parametrize("scheme", ["socks5", "socks5h"])
@pytest.mark.parametrize("user", ["", "me:s%40fe@"])
async def test_a_socks_proxy_looks_the_name_up_and_leads_to_it(client, upstream, monkeypatch, scheme, user):
    upstream.reply(200, b"ok")
    async with socks(upstream.port) as (port, told):
        monkeypatch.setenv("ALL_PROXY", f"{scheme}://{user}127.0.0.1:{port}")
        for _ in range(2):
            assert await ask(client, post("http://router.invalid/v1")) == b"ok"
        await client.close()
    assert told == [*([("me", "s@fe")] if user else []), ("router.invalid", 80)]
    assert upstream.connection_count == 1


async def test_tls_is_checked_through_a_socks_proxy(client, self_signed, tmp_path, monkeypatch):
    async with ScriptedRouter(ssl_context=self_signed) as upstream, socks(upstream.port) as (port, told):
        monkeypatch.setenv("HTTPS_PROXY", f"socks5://127.0.0.1:{port}")
        error = await failure(client, post("https://router.invalid/v1"))
        assert "self-signed certificate" in error.message
        await client.close()
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
        assert await ask(client, post("https://router.invalid/v1"))
        await client.close()
    assert told == [("router.invalid", 443)] * 2


async def test_a_socks_proxy_that_refuses_is_told_as_such(client, monkeypatch):
    async with socks(1, reply=2) as (port, _):
        monkeypatch.setenv("ALL_PROXY", f"socks5://me:hunter2@127.0.0.1:{port}")
        error = await failure(client, post("http://router.invalid/v1"))
    assert error.kind is FailureKind.TRANSIENT
    assert error.message == "The proxy on the way to router.invalid refused: check ALL_PROXY."


async def test_a_socks_proxy_that_is_not_there_is_told_as_such(client, monkeypatch):
    monkeypatch.setenv("ALL_PROXY", "socks5://me:hunter2@127.0.0.1:1")
    error = await failure(client, post("http://router.invalid/v1"))
    assert error.message.startswith(
        "The proxy on the way to router.invalid cannot be reached: Connection refused. Check"
    )
