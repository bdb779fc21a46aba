"""The client over real sockets: what comes back, what breaks, and what never leaks."""

from __future__ import annotations

import asyncio
import traceback
from dataclasses import replace

import anyio
import pytest

from chomp_mcp import wire
from chomp_mcp.messages import FailureKind, WireRequest
from chomp_mcp.routers import client as client_module
from chomp_mcp.routers import response as response_module
from chomp_mcp.routers.client import Client, Response, Unreachable
from tests.dialects.asking import ask, failure
from tests.support.scripted import ScriptedRouter

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_proxies")]

KEY = "sk-very-secret-0123456789"


@pytest.fixture
async def hasty():
    """Gives up after 50 ms."""
    client = Client(upstream_timeout=0.05)
    yield client
    await client.close()


def chat(url: str, *, stream: bool = False, key: str = KEY, **fields) -> WireRequest:
    body = {"model": "m", "messages": [], "stream": stream, **fields}
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    return WireRequest("POST", f"{url}/chat/completions", headers, wire.dumps(body))


async def drain(response: Response) -> bytes:
    """As a reader for whom every byte counts."""
    chunks = []
    async for chunk in response.iter_bytes():
        response.prolong()
        chunks.append(chunk)
    return b"".join(chunks)


async def test_an_answer_comes_back_with_status_lower_case_headers_and_body(client, upstream):
    upstream.reply(200, {"a": 1}, {"X-RateLimit-Remaining": "7"})
    response = await client.send(chat(upstream.url))
    assert (response.status, response.headers["x-ratelimit-remaining"]) == (200, "7")
    assert await response.read() == b'{"a": 1}'
    response.close()


async def test_the_request_arrives_as_the_dialect_wrote_it_with_our_user_agent(client, upstream):
    (await client.send(chat(upstream.url, temperature=0.5))).close()
    seen = await upstream.saw_request()
    assert (seen.method, seen.path, seen.key) == ("POST", "/v1/chat/completions", KEY)
    assert seen.json["temperature"] == 0.5
    assert seen.headers["user-agent"].startswith("chomp-mcp/")


async def test_a_dialect_may_set_its_own_user_agent(client, upstream):
    request = WireRequest("GET", f"{upstream.url}/models", {"User-Agent": "other"})
    await (await client.send(request)).read()
    assert [seen.headers["user-agent"] for seen in upstream.requests] == ["other"]


async def test_connections_are_reused(client, upstream):
    for _ in range(3):
        response = await client.send(chat(upstream.url))
        await response.read()
        response.close()
    assert (len(upstream.requests), upstream.connection_count) == (3, 1)


async def test_each_piece_is_there_before_the_router_sends_the_next(client, upstream):
    gates = [anyio.Event() for _ in range(3)]
    upstream.stream([piece for text, gate in zip("abc", gates, strict=True) for piece in (text, gate)])
    response = await client.send(chat(upstream.url, stream=True))
    chunks = response.iter_bytes()
    with anyio.fail_after(5):
        for text, gate in zip("abc", gates, strict=True):
            assert f'"content": "{text}"'.encode() in await anext(chunks)
            gate.set()
        assert (await drain(response)).endswith(b"data: [DONE]\n\n")
    response.close()


async def test_closing_in_the_middle_hangs_up_on_the_router(client, upstream):
    upstream.hang(after=["a"])
    response = await client.send(chat(upstream.url, stream=True))
    await anext(response.iter_bytes())
    response.close()
    await upstream.saw_disconnect()


async def test_cancelling_before_the_headers_hangs_up_on_the_router(client, upstream):
    upstream.hang()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(client.send, chat(upstream.url))
        await upstream.saw_request()
        tasks.cancel_scope.cancel()
    await upstream.saw_disconnect()


async def test_closing_an_answer_that_goes_on_ends_its_connection_without_a_wait(client, upstream):
    upstream.hang(after=["a"])
    response = await client.send(chat(upstream.url, stream=True))
    response.close()
    await upstream.saw_disconnect()


async def test_nobody_there_is_transient_and_names_the_address(client):
    async with ScriptedRouter() as gone:
        url = gone.url
    error = await failure(client, chat(url))
    assert error.kind is FailureKind.TRANSIENT
    assert str(error) == f"127.0.0.1:{gone.port} cannot be reached: Connection refused."


async def test_an_unknown_host_is_transient(client):
    error = await failure(client, chat("http://nobody.invalid"))
    assert error.kind is FailureKind.TRANSIENT
    assert "nobody.invalid cannot be reached: " in str(error)


@pytest.mark.parametrize("after", [0, 1, 20, 150, 250, 330])
@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("stream", [False, True])
async def test_a_connection_cut_at_any_byte_is_transient(client, upstream, after, reset, stream):
    upstream.cut(["Hel", "lo"], after=after, reset=reset)
    assert (await failure(client, chat(upstream.url, stream=stream))).kind is FailureKind.TRANSIENT


