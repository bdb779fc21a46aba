"""A generateContent body as chat completions."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.anyio
HELLO = {"role": "user", "parts": [{"text": "hi"}]}
PATHS = ("/v1beta/models/lab/m", "/v1beta1/publishers/google/models/lab/m", "/v1/models/lab/m")
WEATHER = {"functionDeclarations": [{"name": "weather", "description": "d", "parameters": {"type": "OBJECT"}}]}


async def post(gateway, call="generateContent", path=PATHS[0], headers=None, **body):
    whole = {"contents": [HELLO], **body}
    return await gateway.http.post(f"{path}:{call}", json=whole, headers=headers or {})


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
