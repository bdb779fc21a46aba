"""Anthropic's Messages as a door, judged by the official package; behind it a router that speaks chat completions."""

from __future__ import annotations

import asyncio
import json

import anthropic
import anyio
import pytest
from anthropic import AsyncAnthropic

from chomp_mcp.doors.http import asgi
from tests.support.scripted import ScriptedRouter, chunk
from tests.support.serving import Served, serving, settings_for

pytestmark = pytest.mark.anyio
HELLO = [{"role": "user", "content": "hi"}]
WEATHER = {"name": "weather", "description": "d", "input_schema": {"type": "object", "properties": {}}}
ROME = {"index": 0, "id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"in": "Rome"}'}}
OSLO = {"index": 1, "id": "c2", "type": "function", "function": {"name": "weather", "arguments": '{"in": "Oslo"}'}}
PIXEL = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "QUJD"}}


@pytest.fixture
async def client(gateway: Served):
    async with AsyncAnthropic(base_url=gateway.url, api_key="none") as client:
        yield client


async def ask(client: AsyncAnthropic, **more):
    return await client.messages.create(**{"model": "lab/m", "max_tokens": 100, "messages": HELLO, **more})


def events(text: str) -> list[dict]:
    return [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: ")]


async def post(gateway: Served, path: str = "/v1/messages", headers: dict | None = None, **body):
    whole = {"model": "lab/m", "max_tokens": 100, "messages": HELLO, **body}
    return await gateway.http.post(path, json=whole, headers=headers or {})


async def test_an_answer_is_a_message(client, upstream):
    upstream.answer("hello", reasoning_content="because")
    told = await ask(client, system="be brief", stop_sequences=["END"], extra_body={"temperature": 0.5})
    assert [block.type for block in told.content] == ["thinking", "text"]
    assert (told.content[0].thinking, told.content[1].text) == ("because", "hello")
    assert (told.role, told.type, told.stop_reason, told.stop_sequence) == ("assistant", "message", "end_turn", None)
    assert (told.usage.input_tokens, told.usage.output_tokens) == (7, 3)
    assert told.id.startswith("msg_")
    sent = upstream.chats[0].json
    assert sent["messages"] == [{"role": "system", "content": "be brief"}, *HELLO]
    assert (sent["temperature"], sent["stop"]) == (0.5, ["END"])
    assert sent["max_tokens"] == 100


async def test_headers_tell_who_answered_and_what_did_not_travel(gateway):
    told = await post(gateway, mcp_servers=[], service_tier="standard_only")
    assert told.status_code == 200
    assert [told.headers[f"x-chomp-{name}"] for name in ("router", "model", "attempts")] == ["lab", "m", "1"]
    assert "service_tier has no place in chat completions" in told.headers["x-chomp-notes"]
    assert "mcp_servers" in told.headers["x-chomp-notes"]


async def test_any_beta_is_taken_in_the_query_and_in_the_header(gateway):
    for path in ("/v1/messages", "/v1/messages?beta=true"):
        told = await post(
            gateway, path, {"anthropic-beta": "all-of-them-2030-01-01", "anthropic-version": "2023-06-01"}
        )
        assert told.status_code == 200
        assert told.json()["content"] == [{"type": "text", "text": "hello"}]


async def test_calls_come_back_as_tool_uses_and_results_go_out_as_tool_messages(client, upstream):
    upstream.answer("", tool_calls=[ROME, OSLO])
    first = await ask(client, tools=[WEATHER], tool_choice={"type": "any", "disable_parallel_tool_use": True})
    assert first.stop_reason == "tool_use"
    assert [(use.id, use.input) for use in first.content] == [("c1", {"in": "Rome"}), ("c2", {"in": "Oslo"})]
    sent = upstream.chats[0].json
    assert (sent["tool_choice"], sent["parallel_tool_calls"]) == ("required", False)
    assert sent["tools"][0]["function"]["name"] == "weather"
    results = [
        {"type": "tool_result", "tool_use_id": "c1", "content": "sun"},
        {"type": "tool_result", "tool_use_id": "c2", "content": [{"type": "text", "text": "rain"}], "is_error": True},
        {"type": "text", "text": "and?"},
    ]
    upstream.answer("done")
    turns = [*HELLO, {"role": "assistant", "content": first.content}, {"role": "user", "content": results}]
    await ask(client, tools=[WEATHER], messages=turns)
    _, assistant, rome, oslo, user = upstream.chats[1].json["messages"]
    assert [call["id"] for call in assistant["tool_calls"]] == ["c1", "c2"]
    assert (rome["tool_call_id"], rome["content"]) == ("c1", "sun")
    assert oslo["tool_call_id"] == "c2"
    assert "Error:" in json.dumps(oslo["content"])
    assert "rain" in json.dumps(oslo["content"])
    assert user == {"role": "user", "content": "and?"}


async def test_a_stream_is_what_the_sdk_adds_up(client, upstream):
    upstream.stream([chunk(reasoning_content="so "), chunk(reasoning_content="it is"), "Hel", "lo"], usage=(7, 3))
    async with client.messages.stream(model="lab/m", max_tokens=9, messages=HELLO) as stream:
        told = await stream.get_final_message()
    assert [block.type for block in told.content] == ["thinking", "text"]
    assert (told.content[0].thinking, told.content[1].text) == ("so it is", "Hello")
    assert told.content[0].signature
    assert (told.stop_reason, told.usage.input_tokens, told.usage.output_tokens) == ("end_turn", 7, 3)


async def test_the_events_have_their_names_and_their_order(gateway, upstream):
    upstream.stream(["a", chunk(tool_calls=[ROME])], finish="tool_calls")
    told = await post(gateway, stream=True)
    assert told.headers["content-type"].startswith("text/event-stream")
    names = [line[7:] for line in told.text.splitlines() if line.startswith("event: ")]
    assert names == [event["type"] for event in events(told.text)]
    assert names == [
        "message_start",
        "ping",
        *("content_block_start", "content_block_delta", "content_block_stop"),
        *("content_block_start", "content_block_delta", "content_block_stop"),
        "message_delta",
        "message_stop",
    ]
    assert events(told.text)[-2]["delta"]["stop_reason"] == "tool_use"
    assert "[DONE]" not in told.text


async def test_pieces_of_parallel_calls_become_one_block_each(client, upstream):
    def pieces(index: int, call_id: str, *arguments: str):
        first = {"index": index, "id": call_id, "type": "function", "function": {"name": "f", "arguments": ""}}
        rest = [{"index": index, "function": {"arguments": part}} for part in arguments]
        return [chunk(tool_calls=[piece]) for piece in (first, *rest)]

    a, b = pieces(0, "c1", '{"a":', "1}"), pieces(1, "c2", '{"b":', "2}")
    upstream.stream([a[0], b[0], a[1], b[1], b[2], a[2]], finish="tool_calls")
    async with client.messages.stream(model="lab/m", max_tokens=9, messages=HELLO) as stream:
        told = await stream.get_final_message()
    assert [(use.id, use.input) for use in told.content] == [("c1", {"a": 1}), ("c2", {"b": 2})]


async def test_a_call_without_arguments_is_an_empty_object(client, upstream):
    empty = {"index": 0, "id": "c1", "type": "function", "function": {"name": "f", "arguments": ""}}
    upstream.stream([chunk(tool_calls=[empty])], finish="tool_calls")
    async with client.messages.stream(model="lab/m", max_tokens=9, messages=HELLO) as stream:
        told = await stream.get_final_message()
    assert told.content[0].input == {}


async def test_an_error_in_mid_stream_is_an_event_of_its_own(client, upstream, gateway):
    upstream.error_event({"message": "out of luck", "code": 500}, after=["Hel"])
    told = await post(gateway, stream=True)
    last = events(told.text)[-1]
    assert last["type"] == "error"
    assert last["error"]["type"] == "api_error"
    assert last["request_id"] == told.headers["x-request-id"]
    assert "message_stop" not in told.text
    with pytest.raises(anthropic.APIStatusError, match="out of luck"):
        async with client.messages.stream(model="lab/m", max_tokens=9, messages=HELLO) as stream:
            await stream.get_final_message()


async def test_a_silent_stream_is_kept_alive_by_pings(gateway, upstream, monkeypatch):
    monkeypatch.setattr(asgi, "KEEPALIVE_SECONDS", 0.05)
    seen = anyio.Event()
    upstream.stream(["Hel", seen, "lo"])
    body = {"model": "lab/m", "max_tokens": 9, "messages": HELLO, "stream": True}
    text = ""
    async with gateway.http.stream("POST", "/v1/messages", json=body) as told:
        with anyio.fail_after(10):
            async for part in told.aiter_text():
                text += part
                if text.count("event: ping") > 2:
                    seen.set()
    assert text.count("event: ping") > 2
    assert ": keepalive" not in text
    assert events(text)[-1] == {"type": "message_stop"}


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages.0.role"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages.0.content"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages.0"),
        ({"messages": [{"role": "user", "content": [{"type": "image"}]}]}, "messages.0"),
        ({"messages": [{"role": "assistant", "content": [{"type": "tool_use", "name": "f"}]}]}, "messages.0"),
        ({"system": 5}, "system"),
        ({"tools": [{"input_schema": {}}]}, "tools.0.name"),
        ({"tools": "weather"}, "tools"),
        ({"tools": [WEATHER], "tool_choice": "any"}, "tool_choice"),
        ({"thinking": {"type": "enabled"}}, "thinking.budget_tokens"),
        ({"stop_sequences": "END"}, "stop_sequences"),
        ({"output_config": {"format": "json"}}, "output_config.format"),
        ({"model": 5}, "model"),
        ({"stream": "yes"}, "stream"),
    ],
)
async def test_what_is_malformed_is_a_400_that_names_it(gateway, upstream, body, param):
    told = await post(gateway, **body)
    assert told.status_code == 400
    assert told.json()["error"]["type"] == "invalid_request_error"
    assert param in told.json()["error"]["message"]
    assert not upstream.chats


