"""A router that speaks Responses, through the doors that speak something else."""

from __future__ import annotations

from dataclasses import replace

import pytest
from anthropic import AsyncAnthropic
from openai import AsyncOpenAI

from tests.support.responses_answers import response, script_response, thought
from tests.support.scripted import ScriptedRouter
from tests.support.serving import serving, settings_for

pytestmark = pytest.mark.anyio

CALL = {
    "id": "fc_1",
    "type": "function_call",
    "status": "completed",
    "call_id": "c1",
    "name": "weather",
    "arguments": '{"at": "Rome"}',
}
SCHEMA = {"type": "object", "properties": {"at": {"type": "string"}}}


@pytest.fixture
async def upstream():
    async with ScriptedRouter() as router:
        yield router


@pytest.fixture
async def served(home, upstream):
    settings = settings_for(home, environ={"LAB_KEY": "sk-lab"})
    row = {"url": upstream.url, "dialect": "responses", "key": "LAB_KEY"}
    upstream.models([{"id": "gpt-5.5", "object": "model"}])
    async with serving(replace(settings, router_rows={"gpt": row})) as gateway:
        yield gateway


@pytest.mark.parametrize("stream", [False, True])
async def test_chat_completions_carry_the_whole_round_of_a_tool(served, upstream, stream):
    script_response(upstream, response(thought("hm"), "I look.", CALL))
    tools = [{"type": "function", "function": {"name": "weather", "parameters": SCHEMA}}]
    turns = [{"role": "user", "content": "weather?"}]
    async with AsyncOpenAI(base_url=f"{served.url}/v1", api_key="none") as client:
        if stream:
            asked = {"messages": turns, "tools": tools, "stream_options": {"include_usage": True}}
            async with client.chat.completions.stream(model="gpt/gpt-5.5", **asked) as events:
                told = await events.get_final_completion()
        else:
            told = await client.chat.completions.create(model="gpt/gpt-5.5", messages=turns, tools=tools)
        message = told.choices[0].message
        assert (message.content, message.reasoning_content) == ("I look.", "hm")
        assert message.tool_calls[0].function.arguments == '{"at": "Rome"}'
        assert (told.choices[0].finish_reason, told.usage.total_tokens) == ("tool_calls", 10)
        turns += [message.model_dump(exclude_none=True), {"role": "tool", "tool_call_id": "c1", "content": "sun"}]
        script_response(upstream, response("Sunny."))
        await client.chat.completions.create(model="gpt/gpt-5.5", messages=turns, tools=tools)
    kinds = [item["type"] for item in upstream.chats[1].json["input"]]
    assert kinds == ["message", "reasoning", "message", "function_call", "function_call_output"]
    assert upstream.chats[1].json["input"][1] == thought("hm")


@pytest.mark.parametrize("stream", [False, True])
async def test_messages_carry_the_whole_round_of_a_tool(served, upstream, stream):
    script_response(upstream, response(thought("hm"), "I look.", CALL))
    asked = {"model": "gpt/gpt-5.5", "max_tokens": 99, "tools": [{"name": "weather", "input_schema": SCHEMA}]}
    turns = [{"role": "user", "content": "weather?"}]
    async with AsyncAnthropic(base_url=served.url, api_key="none") as client:
        if stream:
            async with client.messages.stream(**asked, messages=turns) as events:
                told = await events.get_final_message()
        else:
            told = await client.messages.create(**asked, messages=turns)
        assert [block.type for block in told.content] == ["thinking", "text", "tool_use"]
        assert (told.content[0].thinking, told.content[2].input) == ("hm", {"at": "Rome"})
        result = {"type": "tool_result", "tool_use_id": told.content[2].id, "content": "sun"}
        turns += [{"role": "assistant", "content": told.content}, {"role": "user", "content": [result]}]
        script_response(upstream, response("Sunny."))
        await client.messages.create(**asked, messages=turns)
    items = upstream.chats[1].json["input"]
    assert [item["type"] for item in items] == [
        *("message", "reasoning", "message", "function_call", "function_call_output")
    ]
    assert items[1] == thought("hm")


async def test_a_model_that_seals_nothing_is_asked_without_and_remembered(served, upstream):
    words = {"message": "Encrypted content is not supported with this model.", "type": "invalid_request_error"}
    upstream.fail(400, {"error": {**words, "param": "include"}})
    script_response(upstream, response("hello"))
    body = {"model": "gpt/gpt-5.5", "messages": [{"role": "user", "content": "hi"}]}
    for _ in range(2):
        told = await served.http.post("/v1/chat/completions", json=body)
        assert told.json()["choices"][0]["message"]["content"] == "hello"
    assert ["include" in request.json for request in upstream.chats] == [True, False, False]


async def test_errors_keep_their_meaning(served, upstream):
    upstream.fail(429, {"error": {"message": "Slow down.", "type": "rate_limit_error"}}, {"retry-after": "7"})
    told = await served.http.post(
        "/v1/chat/completions", json={"model": "gpt/gpt-5.5", "messages": [{"role": "user", "content": "hi"}]}
    )
    assert told.status_code == 429
    assert "Slow down." in told.json()["error"]["message"]
