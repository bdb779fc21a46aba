"""A conversation reaches each router as it takes it, and what does not travel is told."""

from __future__ import annotations

import json

import openai
import pytest

from tests.support.scripted import chunk
from tests.support.wires import HELLO, wires

pytestmark = pytest.mark.anyio

WEATHER = {"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object", "properties": {}}}}


def call(call_id, arguments="{}"):
    return {"id": call_id, "type": "function", "function": {"name": "get_weather", "arguments": arguments}}


def asked(*calls, **fields):
    return {"role": "assistant", "content": None, "tool_calls": list(calls), **fields}


def told(call_id, content="sunny"):
    return {"role": "tool", "tool_call_id": call_id, "content": content}


def strict(upstream, *known):
    """A router that refuses every field of a message that it does not know, as Groq and Cerebras do."""
    fields = {"role", "content", "tool_calls", "tool_call_id", *known}

    async def play(request, wire):
        for at, message in enumerate(request.json["messages"]):
            for name in message.keys() - fields:
                text = f"'messages.{at}' : property '{name}' is unsupported"
                await wire.whole(400, json.dumps({"error": {"message": text}}).encode())
                return
        message = {"role": "assistant", "content": None, "reasoning": "hm", "tool_calls": [call("c1")]}
        if len(request.json["messages"]) > 2:
            message = {"role": "assistant", "content": "sunny", "reasoning": "hm"}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        await wire.whole(200, json.dumps({"id": "1", "object": "chat.completion", "choices": [choice]}).encode())

    upstream.play(play)


@pytest.mark.parametrize(("router", "known"), [("groq", ()), ("cerebras", ("name", "reasoning"))])
async def test_a_message_that_we_answered_with_can_be_sent_back(home, router, known):
    async with wires(home, router) as w:
        strict(w.routers[router], *known)
        first = await w.chat(f"{router}/m", tools=[WEATHER])
        message = first.choices[0].message
        assert message.reasoning_content == "hm"
        history = [*HELLO, message, told(message.tool_calls[0].id)]
        second = await w.chat(f"{router}/m", tools=[WEATHER], messages=history)
        assert second.choices[0].message.content == "sunny"
        sent = w.routers[router].chats[-1].json["messages"][1]
        assert sent["content"] is None
        assert sent["tool_calls"] == [call("c1")]
        assert sent.get("reasoning") == ("hm" if "reasoning" in known else None)


async def test_what_a_strict_router_does_not_take_is_told(home):
    async with wires(home, "groq") as w:
        strict(w.groq)
        odd = {"role": "assistant", "content": "ok", "annotations": [{"a": 1}], "audio": {"id": "x"}, "timestamp": 5}
        answer = await w.chat("groq/m", messages=[*HELLO, odd, *HELLO])
        (note,) = answer.chomp["notes"]
        for name in ("annotations", "audio", "timestamp"):
            assert f"messages[].{name}" in note


async def test_thoughts_go_back_under_the_name_that_a_router_reads(home):
    history = [*HELLO, {"role": "assistant", "content": "ok", "reasoning_content": "hm"}, *HELLO]
    async with wires(home, "cerebras", "lab") as w:
        answer = await w.chat("cerebras/m", messages=history)
        assert w.cerebras.chats[-1].json["messages"][1] == {"role": "assistant", "content": "ok", "reasoning": "hm"}
        assert "notes" not in answer.chomp
        await w.chat("lab/m", messages=history)
        assert w.lab.chats[-1].json["messages"] == history


@pytest.mark.parametrize(
    ("router", "role"),
    [
        *((name, "system") for name in ("zen", "groq", "sambanova", "fireworks", "ollama", "cursor", "lab")),
        *((name, "developer") for name in ("openai", "openrouter", "cerebras")),
    ],
)
async def test_the_developer_is_the_system_where_a_router_knows_no_other(home, router, role):
    async with wires(home, router) as w:
        messages = [{"role": "developer", "content": "be brief"}, *HELLO]
        if router == "cursor":
            w.cursor.reply(200, {"request_id": "r", "status": "completed", "content": "hi"})
        await w.chat(f"{router}/m", messages=messages)
        assert w.routers[router].chats[-1].json["messages"][0] == {"role": role, "content": "be brief"}


