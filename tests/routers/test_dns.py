"""Names whose DNS does not answer: nobody else waits, and whoever does is told."""

from __future__ import annotations

import socket
import threading

import anyio
import pytest

from chomp_mcp.messages import FailureKind, WireRequest
from chomp_mcp.routers import connector
from chomp_mcp.routers.client import Client
from tests.dialects.asking import ask, failure

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
