"""A chat completion as generateContent answers, whole or streamed."""

from __future__ import annotations

import json

import pytest

from tests.support.scripted import chunk

pytestmark = pytest.mark.anyio
HELLO = {"role": "user", "parts": [{"text": "hi"}]}
PATHS = ("/v1beta/models/lab/m", "/v1beta1/publishers/google/models/lab/m", "/v1/models/lab/m")
WEATHER = {"functionDeclarations": [{"name": "weather", "description": "d", "parameters": {"type": "OBJECT"}}]}
ROME = {"index": 0, "id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"in": "Rome"}'}}


async def post(gateway, call="generateContent", path=PATHS[0], headers=None, **body):
    whole = {"contents": [HELLO], **body}
    return await gateway.http.post(f"{path}:{call}", json=whole, headers=headers or {})


def events(text: str) -> list[dict]:
    return [json.loads(line[6:]) for line in text.split("\n") if line.startswith("data: ")]


@pytest.mark.parametrize("path", PATHS)
async def test_an_answer_is_a_content_of_the_model(gateway, upstream, path):
    upstream.answer("hello", reasoning_content="because")
    config = {"temperature": 0.5, "topK": 5, "maxOutputTokens": 9, "stopSequences": ["END"], "thinkingConfig": {}}
    told = await post(gateway, path=path, systemInstruction={"parts": [{"text": "be brief"}]}, generationConfig=config)
    candidate = told.json()["candidates"][0]
    assert candidate["content"]["parts"] == [{"text": "because", "thought": True}, {"text": "hello"}]
    assert candidate["finishReason"] == "STOP"
    assert told.json()["usageMetadata"]["totalTokenCount"] == 10
    assert told.headers["x-chomp-router"] == "lab"
    sent = upstream.chats[0].json
    assert sent["messages"] == [{"role": "system", "content": "be brief"}, {"role": "user", "content": "hi"}]
    assert (sent["temperature"], sent["top_k"], sent["stop"]) == (0.5, 5, ["END"])


async def test_a_stream_brings_text_as_it_comes_and_calls_whole(gateway, upstream):
    upstream.stream(["Hel", "lo", chunk(tool_calls=[ROME])], finish="tool_calls")
    told = await post(gateway, "streamGenerateContent?alt=sse", tools=[WEATHER])
    *pieces, last = events(told.text)
    assert "".join(part["text"] for each in pieces for part in each["candidates"][0]["content"]["parts"]) == "Hello"
    call = last["candidates"][0]["content"]["parts"][0]["functionCall"]
    assert call == {"id": "c1", "name": "weather", "args": {"in": "Rome"}}
    assert last["candidates"][0]["finishReason"] == "STOP"
    assert last["usageMetadata"]["promptTokenCount"] == 7
    assert upstream.chats[0].json["tools"][0]["function"]["parameters"] == {"type": "object"}
