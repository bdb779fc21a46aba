"""The OpenAI API, judged by the official package."""

from __future__ import annotations

import asyncio
import json

import anyio
import httpx2
import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from pydantic import BaseModel

from tests.support.scripted import chunk
from tests.support.serving import Served, serving, settings_for

pytestmark = pytest.mark.anyio
HELLO = [{"role": "user", "content": "hi"}]
WEATHER = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}
CALL = {"index": 0, "id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"in": "Rome"}'}}


@pytest.fixture
async def client(gateway: Served):
    async with AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key="none") as client:
        yield client


def events(text: str) -> list:
    return [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: {")]


async def test_an_answer_keeps_what_the_router_said_and_adds_the_receipt(client, upstream):
    upstream.answer("hello", extra={"x_lab": {"id": "7"}}, reasoning="because")
    answer = await client.chat.completions.create(model="lab/m", messages=HELLO)
    assert answer.choices[0].message.content == "hello"
    assert answer.choices[0].message.reasoning == "because"
    assert answer.usage.total_tokens == 10
    assert answer.x_lab == {"id": "7"}
    assert answer.chomp["router"] == "lab"
    assert answer.chomp["model"] == "m"
    assert answer.chomp["cost_usd"] is None
    assert [attempt["outcome"] for attempt in answer.chomp["attempts"]] == ["ok"]


async def test_the_synchronous_client_gets_the_same(gateway, upstream):
    def ask() -> tuple:
        with OpenAI(base_url=f"{gateway.url}/v1", api_key="none") as client:
            whole = client.chat.completions.create(model="lab/m", messages=HELLO)
            stream = client.chat.completions.create(model="lab/m", messages=HELLO, stream=True)
            return whole.choices[0].message.content, "".join(c.choices[0].delta.content or "" for c in stream)

    upstream.answer("hello you")
    assert await anyio.to_thread.run_sync(ask) == ("hello you", "hello you")


async def test_a_stream_brings_every_frame_and_the_usage_only_if_asked_for(client, upstream):
    upstream.stream(["Hel", "lo"])
    stream = await client.chat.completions.create(model="lab/m", messages=HELLO, stream=True)
    chunks = [chunk async for chunk in stream]
    assert "".join(c.choices[0].delta.content or "" for c in chunks) == "Hello"
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert stream.response.headers["x-chomp-attempts"] == "1"

    options = {"include_usage": True}
    stream = await client.chat.completions.create(model="lab/m", messages=HELLO, stream=True, stream_options=options)
    *_, last = [chunk async for chunk in stream]
    assert (last.choices, last.usage.total_tokens) == ([], 10)
    assert (last.chomp["router"], last.chomp["cost_usd"]) == ("lab", None)


@pytest.mark.parametrize("asked", [False, True])
async def test_usage_in_the_routers_finish_chunk_is_told_once_and_only_if_asked_for(gateway, upstream, asked):
    usage = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10, "cost": 0.25}
    usage["prompt_tokens_details"] = {"cached_tokens": 2}
    upstream.stream(["hi", {**chunk(finish="stop"), "usage": usage}], usage=None, finish=None)
    answer = await gateway.chat(stream=True, **({"stream_options": {"include_usage": True}} if asked else {}))
    told = events(answer.text)
    assert [event["usage"] for event in told if event.get("usage")] == ([usage] if asked else [])
    assert [choice["finish_reason"] for event in told for choice in event["choices"]] == [None, "stop"]
    assert (told[-1].get("chomp", {}).get("cost_usd")) == ("0.25" if asked else None)


async def test_frames_are_relayed_byte_for_byte_and_the_stream_ends_with_done(gateway, upstream):
    odd = b'{"id":"1", "choices":[{"index":0,"delta":{"content":"\\u00e9"}}],  "x":1.0}'
    upstream.stream([b"data: " + odd + b"\n\n"], usage=None)
    answer = await gateway.chat(stream=True)
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.content.startswith(b"data: " + odd + b"\n\n")
    assert answer.content.endswith(b"data: [DONE]\n\n")
    assert answer.content.count(b"[DONE]") == 1


async def test_usage_that_the_router_kept_to_itself_is_estimated(gateway, upstream):
    upstream.stream(["Hello there"], usage=None)
    answer = await gateway.chat(stream=True, stream_options={"include_usage": True})
    last = events(answer.text)[-1]
    assert last["choices"] == []
    assert last["usage"]["completion_tokens"] > 0


@pytest.mark.parametrize("stream", [False, True])
async def test_tool_calls_come_through(client, upstream, stream):
    upstream.answer("", tool_calls=[CALL])
    if not stream:
        answer = await client.chat.completions.create(model="lab/m", messages=HELLO, tools=[WEATHER])
        call = answer.choices[0].message.tool_calls[0]
    else:
        async with client.chat.completions.stream(model="lab/m", messages=HELLO, tools=[WEATHER]) as events_of:
            final = await events_of.get_final_completion()
        call = final.choices[0].message.tool_calls[0]
    assert (call.id, call.function.name, json.loads(call.function.arguments)) == ("c1", "weather", {"in": "Rome"})
    assert upstream.chats[0].json["tools"] == [WEATHER]


async def test_structured_outputs_are_parsed(client, upstream):
    class City(BaseModel):
        name: str
        people: int

    upstream.answer('{"name": "Rome", "people": 3}')
    answer = await client.chat.completions.parse(model="lab/m", messages=HELLO, response_format=City)
    assert answer.choices[0].message.parsed == City(name="Rome", people=3)
    assert upstream.chats[0].json["response_format"]["json_schema"]["name"] == "City"


async def test_the_routers_own_4xx_is_passed_on(client, upstream):
    upstream.fail(
        400, {"error": {"message": "bad top_p", "type": "invalid_request_error", "code": "x", "param": "top_p"}}
    )
    with pytest.raises(openai.BadRequestError, match="bad top_p") as caught:
        await client.chat.completions.create(model="lab/m", messages=HELLO)
    assert (caught.value.code, caught.value.param) == ("x", "top_p")
    assert caught.value.request_id.startswith("req_")
    assert len(upstream.chats) == 1


@pytest.mark.parametrize("stream", [False, True])
async def test_the_sdk_does_not_multiply_our_own_retries(client, upstream, stream):
    upstream.fail(500)
    with pytest.raises(openai.InternalServerError) as caught:
        await client.chat.completions.create(model="lab/m", messages=HELLO, stream=stream)
    assert caught.value.status_code == 502
    assert caught.value.response.headers["x-should-retry"] == "false"
    assert caught.value.response.headers["x-chomp-attempts"] == str(len(upstream.chats))
    assert len(upstream.chats) <= 2


async def test_our_own_rate_limit_is_waited_out_by_the_sdk(home, upstream):
    environ = {"GATEWAY_RATE_RPS": "50", "GATEWAY_RATE_BURST": "1"}
    async with serving(settings_for(home, environ=environ, lab=upstream.url)) as gateway:
        async with AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key="none", max_retries=5) as client:
            ask = client.chat.completions.create
            answers = await asyncio.gather(*(ask(model="lab/m", messages=HELLO) for _ in range(3)))
        assert [answer.choices[0].message.content for answer in answers] == ["hello"] * 3
        statuses = await asyncio.gather(*(gateway.chat() for _ in range(20)))
        refused = next(answer for answer in statuses if answer.status_code == 429)
        assert refused.json()["error"]["code"] == "rate_limit_exceeded"
        assert int(refused.headers["retry-after"]) == 1
        assert 0 < int(refused.headers["retry-after-ms"]) <= 20