async def test_ollamas_own_api_knows_no_developer_either(home):
    async with wires(home, "ollama") as w:
        w.ollama.reply(200, {"model": "m", "message": {"role": "assistant", "content": "hi"}, "done": True})
        messages = [{"role": "developer", "content": "be brief"}, *HELLO]
        await w.chat("ollama/m", messages=messages, extra_body={"num_ctx": 8192})
        assert w.ollama.chats[-1].path == "/api/chat"
        assert w.ollama.chats[-1].json["messages"][0] == {"role": "system", "content": "be brief"}


@pytest.mark.parametrize("router", ["zen", "groq", "sambanova", "fireworks"])
async def test_text_parts_are_a_text_where_a_router_takes_no_parts(home, router):
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b", "cache_control": {"type": "ephemeral"}}]
    messages = [
        {"role": "system", "content": parts},
        *HELLO,
        asked(call("c1")),
        {**told("c1"), "content": parts},
        {"role": "assistant", "content": parts},
        {"role": "user", "content": [{"type": "text", "text": "a"}, picture()]},
    ]
    async with wires(home, router, "openrouter") as w:
        answer = await w.chat(f"{router}/m", messages=messages)
        sent = w.routers[router].chats[-1].json["messages"]
        assert [sent[at]["content"] for at in (0, 3, 4)] == ["a\nb"] * 3
        assert sent[5] == messages[5]
        assert "messages[].content[].cache_control" in answer.chomp["notes"][0]
        await w.chat("openrouter/m", messages=messages)
        assert w.openrouter.chats[-1].json["messages"] == messages


def picture(url="data:image/png;base64,AA=="):
    return {"type": "image_url", "image_url": {"url": url}}


async def test_a_picture_that_cannot_go_is_told_or_refused(home):
    text = {"type": "text", "text": "see"}
    async with wires(home, "sambanova") as w:
        answer = await w.chat("sambanova/m", messages=[{"role": "user", "content": [text, picture("https://a/b.png")]}])
        assert w.sambanova.chats[-1].json["messages"][0]["content"] == "see"
        assert "messages[].content[].image_url" in answer.chomp["notes"][0]
        with pytest.raises(openai.BadRequestError, match="image_url"):
            await w.chat("sambanova/m", messages=[{"role": "user", "content": [picture("https://a/b.png")]}])
        await w.chat("sambanova/m", messages=[{"role": "user", "content": [text, picture()]}])
        assert w.sambanova.chats[-1].json["messages"][0]["content"] == [text, picture()]


async def test_a_message_that_one_router_cannot_carry_goes_to_the_next_that_the_name_allows(home):
    seen = [{"role": "user", "content": [picture("https://a/b.png")]}]
    async with wires(home, "sambanova", "openrouter") as w:
        answer = await w.chat("m", messages=seen)
        assert answer.chomp["router"] == "openrouter"
        assert [each["outcome"] for each in answer.chomp["attempts"]] == ["not_taken", "ok"]
        assert not w.sambanova.chats
        assert w.openrouter.chats[-1].json["messages"] == seen
        status = await w.served.chomp.status()
        assert status["routers"]["sambanova"]["breaker"] == "closed", "nobody's failure"
        with pytest.raises(openai.BadRequestError, match="sambanova takes no image_url"):
            await w.chat("sambanova/m", messages=seen)
        w.openrouter.fail(429)
        with pytest.raises(openai.RateLimitError):
            await w.chat("m", messages=seen)


async def test_null_beside_calls_stays_and_is_empty_where_a_row_says_so(home):
    history = [*HELLO, asked(call("c1")), told("c1")]
    async with wires(home, "lab", "groq") as w:
        for router in ("lab", "groq"):
            await w.chat(f"{router}/m", messages=history)
            assert w.routers[router].chats[-1].json["messages"][1]["content"] is None
    async with wires(home, "lab", config='null_content = "empty"') as w:
        await w.chat("lab/m", messages=history)
        assert w.lab.chats[-1].json["messages"][1]["content"] == ""


async def test_ids_are_short_where_a_row_says_so_and_the_pairs_stay_pairs(home):
    given = ["call_1", "functions.get_weather:0", "abcDEF123", "call_1"]
    history = [*HELLO]
    for each in given:
        history += [asked(call(each)), told(each, each)]
    async with wires(home, "lab", config='tool_ids = "short"') as w:
        await w.chat("lab/m", messages=history)
        sent = w.lab.chats[-1].json["messages"]
        pairs = [(sent[at]["tool_calls"][0]["id"], sent[at + 1]["tool_call_id"]) for at in (1, 3, 5, 7)]
        assert all(one == other and len(one) == 9 and one.isalnum() for one, other in pairs)
        assert len({one for one, _ in pairs}) == 4
        assert pairs[2][0] == "abcDEF123"
        first = w.lab.chats[-1].body
        await w.chat("lab/m", messages=history)
        assert w.lab.chats[-1].body == first


