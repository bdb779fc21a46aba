"""Ways through proxies: which one, for whom, and what it learns."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable

import anyio
import pytest

from chomp_mcp.messages import WireRequest
from chomp_mcp.routers.target import proxy_from_environment, target_of
from tests.dialects.asking import ask, failure
from tests.support.scripted import ScriptedRouter

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_proxies")]


def post(url: str, **headers: str) -> WireRequest:
    return WireRequest("POST", url, headers, b"{}")


Greeting = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[bool]]
"""The proxy's part before bytes are relayed; whether they are."""


@contextlib.asynccontextmanager
async def proxy(to_port: int, greet: Greeting, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """Leads every connection to one port; its own port."""
    tasks: set[asyncio.Task[None]] = set()

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not await greet(reader, writer):
            writer.close()
            return
        there, back = await asyncio.open_connection("127.0.0.1", to_port)
        for each in (relay(reader, back), relay(there, writer)):
            task = asyncio.create_task(each)
            tasks.add(task)
            task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        with anyio.fail_after(5):
            while tasks:
                await asyncio.wait(tasks)


@contextlib.asynccontextmanager
async def tunnel(
    to_port: int, answer: bytes = b"HTTP/1.1 200 Connected\r\n\r\n", *, tls: ssl.SSLContext | None = None
) -> AsyncIterator[tuple[int, list[str]]]:
    """One that is asked with CONNECT; its port, and the heads that it saw."""
    heads: list[str] = []

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        heads.append((await reader.readuntil(b"\r\n\r\n")).decode())
        writer.write(answer)
        return b" 200 " in answer

    async with proxy(to_port, greet, tls=tls) as port:
        yield port, heads


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_https_goes_through_a_tunnel_that_the_proxy_makes(client, self_signed, tmp_path, monkeypatch, scheme):
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
    tls = self_signed if scheme == "https" else None
    async with ScriptedRouter(ssl_context=self_signed) as upstream, tunnel(upstream.port, tls=tls) as (port, heads):
        monkeypatch.setenv("HTTPS_PROXY", f"{scheme}://me:secret@127.0.0.1:{port}")
        for _ in range(2):
            await ask(client, post("https://router.invalid/v1", Authorization="Bearer k"))
        await client.close()
    assert heads[0].split("\r\n")[:3] == [
        "CONNECT router.invalid:443 HTTP/1.1",
        "Host: router.invalid",
        "proxy-authorization: Basic bWU6c2VjcmV0",
    ]
    assert "Bearer" not in "".join(heads)
    assert upstream.requests[0].headers["host"] == "router.invalid"
    assert "proxy-authorization" not in upstream.requests[0].headers


async def test_a_certificate_is_checked_in_the_tunnel_too(client, self_signed, monkeypatch):
    async with ScriptedRouter(ssl_context=self_signed) as upstream, tunnel(upstream.port) as (port, _):
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")
        error = await failure(client, post("https://router.invalid/v1"))
    assert "self-signed certificate" in error.message
    assert upstream.requests == []


async def test_a_proxy_that_refuses_is_told_as_such(client, monkeypatch):
    async with tunnel(1, b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n") as (port, _):
        monkeypatch.setenv("HTTPS_PROXY", f"http://me:secret@127.0.0.1:{port}")
        error = await failure(client, post("https://router.invalid/v1"))
    assert error.message == "The proxy on the way to router.invalid refused: check HTTPS_PROXY."


async def test_a_proxy_that_is_not_there_is_told_as_such(client, monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "http://me:secret@127.0.0.1:1")
    error = await failure(client, post("https://router.invalid/v1"))
    assert error.message.startswith(
        "The proxy on the way to router.invalid cannot be reached: Connection refused. Check"
    )


async def test_a_proxy_learns_who_asks_for_plain_http_too(client, monkeypatch):
    async with ScriptedRouter() as way:
        monkeypatch.setenv("HTTP_PROXY", way.base.replace("//", "//me:secret@"))
        await ask(client, post("http://router.invalid/v1"))
    assert way.requests[0].headers["proxy-authorization"] == "Basic bWU6c2VjcmV0"


async def test_a_proxy_from_the_environment_is_used_for_others_but_not_for_this_machine(client, upstream, monkeypatch):
    async with ScriptedRouter() as way:
        monkeypatch.setenv("HTTP_PROXY", way.base)
        await ask(client, post("http://router.invalid/v1"))
        await ask(client, post(upstream.url))
    assert [seen.target for seen in way.requests] == ["http://router.invalid/v1"]
    assert len(upstream.requests) == 1


async def test_a_proxy_setting_that_makes_no_sense_is_told(client, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "gopher://user:hunter2@nowhere")
    error = await failure(client, post("http://router.invalid/v1"))
    assert "HTTP_PROXY" in str(error)
    assert "hunter2" not in str(error)


@pytest.mark.parametrize(
    ("no_proxy", "url"),
    [
        ("router.invalid", "http://router.invalid/v1"),
        (".invalid", "http://router.invalid/v1"),
        ("other.invalid, invalid", "http://router.invalid:81/v1"),
        ("router.invalid:81", "http://router.invalid:81/v1"),
        ("*", "http://router.invalid/v1"),
        ("192.0.2.0/24", "http://192.0.2.7/v1"),
        ("192.0.2.7", "http://192.0.2.7:81/v1"),
        ("2001:db8::/32", "http://[2001:db8::7]/v1"),
    ],
)
async def test_no_proxy_names_who_is_called_without_one(monkeypatch, no_proxy, url):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    assert proxy_from_environment(target_of(url)) is not None
    monkeypatch.setenv("NO_PROXY", no_proxy)
    assert proxy_from_environment(target_of(url)) is None
    assert (proxy_from_environment(target_of("http://other.example/v1")) is None) == (no_proxy == "*")
