"""Names whose DNS does not answer: nobody else waits, and whoever does is told."""

from __future__ import annotations

import socket
import threading

import anyio
import pytest

from chomp_mcp.errors import UpstreamError, UpstreamFailed
from chomp_mcp.gateway.facts_update import update_facts
from chomp_mcp.messages import FailureKind, WireRequest
from chomp_mcp.routers import connector
from chomp_mcp.routers.client import Client
from tests.dialects.asking import ask, failure
from tests.support.world import world

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_proxies")]


def post(url: str) -> WireRequest:
    return WireRequest("POST", url, {}, b"{}")


@pytest.fixture
def hanging(monkeypatch):
    """What the DNS was asked; names that begin with `slow` have no answer before the test is over."""
    asked: list[str] = []
    over = threading.Event()
    real = socket.getaddrinfo

    def answer(host, *how, **named):
        asked.append(host)
        if str(host).startswith("slow"):
            over.wait(30)
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return real(host, *how, **named)

    monkeypatch.setattr(socket, "getaddrinfo", answer)
    yield asked
    over.set()


async def test_a_name_whose_dns_hangs_is_looked_up_once_and_holds_up_nobody_else(client, upstream, hanging):
    upstream.reply(200, b"ok")
    async with anyio.create_task_group() as tasks:
        for number in range(100):
            tasks.start_soon(client.send, post("http://slow.invalid/v1"))
            tasks.start_soon(client.send, post(f"http://slow{number}.invalid/v1"))
        with anyio.fail_after(5):
            while len(hanging) < 101:
                await anyio.lowlevel.checkpoint()
            assert await ask(client, post(f"http://localhost:{upstream.port}/v1")) == b"ok"
        tasks.cancel_scope.cancel()
    assert hanging.count("slow.invalid") == 1


@pytest.mark.parametrize("connect_seconds", [0.05, 10])
async def test_the_error_says_that_it_was_the_dns(hanging, monkeypatch, connect_seconds):
    monkeypatch.setattr(connector, "CONNECT_SECONDS", connect_seconds)
    client = Client(upstream_timeout=0.1)
    for _ in range(2):
        error = await failure(client, post("http://slow.invalid/v1"))
        assert error.kind is FailureKind.TIMEOUT
        assert error.message.startswith("The DNS did not say within 0.")
        assert error.message.endswith(" s where slow.invalid is.")
    assert hanging == ["slow.invalid"]
    await client.close()


async def test_a_name_that_the_dns_does_not_know_is_told_as_such(client):
    error = await failure(client, post("http://nobody.invalid/v1"))
    assert error.kind is FailureKind.TRANSIENT
    assert error.message.startswith("nobody.invalid cannot be reached: the DNS does not know it")


async def test_reachable_does_not_wait_for_the_dns(client, hanging):
    with anyio.fail_after(5):
        assert not await client.reachable("http://slow.invalid/v1")


@pytest.mark.parametrize("scheme", ["http", "socks5"])
@pytest.mark.parametrize("router", ["http://router.invalid/v1", "https://router.invalid/v1", "http://[2001:db8::1]/v1"])
async def test_a_proxy_whose_name_hangs_is_told_as_such_and_holds_up_no_other(
    client, upstream, hanging, monkeypatch, scheme, router
):
    upstream.reply(200, b"ok")
    monkeypatch.setenv("ALL_PROXY", f"{scheme}://slow-proxy.invalid:1080")
    hasty = Client(upstream_timeout=0.05)
    failed = await failure(hasty, post(router))
    await hasty.close()
    assert failed.kind is FailureKind.TIMEOUT
    assert failed.message == "The DNS did not say within 0.05 s where slow-proxy.invalid is."
    with anyio.fail_after(5):
        assert await ask(client, post(f"http://localhost:{upstream.port}/v1")) == b"ok"


@pytest.mark.parametrize("scheme", ["http", "socks5"])
async def test_a_proxy_that_the_dns_does_not_know_is_not_taken_for_the_router(client, monkeypatch, scheme):
    monkeypatch.setenv("ALL_PROXY", f"{scheme}://nobody-proxy.invalid:1080")
    error = await failure(client, post("https://router.invalid/v1"))
    assert error.kind is FailureKind.TRANSIENT
    assert error.message.startswith("The proxy on the way to router.invalid cannot be reached")


async def test_an_address_needs_no_dns_and_waits_for_none(client, upstream, hanging):
    upstream.reply(200, b"ok")
    async with anyio.create_task_group() as tasks:
        for number in range(50):
            tasks.start_soon(client.send, post(f"http://slow{number}.invalid/v1"))
        with anyio.fail_after(5):
            assert await ask(client, post(f"http://127.0.0.1:{upstream.port}/v1")) == b"ok"
            error = await failure(client, post("http://[::1]:9/v1"))
        tasks.cancel_scope.cancel()
    assert "DNS" not in error.message


async def test_an_update_of_the_facts_says_that_it_was_the_dns(hanging, home):
    hasty = Client(upstream_timeout=0.05)
    with pytest.raises(UpstreamFailed, match=r"The DNS did not say within 0\.05 s where slow-facts\.invalid is"):
        await update_facts(hasty, home, {}, "https://slow-facts.invalid/facts.json", now=0)
    await hasty.close()


async def test_a_router_beside_one_whose_dns_hangs_answers_and_the_caller_is_told_why(home, hanging, monkeypatch):
    monkeypatch.setattr(connector, "CONNECT_SECONDS", 0.5)
    slow = {"CHOMP_ROUTER_CEREBRAS_URL": "http://slow-cerebras.invalid/v1", "CEREBRAS_API_KEY": "key-cerebras-1"}
    async with world(home, "groq", **slow) as w:
        w.groq.answer("here")
        with anyio.fail_after(20):
            with pytest.raises(
                UpstreamError, match=r"The DNS did not say within 0\.5 s where slow-cerebras\.invalid is"
            ):
                await w.chomp.ask("hi", model="cerebras/m")
            assert (await w.chomp.ask("hi", model="groq/m")).text == "here"
