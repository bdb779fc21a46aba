"""A generateContent body as chat completions."""

from __future__ import annotations

from time import process_time

import pytest

from chomp_mcp.dialects.gemini.door_request import chat_of

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


def test_ten_thousand_calls_are_paired_with_their_results_in_a_moment():
    many, began = 10_000, process_time()
    calls = [{"functionCall": {"id": f"c{number}", "name": "f", "args": {}}} for number in range(many)]
    by_id = [{"functionResponse": {"id": f"c{number}", "name": "f"}} for number in range(1, many, 2)]
    by_name = [{"functionResponse": {"name": "f"}} for _ in range(0, many, 2)]
    told = [{"role": "model", "parts": calls}, {"role": "user", "parts": [*by_id[::-1], *by_name]}]
    chat, notes = chat_of({"contents": [HELLO, *told]})
    answered = [message["tool_call_id"] for message in chat["messages"][2:]]
    assert answered == [f"c{n}" for n in range(many - 1, 0, -2)] + [f"c{n}" for n in range(0, many, 2)]
    assert notes == ()
    assert process_time() - began < 3  # it takes a tenth of a second; minutes, where each costs what all before it cost


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
