"""A stream goes to the client in the bytes of its router."""

from __future__ import annotations

import pytest

from tests.dialects.anthropic.test_native import BODY
from tests.support.anthropic_answers import events_of, message, script_message, wired
from tests.support.scripted import Wire
from tests.support.serving import Served

pytestmark = pytest.mark.anyio
ROUTER = ("claude", "anthropic", "sk-lab")
USE = {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"a": [1, 2]}}


async def post(served: Served, path: str = "/v1/messages?beta=true", **more):
    headers = {"anthropic-beta": "a-1,b-2", "anthropic-version": "2099-01-01", "x-api-key": "mine"}
    return await served.http.post(path, json={**BODY, **more}, headers=headers)


async def test_usage_is_read_of_what_goes_through(served, upstream):
    usage = {"input_tokens": 5, "cache_read_input_tokens": 90, "cache_creation_input_tokens": 5, "output_tokens": 30}
    script_message(upstream, message("hello", usage=usage))
    metrics = served.chomp.metrics
    for stream in (False, True):
        await post(served, stream=stream)
    text = metrics.render({}).decode()
    labels = '{model="claude-opus-5-5",router="claude"'
    assert f'chomp_tokens_total{labels},type="input"}} 200.0' in text
    assert f'chomp_tokens_total{labels},type="cached"}} 180.0' in text
    assert f'chomp_tokens_total{labels},type="output"}} 60.0' in text


async def test_any_chunking_of_the_stream_gives_the_same_bytes(served, upstream):
    answer = message("hellö " * 20, USE, stop="tool_use")
    whole = wired(events_of(answer))

    async def play(_request, wire: Wire) -> None:
        await wire.head(200, {"content-type": "text/event-stream"})
        for start in range(0, len(whole), 7):
            await wire.send(whole[start : start + 7])
        await wire.end()

    upstream.play(play)
    assert (await post(served, stream=True)).content == whole
