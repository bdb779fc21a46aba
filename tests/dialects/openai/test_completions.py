"""Legacy completions, judged by the official package."""

from __future__ import annotations

import openai
import pytest

from tests.support.scripted import sse

pytestmark = pytest.mark.anyio


def text_chunk(text: str, finish: str | None = None) -> dict:
    choice = {"index": 0, "text": text, "finish_reason": finish, "logprobs": None}
    return {"id": "t", "object": "text_completion", "created": 1, "model": "m", "choices": [choice]}


async def test_a_completion_fills_in_between_prompt_and_suffix(client, upstream):
    upstream.reply(200, {**text_chunk("x = 1", "stop"), "usage": {"prompt_tokens": 2, "completion_tokens": 3}})
    answer = await client.completions.create(model="lab/m", prompt="def f():", suffix="return x", max_tokens=9)
    assert answer.choices[0].text == "x = 1"
    assert upstream.requests[-1].path.endswith("/v1/completions")
    assert upstream.requests[-1].json == {"model": "m", "prompt": "def f():", "suffix": "return x", "max_tokens": 9}


async def test_a_completion_streams_in_the_routers_own_chunks(client, upstream):
    usage = {**text_chunk(""), "choices": [], "usage": {"prompt_tokens": 2, "completion_tokens": 3}}
    body = b"".join(map(sse, [text_chunk("x "), text_chunk("= 1"), text_chunk("", "stop"), usage, "[DONE]"]))
    upstream.reply(200, body, {"content-type": "text/event-stream"})
    options = {"include_usage": True}
    stream = await client.completions.create(model="lab/m", prompt="a", stream=True, stream_options=options)
    chunks = [chunk async for chunk in stream]
    assert "".join(chunk.choices[0].text for chunk in chunks if chunk.choices) == "x = 1"
    assert chunks[-1].usage.completion_tokens == 3
    assert upstream.requests[-1].json["stream_options"] == {"include_usage": True}


async def test_a_completion_that_is_cut_is_an_error(client, upstream):
    upstream.reply(200, sse(text_chunk("x ")), {"content-type": "text/event-stream"})
    stream = await client.completions.create(model="lab/m", prompt="a", stream=True)
    with pytest.raises(openai.APIError, match="incomplete"):
        [chunk async for chunk in stream]
