"""The Gemini door on a route that speaks Gemini itself: nothing is translated, everything is accounted for."""

from __future__ import annotations

import json

import pytest

from tests.support.gemini_answers import content, events_of, script_content

pytestmark = pytest.mark.anyio
ROUTER = ("google", "gemini", "AIza-lab")

PATH = "/v1beta/models/google/gemini-3.5-flash"
SEARCH = {"executableCode": {"language": "PYTHON", "code": "1"}, "thoughtSignature": "c2lnbmVk"}
BODY = {
    "contents": [{"role": "user", "parts": [{"text": "hi"}]}],
    "tools": [{"googleSearch": {}}],
    "safetySettings": [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}],
    "a_field_of_tomorrow": {"deep": [None]},
}


async def test_a_whole_answer_goes_through_as_it_is(served, upstream):
    told = content("hello", SEARCH)
    script_content(upstream, told)
    answer = await served.http.post(f"{PATH}:generateContent", json=BODY)
    assert answer.json() == told
    assert answer.headers["x-chomp-router"] == "google"
    [request] = upstream.chats
    assert request.json == BODY
    assert request.path == "/v1/models/gemini-3.5-flash:generateContent"
    assert request.headers["x-goog-api-key"] == "AIza-lab"
    await served.is_quiet()
    assert (await served.chomp.ledger.spent("owner")).output_tokens == 3


async def test_a_stream_goes_through_event_by_event(served, upstream):
    told = content("hello", SEARCH)
    script_content(upstream, told)
    answer = await served.http.post(f"{PATH}:streamGenerateContent?alt=sse", json=BODY)
    events = [json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: ")]
    assert events == events_of(told)
    assert upstream.chats[0].json == BODY
    await served.is_quiet()
    assert (await served.chomp.ledger.spent("owner")).input_tokens == 7


async def test_a_stream_that_breaks_off_says_so(served, upstream):
    upstream.raw(
        [
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n",
            b"data: " + json.dumps(events_of(content("hello"))[0]).encode() + b"\n\n",
        ]
    )
    answer = await served.http.post(f"{PATH}:streamGenerateContent?alt=sse", json=BODY)
    first, last = [json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: ")]
    assert first["candidates"]
    assert "stopped in the middle" in last["error"]["message"]


async def test_other_doors_reach_it_through_a_translation(served, upstream):
    script_content(upstream, content("hello"))
    answer = await served.chat(model="google/gemini-3.5-flash")
    assert answer.json()["choices"][0]["message"]["content"] == "hello"
    message = {"model": "google/gemini-3.5-flash", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
    told = (await served.http.post("/v1/messages", json=message)).json()
    assert told["content"][0]["text"] == "hello"
    assert upstream.chats[1].json["generationConfig"] == {"maxOutputTokens": 9}