async def test_what_came_before_the_cut_is_handed_on(client, upstream):
    upstream.cut(["Hel", "lo"])
    response = await client.send(chat(upstream.url, stream=True))
    chunks = response.iter_bytes()
    seen = await anext(chunks)
    while b'"lo"' not in seen:
        seen += await anext(chunks)
    with pytest.raises(Unreachable):
        await anext(chunks)
    response.close()
    assert b'"Hel"' in seen


async def test_no_headers_in_time_is_a_timeout(hasty, upstream):
    upstream.hang()
    error = await failure(hasty, chat(upstream.url))
    assert error.kind is FailureKind.TIMEOUT
    await upstream.saw_disconnect()


async def test_headers_that_trickle_for_ever_are_a_timeout(hasty, upstream):
    upstream.raw([b"HTTP/1.1 200 OK\r\n", *[piece for _ in range(5000) for piece in (b"x: y\r\n", 0.01)]])
    assert (await failure(hasty, chat(upstream.url))).kind is FailureKind.TIMEOUT


async def test_a_stream_that_stalls_is_a_timeout(hasty, upstream):
    upstream.hang(after=["a"])
    response = await hasty.send(chat(upstream.url, stream=True))
    with pytest.raises(Unreachable, match="sent nothing for") as caught:
        await drain(response)
    assert caught.value.kind is FailureKind.TIMEOUT
    response.close()


async def test_a_whole_body_that_trickles_for_ever_is_a_timeout(hasty, upstream):
    upstream.stream([piece for _ in range(5000) for piece in ("a", 0.01)])
    assert (await failure(hasty, chat(upstream.url, stream=True))).kind is FailureKind.TIMEOUT


async def test_a_stream_may_take_longer_than_the_limit_while_it_keeps_coming(upstream):
    client = Client(upstream_timeout=0.5)
    upstream.stream([piece for _ in range(8) for piece in ("a", 0.1)])
    response = await client.send(chat(upstream.url, stream=True))
    assert (await drain(response)).count(b'"a"') == 8
    response.close()
    await client.close()


async def test_an_answer_above_the_limit_is_refused(client, upstream):
    upstream.huge(3_000_000)
    response = await client.send(chat(upstream.url))
    with pytest.raises(Unreachable, match="sent more than 1 MiB"):
        await response.read(1024 * 1024)
    response.close()


async def test_of_an_error_above_the_limit_the_beginning_is_read(client, upstream):
    upstream.huge(3_000_000, status=500)
    response = await client.send(chat(upstream.url))
    assert await response.read(1000) == b"x" * 1000
    response.close()


async def test_a_stream_that_never_ends_is_refused(client, upstream, monkeypatch):
    monkeypatch.setattr(response_module, "MAX_BODY_BYTES", 1_000_000)
    upstream.huge(100_000_000)
    response = await client.send(chat(upstream.url, stream=True))
    with pytest.raises(Unreachable, match="sent more than"):
        await drain(response)
    response.close()
    await upstream.saw_disconnect()


async def test_redirects_are_answers_not_followed(client, upstream):
    upstream.reply(302, b"", {"location": "http://127.0.0.1:1/elsewhere"})
    assert (await client.send(chat(upstream.url))).status == 302
    assert len(upstream.requests) == 1


async def test_cookies_are_forgotten(client, upstream):
    upstream.reply(200, b"{}", {"set-cookie": "session=one; Path=/"})
    for _ in range(2):
        await (await client.send(chat(upstream.url))).read()
    assert all("cookie" not in seen.headers for seen in upstream.requests)


@pytest.mark.parametrize("junk", [b"\x00\x01\x02", b"SSH-2.0-OpenSSH_9.2\r\n", b"HTTP/1.1 OK\r\n\r\n"])
async def test_something_else_than_http_is_transient(client, upstream, junk):
    upstream.raw([junk])
    assert (await failure(client, chat(upstream.url))).kind is FailureKind.TRANSIENT


@pytest.mark.parametrize("url", ["http://[bad", "ftp://x.invalid/v1", "http://"])
async def test_a_url_that_is_none_is_an_error_and_no_crash(client, url):
    assert isinstance(await failure(client, chat(url)), Unreachable)


@pytest.mark.parametrize("key", ["gsk_line\nbreak", "gsk_ümlaut", "gsk_\x00"])
async def test_a_key_that_no_header_can_carry_is_a_bad_key_and_not_told(client, upstream, key):
    error = await failure(client, chat(upstream.url, key=key))
    assert error.kind is FailureKind.BAD_KEY
    assert "gsk_" not in str(error)


