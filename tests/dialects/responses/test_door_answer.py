"""A chat completion as a Response, judged by the official package."""

from __future__ import annotations

import pytest

from tests.doors.http.test_responses import streamed
from tests.support.scripted import chunk

pytestmark = pytest.mark.anyio


async def test_a_whole_answer(client, upstream):
    upstream.answer("hello", reasoning="because")
    answer = await client.responses.create(model="lab/m", instructions="Be brief.", input="hi", store=False)
    assert answer.output_text == "hello"
    assert answer.status == "completed"
    assert (answer.usage.input_tokens, answer.usage.output_tokens, answer.usage.total_tokens) == (7, 3, 10)
    assert [item.type for item in answer.output] == ["reasoning", "message"]
    assert answer.chomp["router"] == "lab"
    assert upstream.chats[0].json["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "hi"},
    ]


async def test_a_refusal_is_a_refusal(client, upstream):
    upstream.stream([chunk(refusal="I "), chunk(refusal="won't.")])
    _, final = await streamed(client, input="hi")
    assert final.output[0].content[0].refusal == "I won't."


async def test_an_answer_that_ends_at_its_limit_is_incomplete(client, upstream):
    upstream.stream(["Hel"], finish="length")
    stream = await client.responses.create(model="lab/m", input="hi", stream=True)
    last = [event async for event in stream][-1]
    assert last.type == "response.incomplete"
    assert last.response.incomplete_details.reason == "max_output_tokens"
    assert last.response.output_text == "Hel"
