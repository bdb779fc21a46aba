"""ChompClient against a served gateway."""

from __future__ import annotations

import asyncio
import gc
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import anyio
import pytest

from chomp_mcp import ChompClient, ChompError
from chomp_mcp.client import GatewayError
from chomp_mcp.errors import InvalidRequest
from tests.doors.conftest import gateway, upstream
from tests.support.scripted import ScriptedRouter, chunk
from tests.support.serving import serving, settings_for

__all__ = ["gateway", "upstream"]

pytestmark = pytest.mark.anyio


@pytest.fixture
def upstream_for_threads():
    with ScriptedRouter() as upstream:
        yield upstream


@pytest.fixture
async def client(gateway):
    async with ChompClient(gateway.url) as client:
        yield client


async def test_chat_takes_a_prompt_or_messages_and_passes_options_on(client, upstream):
    upstream.answer("hello")
    for asked in ("hi", [{"role": "user", "content": "hi"}]):
        answer = await client.chat(asked, model="lab/m", temperature=0.1)
        assert answer["choices"][0]["message"]["content"] == "hello"
        assert answer["chomp"]["router"] == "lab"
    assert [request.json["messages"] for request in upstream.chats] == [[{"role": "user", "content": "hi"}]] * 2
    assert upstream.chats[0].json["temperature"] == 0.1


async def test_the_router_can_be_named_apart(client, upstream):
    await client.chat("hi", model="m", router="lab")
    assert upstream.chats[0].model == "m"


async def test_a_stream_comes_piece_by_piece(client, upstream):
    go = anyio.Event()
    upstream.stream(["Hel", go, "lo", chunk(reasoning_content="not this"), b": comment\n\n"])
    pieces = []
    with anyio.fail_after(5):
        async for text in client.chat_stream("hi", model="lab/m"):
            pieces.append(text)
            go.set()
    assert pieces == ["Hel", "lo"]


async def test_a_stream_that_is_left_early_stops_the_router(client, upstream):
    upstream.hang(after=["Hello"])
    stream = client.chat_stream("hi", model="lab/m")
    assert await anext(stream) == "Hello"
    await stream.aclose()
    await upstream.saw_disconnect()


async def test_a_stream_that_breaks_raises_after_what_came(client, upstream):
    upstream.error_event({"message": "out of memory"}, after=["Hel"])
    pieces = []
    with pytest.raises(GatewayError, match="out of memory"):
        async for text in client.chat_stream("hi", model="lab/m"):
            pieces.append(text)
    assert pieces == ["Hel"]


async def test_jobs_are_dispatched_and_collected(client, upstream):
    seen = threading.Event()
    upstream.answer("hello", before=seen)
    job = await client.dispatch("hi", model="lab/m", system="be kind", temperature=0.1)
    assert (job["router"], job["status"]) == ("lab", "running")
    seen.set()
    done = await client.result(job["id"], wait_seconds=5)
    assert (done["status"], done["result"]) == ("done", "hello")
    assert upstream.chats[0].json["messages"][0] == {"role": "system", "content": "be kind"}


async def test_models_are_listed_by_router_or_all_together(client, upstream):
    upstream.models(["m", "n"])
    assert [model["id"] for model in await client.list_models("lab")] == ["lab/m", "lab/n"]
    assert "lab/m" in [model["id"] for model in await client.list_models()]


async def test_registering_gives_a_token_that_is_used_from_then_on(client, gateway):
    answer = await client.register_keys({"groq": "gsk_aaaaaaaaaaaa1111"})
    assert answer["token"] == client.token
    merged = await client.register_keys({"zen": "zen_aaaaaaaaaaaa2222"})
    assert "token" not in merged
    assert merged["routers"] == {"groq": "gsk_…1111", "zen": "zen_…2222"}
    assert await gateway.chomp.keyring.previews(await gateway.chomp.keyring.find(client.token)) == merged["routers"]


async def test_the_token_opens_a_closed_gateway(home):
    async with serving(replace(settings_for(home), auth_token="s3cret")) as gateway:
        async with ChompClient(gateway.url) as stranger:
            with pytest.raises(GatewayError) as caught:
                await stranger.list_models("mock")
            assert (caught.value.status, caught.value.code) == (401, "invalid_api_key")
        async with ChompClient(gateway.url + "/", "s3cret") as owner:
            assert await owner.list_models("mock")


async def test_a_refusal_carries_what_the_envelope_says(client, upstream):
    upstream.fail(400, {"error": {"message": "bad top_p", "type": "t", "code": "c", "param": "top_p"}})
    with pytest.raises(ChompError, match="bad top_p") as caught:
        await client.chat("hi", model="lab/m")
    error = caught.value
    assert (error.status, error.code, error.kind, error.param) == (400, "c", "t", "top_p")
    assert error.request_id.startswith("req_")
    assert error.retry_after is None


