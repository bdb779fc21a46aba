"""The ring around every path: whom it lets in by Host, which paths there are, and what it refuses before the body."""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import asynccontextmanager
from dataclasses import replace

import anyio
import pytest

from chomp_mcp.doors.http.guard import Edge
from chomp_mcp.doors.http.server import http1
from chomp_mcp.doors.http.traffic import Traffic
from chomp_mcp.errors import TooLarge
from tests.support.processes import unsent_bytes
from tests.support.serving import serving, settings_for

pytestmark = pytest.mark.anyio
CHAT = "/v1/chat/completions"
TOKEN = "a-token-of-the-owner"
OWNER = {"authorization": f"Bearer {TOKEN}"}
PROBE = {"model": "mock/echo", "messages": [{"role": "user", "content": "hi"}]}


async def exchange(gateway, data: bytes) -> bytes:
    """What a connection gives back for these bytes, until it is closed."""
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.chomp.settings.port)
    with anyio.fail_after(20):
        writer.write(data)
        got = await reader.read()
    writer.close()
    return got


# Hosts
async def test_a_host_that_the_settings_name_is_served(home):
    environ = {"CHOMP_ALLOWED_HOSTS": "host.docker.internal, https://Box.Tail.ts.net:8443, *.trycloudflare.com"}
    async with serving(settings_for(home, environ=environ)) as gateway:
        for host in ("host.docker.internal:8080", "box.tail.ts.net", "a-b.trycloudflare.com", "localhost"):
            assert (await gateway.http.get("/v1/models/mock/echo", headers={"host": host})).status_code == 200
        for host in ("docker.internal", "trycloudflare.com", "trycloudflare.com.evil.example"):
            assert (await gateway.http.get("/healthz", headers={"host": host})).status_code == 421


async def test_a_foreign_host_is_told_the_setting_that_lets_it_in(gateway):
    answer = await gateway.http.get("/healthz", headers={"host": "host.docker.internal:8080"})
    assert answer.status_code == 421
    assert "CHOMP_ALLOWED_HOSTS" in answer.json()["error"]["message"]


async def test_where_a_token_is_due_any_host_may_pass_and_nobody_without_it(home):
    async with serving(replace(settings_for(home), auth_token=TOKEN)) as gateway:
        headers = {"host": "host.docker.internal:8080"}
        assert (await gateway.http.get("/v1/models/mock/echo", headers={**headers, **OWNER})).status_code == 200
        assert (await gateway.http.get("/v1/models/mock/echo", headers=headers)).status_code == 401


@pytest.mark.parametrize("hosts", ["localhost\r\nhost: evil.example", "localhost\r\nHOST: localhost"])
async def test_two_hosts_are_refused(gateway, hosts):
    answer = await exchange(gateway, f"GET /healthz HTTP/1.1\r\nhost: {hosts}\r\nconnection: close\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 400 ")


