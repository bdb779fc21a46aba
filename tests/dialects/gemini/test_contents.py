"""A conversation as contents: turns of parts."""

from __future__ import annotations

from tests.dialects.gemini.router import HELLO, SIGNED, sent


def test_a_conversation_with_parallel_calls_is_turns_of_parts():
    calls = [
        {"id": f"c{n}", "type": "function", "function": {"name": "weather", "arguments": '{"in": "Rome"}'}}
        for n in (1, 2)
    ]
    results = [
        {"role": "tool", "tool_call_id": call["id"], "content": sky} for call, sky in zip(calls, "ab", strict=True)
    ]
    body = sent([{"role": "system", "content": "s"}, *HELLO, {"role": "assistant", "tool_calls": calls}, *results])
    assert body["systemInstruction"] == {"parts": [{"text": "s"}]}
    first, model, user = body["contents"]
    assert first["role"] == "user"
    assert [part["functionCall"]["args"] for part in model["parts"]] == [{"in": "Rome"}] * 2
    assert user == {
        "role": "user",
        "parts": [{"functionResponse": {"name": "weather", "response": {"output": sky}}} for sky in "ab"],
    }


def test_a_signature_goes_back_where_it_came_from_and_a_lost_one_is_named_as_lost():
    call = {"id": "c", "type": "function", "function": {"name": "weather", "arguments": "{}"}}

    def part(model="gemini-3.5-flash", **more):
        return sent([*HELLO, {"role": "assistant", "tool_calls": [{**call, **more}]}], model)["contents"][1]["parts"][0]

    assert part(extra_content=SIGNED)["thoughtSignature"] == "c2lnbmVk"
    assert part()["thoughtSignature"] == "skip_thought_signature_validator"
    assert "thoughtSignature" not in part("gemini-2.5-pro")


def test_media_travel_inside_or_by_their_address():
    parts = [
        {"type": "text", "text": "look"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}},
        {"type": "image_url", "image_url": {"url": "https://a/b.png?x=1"}},
        {"type": "file", "file": {"file_data": "data:application/pdf;base64,AA=="}},
        {"type": "input_audio", "input_audio": {"data": "AA==", "format": "mp3"}},
    ]
    assert sent([{"role": "user", "content": parts}])["contents"][0]["parts"] == [
        {"text": "look"},
        {"inlineData": {"mimeType": "image/png", "data": "AA=="}},
        {"fileData": {"fileUri": "https://a/b.png?x=1", "mimeType": "image/png"}},
        {"inlineData": {"mimeType": "application/pdf", "data": "AA=="}},
        {"inlineData": {"mimeType": "audio/mp3", "data": "AA=="}},
    ]
