"""One process that serves: clients that leave, and answers that outlast a shutdown."""

from __future__ import annotations

import asyncio
import json
import signal
import sys

import anyio
import httpx2
import pytest

from chomp_mcp.app import Chomp
from chomp_mcp.doors.http.server import process as http_process
from tests.support.serving import process, serving, settings_for, url_of

pytestmark = pytest.mark.anyio
CHAT = "/v1/chat/completions"
HELLO = [{"role": "user", "content": "hi"}]
OK = {"model": "lab/m", "messages": HELLO}


@pytest.mark.parametrize("size", [10, 100_000, 1_000_000])
@pytest.mark.parametrize("piece", [1_000, 10_000_000])
async def test_however_a_request_came_in_its_client_is_missed_when_it_leaves(gateway, upstream, size, piece):
    upstream.hang()
    body = json.dumps({**OK, "user": size * "x"}).encode()
    head = f"POST {CHAT} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {len(body)}"
    sent = f"{head}\r\n\r\n".encode() + body
    _, writer = await asyncio.open_connection("127.0.0.1", int(gateway.url.rpartition(":")[2]))
    for at in range(0, len(sent), piece):
        writer.write(sent[at : at + piece])
        await writer.drain()
        await asyncio.sleep(0)
    await upstream.saw_request()
    writer.transport.abort()
    await upstream.saw_disconnect()


@pytest.mark.parametrize("path", [CHAT, "/v1/chat/stream"])
async def test_streams_that_outlast_a_shutdown_are_told_so_and_end(home, upstream, monkeypatch, capsys, path):
    monkeypatch.setattr(http_process, "GRACE_SECONDS", 0.1)
    upstream.hang(after=["Hello"])
    got = ""
    with anyio.fail_after(5):
        async with (
            httpx2.AsyncClient() as client,
            anyio.create_task_group() as group,
            serving(settings_for(home, lab=upstream.url)) as gateway,
        ):
            begun = anyio.Event()

            async def listen():
                nonlocal got
                async with client.stream("POST", gateway.url + path, json={**OK, "stream": True}) as answer:
                    async for text in answer.aiter_text():
                        got += text
                        begun.set()

            group.start_soon(listen)
            await begun.wait()
        await upstream.saw_disconnect()
    *_, error, last = [line[6:] for line in got.splitlines() if line.startswith("data: ")]
    assert json.loads(error)["error"]["code"] == "overloaded"
    assert "shutting down" in error
    assert last == "[DONE]" or json.loads(last)["done"]
    assert "Traceback" not in capsys.readouterr().err
    async with Chomp(settings_for(home)) as chomp:
        assert (await chomp.status())["spend"]["calls_today"] == 1


async def test_answers_that_outlast_a_shutdown_are_told_so(home, upstream, monkeypatch, capsys):
    monkeypatch.setattr(http_process, "GRACE_SECONDS", 0.1)
    upstream.hang()
    answers = []
    with anyio.fail_after(5):
        async with (
            httpx2.AsyncClient() as client,
            anyio.create_task_group() as group,
            serving(settings_for(home, lab=upstream.url)) as gateway,
        ):

            async def ask():
                answers.append(await client.post(gateway.url + CHAT, json=OK))

            group.start_soon(ask)
            await upstream.saw_request()
        await upstream.saw_disconnect()
    (answer,) = answers
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "overloaded")
    assert answer.headers["retry-after"] == "1"
    assert answer.headers["x-request-id"]
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGTERM")
async def test_a_signal_ends_open_mcp_sessions_without_a_murmur(home):
    hello = {"jsonrpc": "2.0", "id": 1, "method": "initialize"}
    hello["params"] = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
    accept = {"accept": "application/json, text/event-stream"}
    async with process(home, "--port", "0") as started:
        async with httpx2.AsyncClient(base_url=await url_of(started), timeout=60) as client:
            session = (await client.post("/mcp", json=hello, headers=accept)).headers["mcp-session-id"]
            listening = {"accept": "text/event-stream", "mcp-session-id": session}
            async with (
                client.stream("GET", "/sse") as events,
                client.stream("GET", "/mcp", headers=listening) as notices,
            ):
                assert (events.status_code, notices.status_code) == (200, 200)
                await anext(events.aiter_bytes())
                started.send_signal(signal.SIGTERM)
                with anyio.fail_after(8):
                    assert await started.wait() == 0
        assert (await started.stderr.read()).decode() == ""