async def test_calls_and_results_without_an_id_are_paired_in_order(home):
    calls = [{**call(""), "id": None}, {"type": "function", "function": {"name": "f", "arguments": {"a": 1}}}]
    results = [{"role": "tool", "content": text} for text in ("one", "two")]
    async with wires(home, "lab") as w:
        await w.raw("lab/m", messages=[*HELLO, asked(*calls), *results])
        _, first, one, two = w.lab.chats[-1].json["messages"]
        ids = [each["id"] for each in first["tool_calls"]]
        assert all(ids)
        assert len(set(ids)) == 2
        assert [one["tool_call_id"], two["tool_call_id"]] == ids
        assert first["tool_calls"][1]["function"]["arguments"] == '{"a":1}'


async def test_results_and_calls_without_the_other_are_told(home):
    async with wires(home, "lab") as w:
        answer = await w.chat("lab/m", messages=[*HELLO, told("gone"), asked(call("c1")), *HELLO])
        notes = " ".join(answer.chomp["notes"])
        assert "messages[1] is the result of a tool call that is not in the conversation" in notes
        assert "before messages[3] has no result" in notes


async def test_a_row_can_forbid_any_field(home):
    drop = ["stream_options", "messages[].name", "messages[].content[].detail", "tools[].function.strict", "a.b"]
    tool = {"type": "function", "function": {**WEATHER["function"], "strict": True}}
    messages = [{"role": "user", "name": "ann", "content": [{"type": "text", "text": "hi", "detail": "x"}]}]
    async with wires(home, "lab", config=f"drop = {json.dumps(drop)}") as w:
        w.lab.stream([chunk("hello")])
        body = {"messages": messages, "tools": [tool], "a": {"b": 1, "c": 2}, "stream": True}
        text = (await w.raw("lab/m", **body, stream_options={"include_usage": True, "include_obfuscation": True})).text
        sent = w.lab.chats[-1].json
        assert "stream_options" not in sent
        assert sent["messages"] == [{"role": "user", "content": [{"type": "text", "text": "hi"}]}]
        assert sent["tools"] == [WEATHER]
        assert sent["a"] == {"c": 2}
        assert f"lab takes no {', '.join(drop)}: dropped" in text


async def test_what_a_caller_says_of_its_stream_travels(home):
    async with wires(home, "lab") as w:
        w.lab.stream([chunk("hello")])
        await w.deltas("lab/m", stream_options={"include_obfuscation": False})
        assert w.lab.chats[-1].json["stream_options"] == {"include_obfuscation": False, "include_usage": True}


@pytest.mark.parametrize("router", ["groq", "cerebras"])
async def test_cache_marks_are_told_where_they_are_refused(home, router):
    mark = {"cache_control": {"type": "ephemeral"}}
    parts = [{"type": "text", "text": "a", **mark}, picture()]
    async with wires(home, router) as w:
        answer = await w.chat(f"{router}/m", messages=[{"role": "user", "content": parts}], tools=[{**WEATHER, **mark}])
        sent = w.routers[router].chats[-1].json
        assert sent["messages"][0]["content"] == [{"type": "text", "text": "a"}, picture()]
        assert sent["tools"] == [WEATHER]
        assert "messages[].content[].cache_control, tools[].cache_control" in answer.chomp["notes"][0]


@pytest.mark.parametrize("router", ["groq", "lab", "ollama", "openai"])
async def test_only_the_allowed_tools_are_shown_to_a_router_that_knows_no_such_choice(home, router):
    other = {"type": "function", "function": {"name": "get_time", "parameters": {"type": "object", "properties": {}}}}
    allowed = {"mode": "required", "tools": [{"type": "function", "function": {"name": "get_time"}}]}
    choice = {"type": "allowed_tools", "allowed_tools": allowed}
    async with wires(home, router) as w:
        await w.chat(f"{router}/m", tools=[WEATHER, other], tool_choice=choice)
        sent = w.routers[router].chats[-1].json
        assert sent["tools"] == ([WEATHER, other] if router == "openai" else [other])
        assert sent.get("tool_choice") == {"openai": choice, "ollama": None}.get(router, "required")
