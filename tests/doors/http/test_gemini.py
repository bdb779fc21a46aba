"""Google's Gemini API as a door, in the bodies that Gemini CLI sends."""

from __future__ import annotations

import json

import pytest

from tests.support.scripted import chunk
from tests.support.serving import serving, settings_for

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


async def test_calls_and_results_are_paired_by_id_or_by_name(gateway, upstream):
    calls = [{"functionCall": {"name": "weather", "args": {"in": town}}} for town in ("Rome", "Oslo")]
    results = [{"functionResponse": {"name": "weather", "response": {"output": sky}}} for sky in ("sun", "rain")]
    turns = [HELLO, {"role": "model", "parts": calls}, {"role": "user", "parts": results}]
    orphan = {"role": "user", "parts": [{"functionResponse": {"name": "other", "response": {"output": "x"}}}]}
    told = await post(gateway, contents=[*turns, orphan], tools=[WEATHER])
    assert "answers no call" in told.headers["x-chomp-notes"]
    _, assistant, first, second, last = upstream.chats[0].json["messages"]
    ids = [call["id"] for call in assistant["tool_calls"]]
    assert [first["tool_call_id"], second["tool_call_id"]] == ids
    assert ("sun" in str(first["content"]), "rain" in str(second["content"])) == (True, True)
    assert last["role"] == "user"


async def test_pictures_schemas_and_what_only_google_has(gateway, upstream):
    picture = {"inlineData": {"mimeType": "image/png", "data": "QUJD"}}
    schema = {"type": "OBJECT", "properties": {"a": {"type": "STRING"}}}
    told = await post(
        gateway,
        contents=[{"role": "user", "parts": [{"text": "see"}, picture]}],
        generationConfig={"responseMimeType": "application/json", "responseSchema": schema, "speechConfig": {}},
        tools=[{"googleSearch": {}}],
        safetySettings=[],
    )
    sent = upstream.chats[0].json
    assert sent["messages"][0]["content"][1]["image_url"]["url"] == "data:image/png;base64,QUJD"
    assert sent["response_format"]["json_schema"]["schema"]["properties"] == {"a": {"type": "string"}}
    for lost in ("speechConfig", "googleSearch", "safetySettings"):
        assert lost in told.headers["x-chomp-notes"]


async def test_errors_have_googles_shape(gateway, upstream):
    upstream.fail(500)
    told = await post(gateway)
    assert told.status_code == 502
    assert told.json()["error"]["status"] == "INTERNAL"
    assert told.json()["error"]["code"] == 502
    assert (await post(gateway, contents="x")).json()["error"]["status"] == "INVALID_ARGUMENT"
    assert (await post(gateway, "embedContent")).status_code == 400
    missing = await post(gateway, path="/v1beta/models/no-such-model")
    assert (missing.status_code, missing.json()["error"]["status"]) == (404, "NOT_FOUND")
    upstream.clear()
    upstream.error_event({"message": "out of luck"}, after=["Hel"])
    streamed = events((await post(gateway, "streamGenerateContent")).text)
    assert "out of luck" in streamed[-1]["error"]["message"]


async def test_its_key_header_is_a_token_and_its_own_names_stand_for_the_users_model(home, upstream):
    environ = {"GATEWAY_AUTH_TOKEN": "secret-of-the-owner", "CHOMP_AGENT_MODEL": "lab/m"}
    async with serving(settings_for(home, environ=environ, lab=upstream.url)) as gateway:
        path = "/v1beta/models/gemini-3-pro"
        assert (await post(gateway, path=path)).json()["error"]["status"] == "UNAUTHENTICATED"
        told = await post(gateway, path=path, headers={"x-goog-api-key": "secret-of-the-owner"})
        assert (told.status_code, upstream.chats[0].model) == (200, "m")


async def test_tokens_are_estimated(gateway, upstream):
    told = await post(gateway, "countTokens", contents=[{"role": "user", "parts": [{"text": "x" * 4000}]}])
    assert 1000 <= told.json()["totalTokens"] <= 1050
    assert not upstream.chats