async def test_our_token_counts_whichever_header_brings_it(home, upstream):
    settings = settings_for(home, environ={"GATEWAY_AUTH_TOKEN": "secret-of-the-owner"}, lab=upstream.url)
    async with serving(settings) as gateway:
        for mixed in (
            {"authorization": "Bearer secret-of-the-owner", "x-api-key": "sk-ant-1"},
            {"authorization": "Bearer sk-ant-oat", "x-api-key": "secret-of-the-owner"},
        ):
            assert (await post(gateway, headers=mixed)).status_code == 200


async def test_tokens_are_estimated_where_the_router_counts_none(client, upstream):
    told = await client.messages.count_tokens(model="lab/m", messages=[{"role": "user", "content": "x" * 4000}])
    assert 1000 <= told.input_tokens <= 1010
    pictures = await client.messages.count_tokens(model="lab/m", messages=[{"role": "user", "content": [PIXEL]}])
    assert 1000 <= pictures.input_tokens <= 3000
    assert not upstream.chats


async def test_a_burst_of_counts_is_served_beside_the_rate_limit(home, upstream):
    settings = settings_for(home, environ={"GATEWAY_RATE_RPS": "1", "GATEWAY_RATE_BURST": "2"}, lab=upstream.url)
    async with serving(settings) as gateway:
        counts = [post(gateway, "/v1/messages/count_tokens?beta=true") for _ in range(34)]
        assert {told.status_code for told in await asyncio.gather(*counts)} == {200}
        assert (await post(gateway)).status_code == 200