@pytest.mark.parametrize("stream", [False, True])
async def test_half_an_emoji_as_some_routers_cut_them_still_comes_through(gateway, upstream, stream):
    half = b'"content": "ab\\ud83d"'
    whole = b'{"id": "1", "choices": [{"index": 0, "message": {"role": "assistant", %b}}]}' % half
    if stream:
        upstream.stream([b'data: {"id": "1", "choices": [{"index": 0, "delta": {%b}}]}\n\n' % half], usage=None)
    else:
        upstream.reply(200, whole)
    answer = await gateway.chat(stream=stream)
    assert answer.status_code == 200
    assert "ab" in answer.text


async def test_the_time_that_the_sdk_waits_bounds_all_attempts(gateway, upstream):
    upstream.hang()
    raw = {"model": "lab/m", "messages": HELLO}
    with anyio.fail_after(5):
        async with httpx2.AsyncClient() as http:
            told = {"x-stainless-read-timeout": "0.2"}
            answer = await http.post(f"{gateway.url}/v1/chat/completions", json=raw, headers=told)
    assert answer.status_code == 504
    assert answer.json()["error"]["code"] == "upstream_timeout"
    await upstream.saw_disconnect()


async def test_a_burst_waits_in_line_and_a_flood_is_refused(home, upstream):
    environ = {"GATEWAY_RATE_RPS": "40", "GATEWAY_RATE_BURST": "5"}
    async with serving(settings_for(home, environ=environ, lab=upstream.url)) as gateway:
        burst = await asyncio.gather(*(gateway.chat() for _ in range(20)))
        assert {answer.status_code for answer in burst} == {200}
        flood = await asyncio.gather(*(gateway.chat() for _ in range(60)))
        assert {answer.status_code for answer in flood} == {200, 429}
        assert len([answer for answer in flood if answer.status_code == 200]) >= 20
