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

from chomp_mcp.doors.http import asgi, chat_completions
from chomp_mcp.doors.http.asgi import EventStream, header_value, server_sent, while_connected
from tests.support.scripted import ScriptedRouter, chunk
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


async def test_headers_tell_who_answered_and_the_request_id(client, upstream):
    raw = await client.chat.completions.with_raw_response.create(
        model="lab/m", messages=HELLO, extra_headers={"x-request-id": "mine-1"}
    )
    told = {name: raw.headers[f"x-chomp-{name}"] for name in ("router", "model", "attempts")}
    assert told == {"router": "lab", "model": "m", "attempts": "1"}
    assert raw.request_id == "mine-1"


async def test_everything_but_the_envelope_travels_on_untouched(client, upstream):
    parts = [{"type": "text", "text": "see"}, {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}]
    body = {
        "messages": [{"role": "user", "content": parts}],
        "n": 2,
        "logprobs": True,
        "seed": 7,
        "response_format": {"type": "json_object"},
    }
    await client.chat.completions.create(model="m", **body, extra_body={"router": "lab", "odd": {"deep": [1, None]}})
    sent = upstream.chats[0].json
    assert {name: sent[name] for name in body} == body
    assert sent["odd"] == {"deep": [1, None]}
    assert sent["model"] == "m"
    assert not {"router", "stream_options"} & set(sent)
    assert not [name for name in upstream.chats[0].headers if name.startswith(("x-stainless", "openai-"))]


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


async def test_models_are_listed_and_found_by_ids_with_slashes(client, upstream):
    upstream.models(["m", "openai/gpt-oss-120b", "deep/er/still:free"])
    assert {model.id for model in (await client.models.list()).data} >= {"lab/m", "lab/openai/gpt-oss-120b"}
    for wanted in ("lab/openai/gpt-oss-120b", "openai/gpt-oss-120b"):
        assert (await client.models.retrieve(wanted)).id == "lab/openai/gpt-oss-120b"
    found = await client.models.retrieve("lab/deep/er/still:free")
    assert (found.owned_by, found.object) == ("lab", "model")
    with pytest.raises(openai.NotFoundError, match="Did you mean lab/openai/gpt-oss-120b"):
        await client.models.retrieve("lab/openai/gpt-oss-12b")


async def test_a_router_that_fails_is_left_out_of_the_list_and_named(home, upstream):
    async with ScriptedRouter() as broken:
        broken.on(path="/models").fail(500)
        async with serving(settings_for(home, lab=upstream.url, broken=broken.url)) as gateway:
            listed = (await gateway.http.get("/v1/models")).json()
    assert {model["owned_by"] for model in listed["data"]} == {"lab"}
    assert list(listed["errors"]) == ["broken"]


async def test_a_model_is_found_behind_a_router_that_no_list_of_all_shows(client):
    found = await client.models.retrieve("mock/echo")
    assert (found.id, found.owned_by) == ("mock/echo", "mock")
    with pytest.raises(openai.NotFoundError, match="Did you mean mock/echo"):
        await client.models.retrieve("mock/ecko")


async def test_a_model_of_a_router_whose_list_fails_is_no_model_that_does_not_exist(client, upstream):
    upstream.on(path="/models").fail(500, {"error": {"message": "out of order"}})
    with pytest.raises(openai.InternalServerError, match=r"lab did not list its models: .*out of order") as caught:
        await client.models.retrieve("lab/m")
    assert caught.value.status_code == 502


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


async def test_an_error_after_the_first_delta_is_an_event_and_a_clean_end(client, gateway, upstream):
    upstream.error_event({"message": "out of memory", "code": 500}, after=["Hel"])
    answer = await gateway.chat(stream=True)
    *_, last = events(answer.text)
    assert answer.status_code == 200
    assert "out of memory" in last["error"]["message"]
    assert answer.content.endswith(b"data: [DONE]\n\n")
    got = ""
    with pytest.raises(openai.APIError, match="out of memory"):
        async for piece in await client.chat.completions.create(model="lab/m", messages=HELLO, stream=True):
            got += piece.choices[0].delta.content or ""
    assert got == "Hel"