@pytest.mark.parametrize("value", ["line\nbreak", "ümlaut", "\x00"])
async def test_another_header_that_cannot_be_sent_does_not_condemn_the_key(client, upstream, value):
    request = chat(upstream.url)
    request = replace(request, headers={**request.headers, "X-Team": value})
    error = await failure(client, request)
    assert error.kind is FailureKind.TRANSIENT
    assert "The header x-team cannot be sent" in str(error)
    assert value not in str(error)
    assert upstream.requests == []


async def test_no_error_shows_the_key_even_in_its_traceback(client, upstream):
    upstream.cut()
    error = await failure(client, chat(upstream.url))
    shown = "".join(traceback.format_exception(error)) + repr(error) + repr(chat(upstream.url))
    assert KEY not in shown


async def test_a_password_in_the_url_is_not_told(client):
    error = await failure(client, chat("http://me:hunter2@127.0.0.1:1/v1"))
    assert "hunter2" not in str(error)


async def test_a_certificate_nobody_vouches_for_is_refused(client, self_signed):
    async with ScriptedRouter(ssl_context=self_signed) as upstream:
        error = await failure(client, chat(upstream.url))
    assert error.kind is FailureKind.TRANSIENT
    assert "self-signed certificate" in str(error)
    assert "SSL_CERT_FILE" in str(error)
    assert upstream.requests == []


async def test_https_to_a_server_without_it_is_told_what_to_write(client):
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as server:
        error = await failure(client, chat(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"))
    assert "http:// in its URL" in str(error)


async def test_a_certificate_file_that_is_not_there_is_told_where_it_is_missed(
    client, self_signed, tmp_path, monkeypatch
):
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none.pem"))
    async with ScriptedRouter(ssl_context=self_signed) as upstream:
        error = await failure(client, chat(upstream.url))
    assert f"SSL_CERT_FILE names {tmp_path / 'none.pem'}, which cannot be read." in str(error)


async def test_a_certificate_named_in_the_environment_is_trusted(self_signed, tmp_path, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
    client = Client(upstream_timeout=5)
    async with ScriptedRouter(ssl_context=self_signed) as upstream:
        assert (await client.send(chat(upstream.url))).status == 200
        await client.close()


async def test_five_hundred_streams_at_once_all_complete(upstream):
    client = Client(upstream_timeout=60)
    gate = anyio.Event()
    upstream.stream(["a", gate, "b"])
    done = []

    async def one() -> None:
        response = await client.send(chat(upstream.url, stream=True))
        done.append(await drain(response))
        response.close()

    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            for _ in range(500):
                tasks.start_soon(one)
            await upstream.saw_request(500)
            gate.set()
    assert len(done) == 500
    assert all(body.endswith(b"data: [DONE]\n\n") for body in done)
    await client.close()


async def test_reachable_tells_who_listens(client, upstream):
    assert await client.reachable(upstream.url)
    assert not await client.reachable("http://127.0.0.1:1/v1")
    assert not await client.reachable("http://nobody.invalid/v1")
    assert await client.reachable("mock://")


async def test_who_listens_is_asked_again_after_two_seconds(client, upstream, monkeypatch):
    monkeypatch.setattr(client_module, "PROBE_KEPT_SECONDS", 0.05)
    for _ in range(3):
        assert await client.reachable(upstream.url)
    assert upstream.connection_count == 1
    with anyio.fail_after(5):
        while upstream.connection_count == 1:
            await client.reachable(upstream.url)
            await anyio.lowlevel.checkpoint()
    await upstream.stop()
    with anyio.fail_after(5):
        while await client.reachable(upstream.url):
            await anyio.lowlevel.checkpoint()


async def test_a_closed_client_opens_again(client, upstream):
    await client.close()
    assert (await client.send(chat(upstream.url))).status == 200


async def test_mock_urls_are_played_without_a_socket(client):
    request = WireRequest("POST", "mock:///chat/completions", {}, wire.dumps(echo("mock/echo", stream=False)))
    assert wire.loads(await ask(client, request))["choices"][0]["message"]["content"] == "say it"
    assert client._session is None


async def test_a_mock_stream_may_be_cut_as_any_other(client):
    request = WireRequest("POST", "mock:///chat/completions", {}, wire.dumps(echo("cut?after=5", stream=True)))
    response = await client.send(request)
    assert response.status == 200
    with pytest.raises(Unreachable) as caught:
        await drain(response)
    assert caught.value.kind is FailureKind.TRANSIENT


@pytest.mark.parametrize("body", [b"", b"no json", b"[1]"])
async def test_a_mock_request_without_sense_gets_an_error_as_from_a_router(client, body):
    response = await client.send(WireRequest("POST", "mock:///chat/completions", {}, body))
    assert response.status in {400, 404}


def echo(model: str, *, stream: bool) -> dict[str, object]:
    name = model.removeprefix("mock/")
    return {"model": name, "messages": [{"role": "user", "content": "say it"}], "stream": stream}


async def test_building_a_client_opens_nothing():
    assert Client(upstream_timeout=1)._session is None
