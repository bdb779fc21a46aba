"""Anthropic as a router: what goes out is what Messages takes, and what comes back can be sent back."""

from __future__ import annotations

import base64
import json

import openai
import pytest

from tests.support.scripted import chunk, sse
from tests.support.wires import HELLO, wires

pytestmark = pytest.mark.anyio

SSE = {"content-type": "text/event-stream"}
WEATHER = {"name": "get_weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}
TOOL = {"type": "function", "function": WEATHER}
THOUGHTS = [
    {"type": "thinking", "thinking": "Where is it?", "signature": "EqQB"},
    {"type": "redacted_thinking", "data": "EmwK"},
]
USE = {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {"city": "Paris"}}
USAGE = {"input_tokens": 5, "output_tokens": 7}


def message(*blocks, stop="end_turn"):
    head = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-x"}
    return {**head, "content": list(blocks), "stop_reason": stop, "usage": USAGE}


def events(*blocks, stop="end_turn"):
    """The same message as a stream, its texts in two pieces."""
    out = [{"type": "message_start", "message": {**message(), "stop_reason": None}}]
    for at, block in enumerate(blocks):
        out += [{"type": "content_block_start", "index": at, "content_block": _begin(block)}]
        out += [{"type": "content_block_delta", "index": at, "delta": delta} for delta in _deltas(block)]
        out += [{"type": "content_block_stop", "index": at}]
    out += [{"type": "message_delta", "delta": {"stop_reason": stop}, "usage": USAGE}, {"type": "message_stop"}]
    return b"".join(b"event: " + event["type"].encode() + b"\n" + sse(event) for event in out)


def _begin(block):
    blank = {"thinking": "", "signature": "", "text": "", "input": {}}
    return {
        name: blank.get(name, value) if block["type"] != "redacted_thinking" else value for name, value in block.items()
    }


def _deltas(block):
    if block["type"] == "thinking":
        yield {"type": "thinking_delta", "thinking": block["thinking"][:4]}
        yield {"type": "thinking_delta", "thinking": block["thinking"][4:]}
        yield {"type": "signature_delta", "signature": block["signature"]}
    if block["type"] == "text":
        yield {"type": "text_delta", "text": block["text"]}
    if block["type"] == "tool_use":
        yield {"type": "input_json_delta", "partial_json": json.dumps(block["input"])}


async def sent(w, **body):
    """The body that reaches the router, and the notes of the receipt."""
    w.anthropic.reply(200, message({"type": "text", "text": "hi"}))
    answer = await w.chat("anthropic/claude-opus-5-5", **body)
    return w.anthropic.chats[-1].json, answer.chomp.get("notes", [])


@pytest.mark.parametrize("streamed", [False, True])
async def test_thinking_and_its_signatures_go_round(home, streamed):
    async with wires(home, "anthropic") as w:
        if streamed:
            w.anthropic.reply(200, events(*THOUGHTS, USE, stop="tool_use"), SSE)
            answer = await w.streamed("anthropic/claude-opus-5-5", tools=[TOOL])
        else:
            w.anthropic.reply(200, message(*THOUGHTS, USE, stop="tool_use"))
            answer = await w.chat("anthropic/claude-opus-5-5", tools=[TOOL])
        said = answer.choices[0].message
        assert said.reasoning_content == "Where is it?"
        w.anthropic.clear()
        back = {name: value for name, value in said.model_dump().items() if name != "parsed"}
        result = {"role": "tool", "tool_call_id": said.tool_calls[0].id, "content": "sunny"}
        body, notes = await sent(
            w,
            tools=[TOOL],
            messages=[*HELLO, back, result],
            extra_body={"thinking": {"type": "enabled", "budget_tokens": 2000}},
        )
        assert body["messages"][1]["content"] == [*THOUGHTS, USE]
        assert body["thinking"] == {"type": "enabled", "budget_tokens": 2000}
        assert not [note for note in notes if "thinking" in note or "reasoning" in note]


async def test_signed_reasoning_details_are_thinking_too(home):
    details = [
        {"type": "reasoning.text", "text": "hm", "signature": "Eq", "format": "anthropic-claude-v1", "index": 0},
        {"type": "reasoning.encrypted", "data": "Em", "format": "anthropic-claude-v1", "index": 1},
        {"type": "reasoning.text", "text": "other", "signature": "x", "format": "openai-responses-v1"},
    ]
    async with wires(home, "anthropic") as w:
        history = [*HELLO, {"role": "assistant", "content": "ok", "reasoning_details": details}, *HELLO]
        body, _ = await sent(w, messages=history)
        assert body["messages"][1]["content"][:2] == [
            {"type": "thinking", "thinking": "hm", "signature": "Eq"},
            {"type": "redacted_thinking", "data": "Em"},
        ]


async def test_a_tool_call_without_its_thoughts_ends_the_thinking_and_is_told(home):
    call = {"id": "c", "type": "function", "function": {"name": "get_weather", "arguments": "{}"}}
    async with wires(home, "anthropic") as w:
        body, notes = await sent(
            w,
            messages=[
                *HELLO,
                {"role": "assistant", "tool_calls": [call]},
                {"role": "tool", "tool_call_id": "c", "content": "x"},
            ],
            extra_body={"thinking": {"type": "enabled", "budget_tokens": 2000}},
        )
        assert "thinking" not in body
        assert any("thinking was left out" in note for note in notes)


async def test_tool_ids_are_of_the_letters_that_messages_takes(home):
    calls = [
        {"id": call_id, "type": "function", "function": {"name": "get_weather", "arguments": "{}"}}
        for call_id in ("functions.get:0", "functions_get_0", "x" * 80)
    ]
    results = [{"role": "tool", "tool_call_id": call["id"], "content": call["id"]} for call in calls]
    async with wires(home, "anthropic") as w:
        body, _ = await sent(w, messages=[*HELLO, {"role": "assistant", "tool_calls": calls}, *results])
        ids = [block["id"] for block in body["messages"][1]["content"]]
        assert len(set(ids)) == 3
        assert all(len(each) <= 64 and each.replace("_", "").isalnum() for each in ids)
        assert [(block["tool_use_id"], block["content"][0]["text"]) for block in body["messages"][2]["content"]] == [
            (each, call["id"]) for each, call in zip(ids, calls, strict=True)
        ]


async def test_cache_marks_travel_wherever_they_stand(home):
    mark = {"type": "ephemeral"}
    call = {"id": "c", "type": "function", "function": {"name": "get_weather", "arguments": "{}"}}
    messages = [
        {"role": "system", "content": [{"type": "text", "text": "s", "cache_control": mark}]},
        {"role": "user", "content": "hi", "cache_control": mark},
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c", "content": "x", "cache_control": mark},
    ]
    tools = [
        {**TOOL, "cache_control": mark},
        {"type": "function", "function": {**WEATHER, "name": "b", "cache_control": mark}},
    ]
    async with wires(home, "anthropic") as w:
        body, notes = await sent(w, messages=messages, tools=tools)
        blocks = [body["system"][0], *(body["messages"][at]["content"][-1] for at in (0, 2)), *body["tools"]]
        assert [block["cache_control"] for block in blocks] == [mark] * 5
        assert not any("cache_control" in note for note in notes)


async def test_a_schema_is_put_within_the_limits_and_keeps_its_words(home):
    schema = {
        "type": "object",
        "properties": {
            "age": {"type": "integer", "minimum": 1, "description": "in years"},
            "tags": {"type": "array", "minItems": 1, "maxItems": 3, "items": {"type": "string", "maxLength": 9}},
            "pet": {"oneOf": [{"type": "null"}, {"type": "object", "properties": {}}]},
        },
        "required": ["age"],
    }
    form = {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}
    async with wires(home, "anthropic") as w:
        body, notes = await sent(w, response_format=form)
        assert body["output_config"]["format"]["schema"] == {
            "type": "object",
            "properties": {
                "age": {"type": "integer", "description": "in years\n\n{minimum: 1}"},
                "tags": {
                    "type": "array",
                    "minItems": 1,
                    "items": {"type": "string", "description": "{maxLength: 9}"},
                    "description": "{maxItems: 3}",
                },
                "pet": {
                    "anyOf": [{"type": "null"}, {"type": "object", "properties": {}, "additionalProperties": False}]
                },
            },
            "required": ["age"],
            "additionalProperties": False,
        }
        assert "maxItems, maxLength, minimum in a schema" in notes[0]


@pytest.mark.parametrize(
    ("limit", "budget", "sent_limit", "sent_budget"),
    [(None, 10_000, 18_192, 10_000), (5000, 10_000, 5000, 4999), (20_000, 10_000, 20_000, 10_000)],
)
async def test_the_budget_of_thinking_is_less_than_the_limit(home, limit, budget, sent_limit, sent_budget):
    async with wires(home, "anthropic") as w:
        more = {"max_tokens": limit} if limit else {}
        thinking = {"thinking": {"type": "enabled", "budget_tokens": budget}}
        body, notes = await sent(w, **more, extra_body=thinking)
        assert (body["max_tokens"], body["thinking"]["budget_tokens"]) == (sent_limit, sent_budget)
        assert bool([note for note in notes if "budget_tokens" in note]) == (budget != sent_budget)


@pytest.mark.parametrize(("user", "is_hashed"), [("u-17", False), ("ann@example.org", True), ("+49 170 1234567", True)])
async def test_the_user_is_not_told_by_name(home, user, is_hashed):
    async with wires(home, "anthropic") as w:
        body, _ = await sent(w, user=user)
        assert (body["metadata"]["user_id"] != user) == is_hashed
        assert (await sent(w, user=user))[0]["metadata"] == body["metadata"]


def part(media, data):
    return {"type": "image_url", "image_url": {"url": f"data:{media};base64,{data}"}}


def file(media, data, name="a"):
    return {"type": "file", "file": {"file_data": f"data:{media};base64,{data}", "filename": name}}


async def test_media_types_are_those_that_messages_knows(home):
    text = base64.b64encode("wörter".encode()).decode()
    parts = [
        part("image/jpg", "QUJD"),
        file("text/csv", text, "a.csv"),
        file("application/pdf", "JVBERi0="),
        part("application/pdf", "JVBERi0="),
    ]
    async with wires(home, "anthropic") as w:
        body, _ = await sent(w, messages=[{"role": "user", "content": parts}])
        sources = [(block["type"], block["source"]) for block in body["messages"][0]["content"]]
        assert sources == [
            ("image", {"type": "base64", "media_type": "image/jpeg", "data": "QUJD"}),
            ("document", {"type": "text", "media_type": "text/plain", "data": "wörter"}),
            ("document", {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="}),
            ("document", {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="}),
        ]


async def test_odd_beginnings_get_the_turn_that_they_lack(home):
    async with wires(home, "anthropic") as w:
        body, _ = await sent(w, messages=[{"role": "system", "content": "say hi"}])
        assert body["messages"] == [{"role": "user", "content": [{"type": "text", "text": "say hi"}]}]
        assert "system" not in body
        body, notes = await sent(w, messages=[{"role": "assistant", "content": "Once "}])
        assert [turn["role"] for turn in body["messages"]] == ["user", "assistant"]
        assert body["messages"][1]["content"] == [{"type": "text", "text": "Once"}]
        assert "begins with the assistant" in notes[0]
        body, _ = await sent(w, messages=[*HELLO, {"role": "user", "content": "  "}])
        assert body["messages"] == [{"role": "user", "content": [{"type": "text", "text": "hi"}]}]


async def test_only_the_allowed_tools_are_sent(home):
    allowed = {"mode": "required", "tools": [{"type": "function", "function": {"name": "b"}}]}
    choice = {"type": "allowed_tools", "allowed_tools": allowed}
    other = {"type": "function", "function": {"name": "b", "parameters": {"properties": {}}}}
    async with wires(home, "anthropic") as w:
        body, _ = await sent(w, tools=[TOOL, other], tool_choice=choice)
        assert body["tools"] == [{"name": "b", "input_schema": {"type": "object", "properties": {}}}]
        assert body["tool_choice"] == {"type": "any"}


async def test_blank_stops_are_left_out_and_told(home):
    async with wires(home, "anthropic") as w:
        body, notes = await sent(w, stop=["\n", "END"])
        assert body["stop_sequences"] == ["END"]
        assert "blank stop" in notes[0]


async def test_what_a_message_says_beside_its_content_is_told(home):
    async with wires(home, "anthropic") as w:
        messages = [
            {**HELLO[0], "name": "ann"},
            {"role": "assistant", "content": "ok", "reasoning_content": "hm"},
            *HELLO,
        ]
        _, notes = await sent(w, messages=messages)
        assert "messages[].name, messages[].reasoning_content" in notes[0]


async def test_a_second_beginning_is_no_answer(home):
    start = events().split(b"event: message_delta")[0]
    async with wires(home, "anthropic") as w:
        w.anthropic.reply(200, start + events({"type": "text", "text": "hi"}), SSE)
        with pytest.raises(openai.APIStatusError, match="second answer"):
            await w.deltas("anthropic/claude-opus-5-5")


@pytest.mark.parametrize("streamed", [False, True])
async def test_claude_may_end_its_turn_without_a_word(home, streamed):
    async with wires(home, "anthropic") as w:
        w.anthropic.reply(200, *([events(), SSE] if streamed else [message()]))
        answer = await (w.streamed if streamed else w.chat)("anthropic/claude-opus-5-5")
        assert answer.choices[0].finish_reason == "stop"
        assert not answer.choices[0].message.content


LEGACY = {
    "functions": [WEATHER],
    "function_call": {"name": "get_weather"},
    "messages": [
        *HELLO,
        {
            "role": "assistant",
            "content": None,
            "function_call": {"name": "get_weather", "arguments": '{"city": "Oslo"}'},
        },
        {"role": "function", "name": "get_weather", "content": "rain"},
        {"role": "user", "content": "and Paris?"},
    ],
}


async def test_functions_of_before_tools_are_tools_to_routers_that_know_no_others(home):
    async with wires(home, "anthropic", "ollama") as w:
        w.anthropic.reply(200, message(USE, stop="tool_use"))
        answer = await w.chat("anthropic/m", **LEGACY)
        assert answer.choices[0].message.function_call.name == "get_weather"
        assert answer.choices[0].message.tool_calls is None
        assert answer.choices[0].finish_reason == "function_call"
        assert "functions were sent as tools" in answer.chomp["notes"]
        sent = w.anthropic.requests[-1].json
        assert [tool["name"] for tool in sent["tools"]] == ["get_weather"]
        assert sent["tool_choice"] == {"type": "tool", "name": "get_weather", "disable_parallel_tool_use": True}
        _, called, result, *_ = sent["messages"]
        assert called["content"][0]["input"] == {"city": "Oslo"}
        assert result["content"][0]["tool_use_id"] == called["content"][0]["id"]
        assert not any("messages[]" in note for note in answer.chomp["notes"]), "all of it travels"
        await w.chat("ollama/m", **LEGACY)
        sent = w.ollama.chats[-1].json
        assert [tool["function"]["name"] for tool in sent["tools"]] == ["get_weather"]
        assert sent["messages"][1]["tool_calls"][0]["id"] == sent["messages"][2]["tool_call_id"]
        assert not {"functions", "function_call"} & sent.keys()


async def test_a_streamed_call_comes_back_in_the_form_in_which_it_was_asked_for(home):
    async with wires(home, "anthropic", "ollama") as w:
        w.anthropic.reply(200, events(USE, stop="tool_use"), SSE)
        call = {"index": 0, "id": "c", "type": "function", "function": {"name": "get_weather", "arguments": "{}"}}
        told = [chunk(tool_calls=[call]), chunk(finish="tool_calls"), "[DONE]"]
        w.ollama.reply(200, b"".join(map(sse, told)), SSE)
        for model in ("anthropic/m", "ollama/m"):
            answer = await w.streamed(model, **LEGACY)
            assert answer.choices[0].finish_reason == "function_call"
            assert answer.choices[0].message.function_call.name == "get_weather"
            assert answer.choices[0].message.tool_calls is None


@pytest.mark.parametrize("router", ["anthropic", "ollama"])
async def test_the_detail_of_a_picture_that_is_not_heeded_is_told(home, router):
    image = {"url": "data:image/png;base64,QUJD", "detail": "high"}
    seen = [{"role": "user", "content": [{"type": "text", "text": "see"}, {"type": "image_url", "image_url": image}]}]
    async with wires(home, router) as w:
        if router == "anthropic":
            w.anthropic.reply(200, message({"type": "text", "text": "ok"}))
        answer = await w.chat(f"{router}/m", messages=seen)
        assert any("image_url.detail" in note for note in answer.chomp["notes"])
