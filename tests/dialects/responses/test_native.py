"""The Responses door on a route that speaks Responses itself: nothing is translated, everything is accounted for."""

from __future__ import annotations

from dataclasses import replace

import pytest
from openai import AsyncOpenAI

from tests.support.responses_answers import events_of, response, script_response, thought, wired
from tests.support.scripted import ScriptedRouter, Wire
from tests.support.serving import Served, serving, settings_for

pytestmark = pytest.mark.anyio
ROUTER = ("gpt", "responses", "sk-lab")
CALL = {
    "id": "fc_1",
    "type": "function_call",
    "status": "completed",
    "call_id": "c1",
    "name": "f",
    "namespace": "mcp__x",
    "arguments": '{"a": [1, 2]}',
}
SEARCH = {"id": "ws_1", "type": "web_search_call", "status": "completed", "action": {"type": "search", "query": "x"}}
BODY = {
    "model": "gpt/gpt-5.5",
    "input": [
        {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "rules"}]},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]},
        thought(ident="rs_0", sealed="Zmlyc3Q="),
        {**CALL, "id": "fc_0"},
        {"type": "function_call_output", "call_id": "c1", "output": "r"},
        {"type": "item_of_tomorrow", "deep": [None]},
    ],
    "tools": [
        {"type": "web_search", "external_web_access": True},
        {"type": "namespace", "name": "mcp__x", "description": "d", "tools": [{"type": "function", "name": "f"}]},
    ],
    "include": ["reasoning.encrypted_content"],
    "prompt_cache_key": "k",
    "client_metadata": {"x": "y"},
    "a_field_of_tomorrow": {"deep": [None]},
}
USAGE = {
    "input_tokens": 100,
    "input_tokens_details": {"cached_tokens": 90, "cache_write_tokens": 0},
    "output_tokens": 30,
    "output_tokens_details": {"reasoning_tokens": 20},
    "total_tokens": 130,
}


async def post(served: Served, **more):
    return await served.http.post("/v1/responses", json={**BODY, **more}, headers={"openai-beta": "x=v1"})


async def test_the_body_goes_through_untouched(served, upstream):
    script_response(upstream, response("hello"))
    assert (await post(served)).status_code == 200
    sent = upstream.chats[0]
    assert sent.json == {**BODY, "model": "gpt-5.5"}
    assert sent.path == "/v1/responses"
    assert [sent.headers.get(name) for name in ("authorization", "openai-beta")] == ["Bearer sk-lab", "x=v1"]


async def test_the_answer_comes_back_as_it_was_written(served, upstream):
    answer = response(thought("hm"), SEARCH, "hello", CALL, usage=USAGE, tomorrow={"x": 1}, store=True)
    script_response(upstream, answer)
    whole, streamed = await post(served), await post(served, stream=True)
    assert whole.json() == answer
    assert streamed.content == wired(events_of(answer))
    for told in (whole, streamed):
        assert told.headers["x-chomp-router"] == "gpt"
        assert "x-chomp-notes" not in told.headers
    text = served.chomp.metrics.render({}).decode()
    labels = '{model="gpt-5.5",router="gpt"'
    assert f'chomp_tokens_total{labels},type="input"}} 200.0' in text
    assert f'chomp_tokens_total{labels},type="cached"}} 180.0' in text
    assert f'chomp_tokens_total{labels},type="output"}} 60.0' in text


async def test_the_sdk_takes_the_stream_in_any_chunking(served, upstream):
    answer = response(thought("hm"), "hellö " * 20, CALL)
    bytes_ = wired(events_of(answer))

    async def play(_request, wire: Wire) -> None:
        await wire.head(200, {"content-type": "text/event-stream"})
        for start in range(0, len(bytes_), 97):
            await wire.send(bytes_[start : start + 97])
        await wire.end()

    upstream.play(play)
    async with (
        AsyncOpenAI(base_url=f"{served.url}/v1", api_key="none") as client,
        client.responses.stream(model="gpt/m", input="hi") as stream,
    ):
        told = await stream.get_final_response()
    assert [item.type for item in told.output] == ["reasoning", "message", "function_call"]
    assert told.output[0].encrypted_content == "c2VhbGVk"