async def test_how_long_to_wait_is_told_in_seconds(home, upstream):
    settings = settings_for(home, environ={"GATEWAY_RATE_RPS": "0.1", "GATEWAY_RATE_BURST": "1"}, lab=upstream.url)
    async with serving(settings) as gateway, ChompClient(gateway.url) as client:
        await client.chat("hi", model="lab/m")
        with pytest.raises(GatewayError) as caught:
            await client.chat("hi", model="lab/m")
    assert 9 <= caught.value.retry_after <= 10


async def test_a_gateway_that_is_not_there_is_an_error_with_the_next_step():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    async with ChompClient(f"http://127.0.0.1:{port}") as client:
        with pytest.raises(GatewayError, match="Is chomp-mcp serve running there") as caught:
            await client.chat("hi")
    assert (caught.value.status, caught.value.kind) == (0, "connection_error")


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (502, b"<html>"),
        (502, b'{"error": "bad gateway"}'),
        (502, b'["error"]'),
        (502, b"7"),
        (200, b"<html>"),
        (200, b"7"),
    ],
)
async def test_something_that_is_no_gateway_is_told_as_such(upstream, status, body):
    upstream.reply(status, body)
    async with ChompClient(upstream.base) as client:
        with pytest.raises(GatewayError, match="no gateway") as caught:
            await client.chat("hi")
    assert caught.value.status == status


@pytest.mark.parametrize("event", ["7", "<p>", '{"choices": [{}]}', '{"choices": 7}', '["error"]'])
async def test_a_stream_of_something_else_is_told_as_such(upstream, event):
    upstream.stream([f"data: {event}\n\n".encode()])
    async with ChompClient(upstream.base) as client:
        with pytest.raises(GatewayError, match="no gateway"):
            async for _ in client.chat_stream("hi"):
                pass


async def test_what_cannot_be_sent_is_refused_with_what_to_give(client):
    for param, call, values in (
        ("messages", client.chat, [None, 5]),
        ("model", lambda value: client.chat("hi", model=value), [5, b"m"]),
        ("stream", lambda value: client.chat("hi", stream=value), [True]),
        ("prompt", client.dispatch, [None, 5]),
        ("router", client.list_models, [5, ["groq"]]),
        ("job_id", client.result, [None, 5]),
        ("wait_seconds", lambda value: client.result("job_1", wait_seconds=value), [None, "5"]),
        ("keys", client.register_keys, [None, ["groq"], "gsk_1"]),
        (None, lambda value: client.chat("hi", stop=value), [b"x", {"x"}]),
    ):
        for value in values:
            with pytest.raises(InvalidRequest) as refused:
                await call(value)
            assert (refused.value.param, bool(refused.value.hint)) == (param, True), value


@pytest.mark.parametrize(
    "address", [None, 5, "", "localhost:8080", "ftp://x", "http://", "http://[::1", "http://x:99999", "chomp_secret"]
)
def test_an_address_that_is_none_is_refused_at_once(address):
    with pytest.raises(InvalidRequest) as refused:
        ChompClient(address)
    assert refused.value.param == "base_url"
    assert "http://127.0.0.1:8080" in refused.value.hint
    assert "chomp_secret" not in str(refused.value)


def test_a_token_that_no_header_carries_is_refused_and_not_shown():
    for token in ("s3cret\0", "s3cret ", "s3cret\n", "s3crét", 5):
        with pytest.raises(InvalidRequest) as refused:
            ChompClient(token=token)
        assert "s3cr" not in str(refused.value)
    assert not ChompClient(token=None).token


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_client_serves_every_event_loop(upstream_for_threads):
    upstream_for_threads.models(["m"])
    client = ChompClient(upstream_for_threads.base)
    told = [asyncio.run(client.list_models()) for _ in range(3)]
    with ThreadPoolExecutor(4) as threads:
        told += threads.map(lambda _: asyncio.run(client.list_models()), range(4))
    assert {models[0]["id"] for models in told} == {"m"}
    asyncio.run(client.close())
    gc.collect()  # the sockets of loops that have ended, while their warnings are this test's


async def test_an_answer_that_takes_too_long_says_what_to_do(upstream):
    upstream.hang()
    async with ChompClient(upstream.base, timeout=0.05) as client:
        with pytest.raises(GatewayError, match="a longer timeout") as caught:
            await client.chat("hi")
    assert (caught.value.status, caught.value.kind) == (0, "connection_error")


async def test_a_closed_client_says_so(gateway):
    async with ChompClient(gateway.url, timeout=5) as client:
        await client.list_models("mock")
    with pytest.raises(InvalidRequest, match="closed"):
        await client.list_models("mock")


def test_a_token_never_shows():
    assert "s3cret" not in repr(ChompClient("http://127.0.0.1:1", "s3cret"))