async def test_a_router_that_dies_in_mid_stream_is_an_error_event(gateway, upstream):
    upstream.cut(["Hel", "lo"])
    answer = await gateway.chat(stream=True)
    assert "error" in events(answer.text)[-1]
    assert answer.content.endswith(b"data: [DONE]\n\n")


@pytest.mark.parametrize("stream", [False, True])
async def test_a_client_that_hangs_up_stops_the_router_and_is_settled(gateway, upstream, stream):
    upstream.hang(after=["Hello", " there"])
    task = asyncio.create_task(gateway.chat(stream=stream))
    with anyio.fail_after(5):
        await upstream.saw_request()
        task.cancel()
        await upstream.saw_disconnect()
    await gateway.is_quiet()
    providers = (await gateway.http.get("/v1/providers")).json()
    assert providers["total_calls"] == 1
    assert providers["providers"]["lab"]["breaker"] == "closed"


async def test_the_money_of_a_stream_that_nobody_heard_to_its_end_is_spent(gateway, upstream):
    upstream.hang(after=["Hello", " there"])
    async with gateway.http.stream(
        "POST", "/v1/chat/completions", json={"model": "lab/m", "messages": HELLO, "stream": True}
    ) as answer:
        async for _ in answer.aiter_bytes():
            break
    with anyio.fail_after(5):
        await upstream.saw_disconnect()
    await gateway.is_quiet()
    spend = (await gateway.chomp.status())["spend"]
    assert (spend["calls_today"], spend["unpriced_calls_today"]) == (1, 1)
    assert spend["output_tokens_today"] > 0


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


async def test_a_header_cannot_be_split_by_a_models_name(gateway, upstream):
    refused = await gateway.chat(model="lab/m\r\nx-evil: 1")
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "invalid_request")
    assert "x-evil" not in refused.headers
    answer = await gateway.chat(model="lab/mé")
    assert answer.headers["x-chomp-model"] == "m%C3%A9"


def test_a_header_cannot_be_split_by_anything():
    assert header_value("m\r\nx-evil: 1é") == b"m%0D%0Ax-evil: 1%C3%A9"


async def test_a_silent_stream_is_kept_alive_with_comments(monkeypatch):
    monkeypatch.setattr(asgi, "KEEPALIVE_SECONDS", 0.001)
    sent: list[bytes] = []
    said = anyio.Event()

    async def send(message):
        if b"keepalive" in message.get("body", b""):
            said.set()
        sent.append(message.get("body", b""))

    async def receive():
        await anyio.sleep_forever()

    words = chat_completions.OpenAIWords({})
    stream = EventStream(send, words.failure, words.pulse)

    async def work():
        async with stream:
            await stream.start([])
            await stream.write(server_sent({"a": 1}))
            await said.wait()
            stream.last = b"data: [DONE]\n\n"

    with anyio.fail_after(5):
        await while_connected({}, receive, work, stream)
    assert sent[:3] == [b"", b'data: {"a":1}\n\n', b": keepalive\n\n"]
    assert sent[-1] == b"data: [DONE]\n\n"


def test_a_frame_of_several_lines_stays_one_event():
    delta = chunk("hi")
    pretty = json.dumps(delta, indent=1).encode()
    frames = chat_completions.OpenAIWords({}).frames([chat_completions.Delta(data=pretty)])
    lines = frames.decode().rstrip("\n").split("\n")
    assert all(line.startswith("data: ") for line in lines)
    assert json.loads("\n".join(line[6:] for line in lines)) == delta


async def test_a_connection_serves_many_answers(gateway, upstream):
    async with httpx2.AsyncClient(base_url=gateway.url, limits=httpx2.Limits(max_connections=1)) as http:
        for stream in (False, True, False):
            body = {"model": "lab/m", "messages": HELLO, "stream": stream}
            assert (await http.post("/v1/chat/completions", json=body)).status_code == 200


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