async def test_an_answer_that_only_searches_for_a_tool_is_one(served, upstream):
    search = {"id": "tsc_1", "type": "tool_search_call", "status": "completed", "execution": "client"}
    answer = response(search)
    script_response(upstream, answer)
    assert (await post(served)).json() == answer
    assert (await post(served, stream=True)).content == wired(events_of(answer))


async def test_what_the_router_has_stored_may_be_named(served, upstream):
    script_response(upstream, response("hello"))
    reference = [{"type": "item_reference", "id": "rs_9"}]
    told = await post(served, previous_response_id="resp_0", store=True, input=reference)
    assert told.status_code == 200, told.text
    assert upstream.chats[0].json["previous_response_id"] == "resp_0"
    assert upstream.chats[0].json["input"] == reference


async def test_what_is_stored_elsewhere_does_not_reach_a_route_that_gets_a_translation(home):
    async with ScriptedRouter() as chat, ScriptedRouter() as gpt:
        gpt.fail(500)
        rows = {"chat": {"url": chat.url}, "gpt": {"url": gpt.url, "dialect": "responses"}}
        environ = {"LLM_DEFAULT_MODEL": "gpt/m", "LLM_FALLBACKS": "chat/m"}
        async with serving(replace(settings_for(home, environ=environ), router_rows=rows)) as gateway:
            stateless = await post(gateway, model="auto")
            stateful = await post(gateway, model="auto", previous_response_id="resp_0")
        assert stateless.headers["x-chomp-router"] == "chat"
        assert "item_of_tomorrow" in stateless.headers["x-chomp-notes"]
        assert stateful.status_code == 502
        assert len(chat.chats) == 1


async def test_a_refusal_keeps_the_routers_words(served, upstream):
    upstream.fail(400, {"error": {"message": "tools: too many", "type": "invalid_request_error", "code": "x"}})
    told = await post(served)
    assert told.status_code == 400
    assert "tools: too many" in told.json()["error"]["message"]


async def test_a_stream_that_breaks_goes_on_with_its_own_end(served, upstream):
    started = events_of(response("hello"))[:5]

    async def play(_request, wire: Wire) -> None:
        await wire.head(200, {"content-type": "text/event-stream"})
        await wire.send(wired(started))
        await wire.end()

    upstream.play(play)
    async with AsyncOpenAI(base_url=f"{served.url}/v1", api_key="none", max_retries=0) as client:
        events = [event async for event in await client.responses.create(model="gpt/m", input="hi", stream=True)]
    assert [event.sequence_number for event in events] == list(range(6))
    assert (events[-1].type, events[-1].response.id) == ("response.failed", "resp_1")
    assert events[-1].response.error.message


async def test_what_a_chat_model_thought_does_not_reach_the_router(home):
    async with ScriptedRouter() as chat, ScriptedRouter() as gpt:
        chat.answer("hello", reasoning_content="hm")
        script_response(gpt, response("again"))
        rows = {"chat": {"url": chat.url}, "gpt": {"url": gpt.url, "dialect": "responses"}}
        async with (
            serving(replace(settings_for(home), router_rows=rows)) as gateway,
            AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key="none") as client,
        ):
            first = await client.responses.create(
                model="chat/m", input="hi", include=["reasoning.encrypted_content"], store=False
            )
            turns = [{"role": "user", "content": "hi"}, *first.output, {"role": "user", "content": "go on"}]
            await client.responses.create(model="gpt/m", input=turns)
            await client.responses.create(model="chat/m", input=turns)
        assert [item.get("type", "message") for item in gpt.chats[0].json["input"]] == ["message"] * 3
        assert chat.chats[1].json["messages"][1]["reasoning_content"] == "hm"


async def test_a_model_that_its_routers_row_says_speaks_responses_gets_the_request_untouched(home, upstream):
    environ = {"OPENCODE_API_KEY": "sk-zen", "CHOMP_ROUTER_ZEN_URL": upstream.url}
    answer = response(thought("hm"), "hello")
    script_response(upstream, answer)
    async with serving(settings_for(home, environ=environ)) as gateway:
        told = await post(gateway, model="zen/gpt-5.5", previous_response_id="resp_0")
    assert told.json() == answer
    assert upstream.chats[0].json == {**BODY, "model": "gpt-5.5", "previous_response_id": "resp_0"}
    assert upstream.chats[0].path.endswith("/responses")