async def test_a_router_that_fails_before_the_first_word_is_replaced(home):
    async with ScriptedRouter() as bad, ScriptedRouter() as good:
        bad.fail(503)
        environ = {"LLM_DEFAULT_MODEL": "bad/m", "LLM_FALLBACKS": "good/m"}
        async with serving(settings_for(home, environ=environ, bad=bad.url, good=good.url)) as gateway:
            told = await post(gateway, model="auto", stream=True)
            assert told.headers["x-chomp-router"] == "good"
            assert int(told.headers["x-chomp-attempts"]) > 1
            assert events(told.text)[-1] == {"type": "message_stop"}


async def test_claudes_names_stand_for_the_model_that_the_user_chose(home, upstream):
    (home / "config.toml").parent.mkdir(parents=True)
    (home / "config.toml").write_text('[agents.claude]\nhaiku = "lab/small"\n')
    upstream.models(["m", "claude-sonnet-5-5"])
    settings = settings_for(home, environ={"CHOMP_AGENT_MODEL": "lab/m"}, lab=upstream.url)
    async with serving(settings) as gateway:
        for asked, served in (
            ("claude-opus-5-5", "m"),
            ("claude-haiku-5-5", "small"),
            ("claude-sonnet-5-5", "claude-sonnet-5-5"),
            ("claude-via-chomp/lab/x/y", "x/y"),
        ):
            told = await post(gateway, model=asked)
            assert (told.status_code, told.headers["x-chomp-model"]) == (200, served)
            stood_in = "stands for lab/" in told.headers.get("x-chomp-notes", "")
            assert stood_in == (served in {"m", "small"})
        assert (await post(gateway, "/v1/messages/count_tokens", model="claude-opus-5-5")).status_code == 200
        assert (await post(gateway, model="claudette")).status_code == 404


async def test_a_router_that_auto_never_takes_serves_claudes_names_itself(home, upstream):
    upstream.models([{"id": "claude-opus-5-5", "type": "model"}])
    upstream.fail(500)
    environ = {
        "ANTHROPIC_API_KEY": "sk-ant-1",
        "CHOMP_ROUTER_ANTHROPIC_URL": upstream.url,
        "CHOMP_AGENT_MODEL": "lab/m",
    }
    async with ScriptedRouter() as lab, serving(settings_for(home, environ=environ, lab=lab.url)) as gateway:
        await post(gateway, model="claude-opus-5-5")
        assert [request.path for request in upstream.chats][:1] == ["/v1/messages"]
        assert not lab.chats


async def test_a_conversation_of_claude_code_keeps_its_route_and_the_metrics_tell(home):
    async with ScriptedRouter() as one, ScriptedRouter() as two:
        one.fail(503)
        environ = {"LLM_DEFAULT_MODEL": "one/m", "LLM_FALLBACKS": "two/m"}
        settings = settings_for(home, environ=environ, one=one.url, two=two.url)
        async with serving(settings) as gateway:
            await gateway.http.get("/metrics")
            served = []
            for headers in ({"x-claude-code-session-id": "s1"}, {"x-claude-code-session-id": "s1"}):
                served.append((await post(gateway, model="auto", headers=headers)).headers["x-chomp-router"])
                one.answer("well again")
            user = {"metadata": {"user_id": '{"session_id": "s2"}'}}
            served.append((await post(gateway, model="auto", **user)).headers["x-chomp-router"])
            assert served == ["two", "two", "one"]
            text = (await gateway.http.get("/metrics")).text
            assert 'chomp_conversations_total{route="kept"} 1.0' in text