async def test_http_1_0_needs_no_host_and_http_1_1_does(gateway):
    assert (await exchange(gateway, b"GET /healthz HTTP/1.0\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
    newer = await exchange(gateway, b"GET /healthz HTTP/1.1\r\nconnection: close\r\n\r\n")
    assert newer.startswith(b"HTTP/1.1 4")


# Paths
@pytest.mark.parametrize(
    "path", ["/healthz", "/readyz", "/metrics", "/v1/models", "/v1/models/mock/echo", "/v1/providers", "/api/jobs"]
)
async def test_a_slash_at_the_end_changes_nothing(gateway, path):
    plain, slashed = await gateway.http.get(path), await gateway.http.get(f"{path}/")
    assert (plain.status_code, slashed.status_code) == (200, 200)
    assert not slashed.history


@pytest.mark.parametrize("path", [CHAT, "/v1/messages", "/v1/chat"])
async def test_a_slash_at_the_end_of_a_post_changes_nothing(gateway, path):
    body = {**PROBE, "max_tokens": 20, "agent_id": "a"}
    answers = [(await gateway.http.post(each, json=body)).status_code for each in (path, f"{path}/")]
    assert answers == [200, 200]


@pytest.mark.parametrize("path", ["/mcp", "/mcp/"])
async def test_mcp_is_served_with_a_slash_and_without(gateway, path):
    hello = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
    answer = await gateway.http.post(
        path,
        json={"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello},
        headers={"accept": "application/json, text/event-stream"},
    )
    assert answer.status_code == 200


@pytest.mark.parametrize("path", ["/messages", "/messages/"])
async def test_the_paths_of_sse_have_one_meaning(gateway, path):
    answer = await gateway.http.post(path, json={"jsonrpc": "2.0", "id": 1, "method": "ping"})
    assert answer.status_code == 400  # it names no session


async def test_a_stream_that_resumes_is_a_stream(gateway):
    hello = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
    accept = {"accept": "application/json, text/event-stream"}
    begun = await gateway.http.post(
        "/mcp", json={"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello}, headers=accept
    )
    headers = {**accept, "mcp-session-id": begun.headers["mcp-session-id"], "last-event-id": "7"}
    async with gateway.http.stream("GET", "/mcp", headers=headers) as stream:
        assert stream.status_code == 200


async def test_readiness_is_told_without_a_token(home):
    async with serving(replace(settings_for(home), auth_token=TOKEN)) as gateway:
        assert (await gateway.http.get("/readyz")).json() == {"status": "ready"}


async def test_a_store_that_cannot_be_read_is_not_ready_while_the_process_lives(home):
    async with serving(settings_for(home)) as gateway:
        home.mkdir(exist_ok=True)
        (home / "keys.json").write_text("{broken")
        answer = await gateway.http.get("/readyz")
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "overloaded")
        assert answer.headers["retry-after"]
        assert (await gateway.http.get("/healthz")).status_code == 200


# Refused before the body
@asynccontextmanager
async def announced(gateway, path: str, size: int, *headers: str):
    """A request whose body of so many bytes is never sent."""
    lines = "".join(f"{each}\r\n" for each in headers)
    head = f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n{lines}"
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.chomp.settings.port)
    writer.write(f"{head}content-length: {size}\r\n\r\n".encode())
    try:
        yield reader
    finally:
        writer.close()


async def status_of(reader) -> bytes:
    with anyio.fail_after(10):
        return (await reader.readline())[9:12]


async def test_whoever_may_not_register_is_refused_before_the_body(home):
    settings = replace(settings_for(home), host="0.0.0.0", auth_token=TOKEN)
    async with serving(settings) as gateway, announced(gateway, "/api/keys", 30_000_000) as reader:
        assert await status_of(reader) == b"403"


async def test_whoever_has_no_token_is_refused_before_the_body(home):
    settings = replace(settings_for(home), auth_token=TOKEN)
    async with serving(settings) as gateway, announced(gateway, CHAT, 30_000_000) as reader:
        assert await status_of(reader) == b"401"


async def test_whoever_is_too_fast_is_refused_before_the_body(home):
    settings = replace(settings_for(home), rate_rps=0.001, rate_burst=1)
    async with serving(settings) as gateway:
        assert (await gateway.http.post(CHAT, json=PROBE)).status_code == 200
        async with announced(gateway, CHAT, 1_000_000) as reader:
            assert await status_of(reader) == b"429"


async def test_asking_whether_one_is_too_fast_takes_nothing(home):
    settings = replace(settings_for(home), rate_rps=0.001, rate_burst=2)
    long = {**PROBE, "user": "x" * 1_000_000}
    async with serving(settings) as gateway:
        answers = [(await gateway.http.post(CHAT, json=long)).status_code for _ in range(3)]
    assert answers == [200, 200, 429]


async def test_who_reads_nothing_is_dropped_after_a_while(home, upstream, monkeypatch):
    monkeypatch.setattr(http1, "STALLED_SECONDS", 0.2)
    upstream.stream(["x" * 100_000] * 400)
    async with serving(settings_for(home, lab=upstream.url)) as gateway:
        body = json.dumps({**PROBE, "model": "lab/m", "stream": True}).encode()
        head = f"POST {CHAT} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {len(body)}\r\n\r\n".encode()
        stream = await anyio.connect_tcp("127.0.0.1", gateway.chomp.settings.port)
        async with stream:
            await stream.send(head + body)
            await upstream.saw_request()
            with anyio.fail_after(20):
                await gateway.is_quiet()
                if sys.platform == "linux":
                    assert unsent_bytes(gateway.chomp.settings.port) == 0, "nor does the system keep anything for them"
                with pytest.raises(anyio.BrokenResourceError):  # a reset
                    while True:
                        await stream.receive()


async def test_what_is_too_large_in_a_body_that_has_come_in_whole_is_told_at_once(home):
    """One whose rest is on its way is read on for a while: else its client would never see the answer."""
    came, sent = [{"type": "http.request", "body": b"{}"}], []

    async def app(scope, receive, send):
        await receive()
        raise TooLarge("The prompt is too long.")

    async def receive():
        return came.pop()

    async def send(message):
        sent.append(message)

    edge = Edge(app, settings_for(home), traffic=Traffic(9, 9, 1000))
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "POST",
        "path": "/x",
        "headers": [(b"host", b"localhost")],
    }
    await edge(scope, receive, send)
    assert sent[0]["status"] == 413
    assert came == []
