"""The Messages door on a route that speaks Messages itself: nothing is translated, everything is accounted for."""

from __future__ import annotations

import json
from dataclasses import replace

import anyio
import pytest
from anthropic import AsyncAnthropic

from tests.support.anthropic_answers import events_of, message, script_message, wired
from tests.support.scripted import Recorded, ScriptedRouter, Wire
from tests.support.serving import Served, serving, settings_for

pytestmark = pytest.mark.anyio
ROUTER = ("claude", "anthropic", "sk-lab")
HELLO = [{"role": "user", "content": "hi"}]
THOUGHT = {"type": "thinking", "thinking": "hm", "signature": "c2lnbmVk"}
REDACTED = {"type": "redacted_thinking", "data": "b3BhcXVl"}
SEARCH = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "x"}}
USE = {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"a": [1, 2]}}
BODY = {
    "model": "claude/claude-opus-5-5",
    "max_tokens": 64_000,
    "system": [{"type": "text", "text": "s", "cache_control": {"type": "ephemeral", "ttl": "1h"}}],
    "messages": [
        *HELLO,
        {"role": "assistant", "content": [THOUGHT, REDACTED, USE]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "r"}]},
        {"role": "system", "content": "in mid-conversation"},
    ],
    "tools": [{"type": "web_search_20260209", "name": "web_search"}, {"name": "f", "input_schema": {"type": "object"}}],
    "thinking": {"type": "adaptive", "display": "summarized"},
    "output_config": {"effort": "high"},
    "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
    "metadata": {"user_id": "u" * 95},
    "a_field_of_tomorrow": {"deep": [None]},
}


async def post(served: Served, path: str = "/v1/messages?beta=true", **more):
    headers = {"anthropic-beta": "a-1,b-2", "anthropic-version": "2099-01-01", "x-api-key": "mine"}
    return await served.http.post(path, json={**BODY, **more}, headers=headers)


async def test_the_body_and_the_headers_that_matter_go_through_untouched(served, upstream):
    script_message(upstream, message("hello"))
    assert (await post(served)).status_code == 200
    sent = upstream.chats[0]
    assert sent.json == {**BODY, "model": "claude-opus-5-5"}
    assert sent.path == "/v1/messages"
    told = [sent.headers.get(name) for name in ("x-api-key", "anthropic-beta", "anthropic-version", "authorization")]
    assert told == ["sk-lab", "a-1,b-2", "2099-01-01", None]


async def test_the_answer_comes_back_as_it_was_written(served, upstream):
    usage = {"input_tokens": 5, "cache_read_input_tokens": 90, "cache_creation_input_tokens": 5, "output_tokens": 3}
    answer = message(THOUGHT, REDACTED, SEARCH, "hello", USE, stop="tool_use", usage=usage, tomorrow={"x": 1})
    script_message(upstream, answer)
    whole = await post(served)
    assert whole.json() == answer
    streamed = await post(served, stream=True)
    assert streamed.content == wired(events_of(answer))
    for told in (whole, streamed):
        assert told.headers["x-chomp-router"] == "claude"
        assert "deprecated" not in told.headers.get("x-chomp-notes", "")
        assert "left out" not in told.headers.get("x-chomp-notes", "")


async def test_the_sdk_takes_the_stream(served, upstream):
    script_message(upstream, message(THOUGHT, "hello", USE, stop="tool_use"))
    async with (
        AsyncAnthropic(base_url=served.url, api_key="none") as client,
        client.messages.stream(model="claude/m", max_tokens=9, messages=HELLO) as stream,
    ):
        told = await stream.get_final_message()
    assert [block.type for block in told.content] == ["thinking", "text", "tool_use"]
    assert told.content[0].signature == THOUGHT["signature"]


async def test_a_refusal_keeps_the_routers_type_and_words(served, upstream):
    upstream.fail(400, {"type": "error", "error": {"type": "invalid_request_error", "message": "tools: too many"}})
    told = await post(served)
    assert told.status_code == 400
    assert "tools: too many" in told.json()["error"]["message"]
    assert told.headers["x-should-retry"] == "false"


