"""serve: where it listens, whom it refuses to serve, and how it stops."""

from __future__ import annotations

import signal
import socket
import sys
from dataclasses import replace

import anyio
import httpx2
import pytest

from chomp_mcp.app import Chomp
from chomp_mcp.doors.http.server.serve import bracketed, serve
from chomp_mcp.errors import InvalidSetting
from tests.doors.http.test_app import refused
from tests.support.serving import process, serving, settings_for, url_of

pytestmark = pytest.mark.anyio
CHAT = "/v1/chat/completions"
HELLO = [{"role": "user", "content": "hi"}]


async def test_jobs_that_cannot_finish_are_marked_at_shutdown(home, upstream):
    upstream.hang(after=["Hello"])
    settings = settings_for(home, lab=upstream.url)
    async with serving(settings) as gateway:
        job = (await gateway.http.post("/api/dispatch", json={"prompt": "hi", "model": "lab/m"})).json()
        with anyio.fail_after(5):
            await upstream.saw_request()
    async with Chomp(settings) as chomp:
        stopped = await chomp.result(job["id"])
    assert stopped.status == "error"
    assert "Dispatch it again" in stopped.error


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGTERM")
@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGHUP"])
async def test_a_signal_stops_accepting_and_lets_answers_finish(home, upstream, name):
    go = anyio.Event()
    upstream.stream(["Hel", go, "lo"])
    async with process(home, "--port", "0", CHOMP_ROUTER_GROQ_URL=upstream.url, GROQ_API_KEY="gsk_1") as started:
        url = await url_of(started)
        async with httpx2.AsyncClient(base_url=url) as client:
            body = {"model": "groq/m", "messages": HELLO, "stream": True}
            async with client.stream("POST", CHAT, json=body) as answer:
                pieces = answer.aiter_bytes()
                got = await anext(pieces)
                started.send_signal(getattr(signal, name))
                with anyio.fail_after(10):
                    await refused(url)
                    go.set()
                    got += b"".join([piece async for piece in pieces])
        with anyio.fail_after(10):
            assert await started.wait() == 0
        assert b'"Hel"' in got
        assert got.endswith(b"data: [DONE]\n\n")
        assert b"Traceback" not in await started.stderr.read()


async def test_serving_strangers_without_a_token_is_refused_at_start(home):
    async with process(home, "--host", "0.0.0.0", "--port", "0") as started:
        with anyio.fail_after(20):
            told = (await started.stderr.read()).decode()
            assert await started.wait() == 2
    assert "GATEWAY_AUTH_TOKEN" in told
    assert "Traceback" not in told


async def test_a_store_that_is_away_is_told_at_the_start_and_served_without(home):
    away = {"CHOMP_STORE": "redis://127.0.0.1:1/0", "CHOMP_MASTER_KEY": "a-master-key-for-a-test"}
    async with process(home, "--port", "0", **away) as started:
        url = await url_of(started)
        assert started.stderr
        with anyio.fail_after(20):
            told = (await started.stderr.readline()).decode()
        assert told.startswith("chomp-mcp: Redis at 127.0.0.1:1 does not answer")
        assert "it is looked for all the time" in told
        async with httpx2.AsyncClient(base_url=url) as client:
            assert (await client.get("/healthz")).status_code == 200


@pytest.mark.parametrize("host", ["::1", "[::1]"])
def test_an_ipv6_address_is_in_brackets_once(host):
    assert bracketed(host) == "[::1]"


def test_a_port_that_is_taken_is_told(home):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings = replace(settings_for(home), port=taken.getsockname()[1])
        with pytest.raises(
            InvalidSetting, match=r"bound: Address already in use\. Choose another --port or GATEWAY_PORT"
        ):
            serve(settings)