async def test_an_error_event_in_the_stream_stays_one(served, upstream):
    started = events_of(message("hello"))[:4]
    error = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}

    async def play(_request, wire: Wire) -> None:
        await wire.head(200, {"content-type": "text/event-stream"})
        await wire.send(wired([*started, error]))
        await wire.end()

    upstream.play(play)
    told = await post(served, stream=True)
    assert told.text.count("event: error") == 1
    assert "Overloaded" in told.text
    assert "message_stop" not in told.text


async def test_a_dead_anthropic_route_is_replaced_by_one_that_gets_the_translation(home):
    async with ScriptedRouter() as chat, ScriptedRouter() as claude:
        claude.fail(529)
        rows = {"chat": {"url": chat.url}, "claude": {"url": claude.url, "dialect": "anthropic"}}
        environ = {"LLM_DEFAULT_MODEL": "claude/m", "LLM_FALLBACKS": "chat/m"}
        settings = replace(settings_for(home, environ=environ), router_rows=rows)
        async with serving(settings) as gateway:
            told = await post(gateway, model="auto")
        assert told.headers["x-chomp-router"] == "chat"
        assert told.json()["content"] == [{"type": "text", "text": "hello"}]
        assert "redacted_thinking" in told.headers["x-chomp-notes"]


async def test_tokens_are_counted_by_the_router(served, upstream):
    upstream.on(path="/messages/count_tokens").reply(200, {"input_tokens": 42, "tomorrow": 1})
    with anyio.fail_after(10):
        told = await post(served, "/v1/messages/count_tokens?beta=true")
    assert told.json() == {"input_tokens": 42, "tomorrow": 1}
    sent = upstream.chats[0]
    assert sent.json == {**BODY, "model": "claude-opus-5-5"}
    assert sent.headers["anthropic-beta"] == "a-1,b-2"


async def test_tokens_are_estimated_where_the_router_does_not_say(served, upstream):
    upstream.fail(500)
    told = await post(served, "/v1/messages/count_tokens")
    assert told.json()["input_tokens"] > len(json.dumps(BODY["tools"])) // 4


@pytest.mark.parametrize("pieces", [30, 0])
async def test_a_long_answer_may_take_its_time_and_one_that_only_pings_may_not(home, upstream, pieces):
    settings = replace(settings_for(home, environ={"LAB_KEY": "sk-lab"}), upstream_timeout_seconds=0.6)
    row = {"url": upstream.url, "dialect": "anthropic", "key": "LAB_KEY"}
    start, ping, opening, piece, *_, closing, ending, stop = events_of(message("hello"))

    async def play(_request: Recorded, wire: Wire) -> None:
        await wire.head(200, {"content-type": "text/event-stream"})
        await wire.send(wired([start, opening, piece]))
        for each in [piece] * pieces or [ping] * 100:
            await anyio.sleep(0.05)
            await wire.send(wired([each]))
        await wire.send(wired([closing, ending, stop]))
        await wire.end()

    upstream.play(play)
    async with serving(replace(settings, router_rows={"claude": row})) as gateway:
        told = (await post(gateway, stream=True)).text
    if pieces:
        assert (told.count("content_block_delta"), "message_stop" in told) == (2 * (pieces + 1), True)
    else:
        assert "sent nothing but signs of life for 0.6 s" in told


async def test_what_was_said_before_the_client_left_is_counted(served, upstream):
    """The router tells its counts at the end only; its first word for them is 1."""
    started = events_of(message("word " * 400))

    async def play(_request, wire: Wire) -> None:
        await wire.head(200, {"content-type": "text/event-stream"})
        await wire.send(wired(started[:3]))
        piece = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "word " * 10}}
        await wire.send(wired([piece] * 40))
        await wire.gone()

    upstream.play(play)
    reports = []

    class Reports:
        def exchange(self, report) -> None:
            reports.append(report)

        def transition(self, transition) -> None: ...

    served.chomp.observers.add(Reports())
    body = {**BODY, "stream": True}
    async with served.http.stream("POST", "/v1/messages", json=body) as told:
        seen = ""
        async for part in told.aiter_text():
            seen += part
            if seen.count("word word") >= 40:
                break
    await served.is_quiet()
    usage = reports[0].receipt.usage
    assert usage.estimated
    assert 400 <= usage.output_tokens <= 700, "2,000 characters"
