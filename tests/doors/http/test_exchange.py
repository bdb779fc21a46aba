"""One exchange over HTTP: how its stream ends, and what it costs where nobody hears it to its end."""

from __future__ import annotations

import asyncio
import json

import anyio
import openai
import pytest
from openai import AsyncOpenAI

from tests.support.serving import Served

pytestmark = pytest.mark.anyio
HELLO = [{"role": "user", "content": "hi"}]


@pytest.fixture
async def client(gateway: Served):
    async with AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key="none") as client:
        yield client


def events(text: str) -> list:
    return [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: {")]


async def test_an_error_after_the_first_delta_is_an_event_and_a_clean_end(client, gateway, upstream):
    upstream.error_event({"message": "out of memory", "code": 500}, after=["Hel"])
    answer = await gateway.chat(stream=True)
    *_, last = events(answer.text)
    assert answer.status_code == 200
    assert "out of memory" in last["error"]["message"]
    assert answer.content.endswith(b"data: [DONE]\n\n")
    got = ""
    with pytest.raises(openai.APIError, match="out of memory"):
        async for piece in await client.chat.completions.create(model="lab/m", messages=HELLO, stream=True):
            got += piece.choices[0].delta.content or ""
    assert got == "Hel"


async def test_a_router_that_dies_in_mid_stream_is_an_error_event(gateway, upstream):
    upstream.cut(["Hel", "lo"])
    answer = await gateway.chat(stream=True)
    assert "error" in events(answer.text)[-1]
    assert answer.content.endswith(b"data: [DONE]\n\n")


@pytest.mark.parametrize("stream", [False, True])
async def test_a_client_that_hangs_up_stops_the_router_and_is_settled(gateway, upstream, stream):
    upstream.hang(after=["Hello", " there"])
    task = asyncio.create_task(gateway.chat(stream=stream))
    with anyio.fail_after(5):
        await upstream.saw_request()
        task.cancel()
        await upstream.saw_disconnect()
    await gateway.is_quiet()
    providers = (await gateway.http.get("/v1/providers")).json()
    assert providers["total_calls"] == 1
    assert providers["providers"]["lab"]["breaker"] == "closed"


async def test_the_money_of_a_stream_that_nobody_heard_to_its_end_is_spent(gateway, upstream):
    upstream.hang(after=["Hello", " there"])
    async with gateway.http.stream(
        "POST", "/v1/chat/completions", json={"model": "lab/m", "messages": HELLO, "stream": True}
    ) as answer:
        async for _ in answer.aiter_bytes():
            break
    with anyio.fail_after(5):
        await upstream.saw_disconnect()
    await gateway.is_quiet()
    spend = (await gateway.chomp.status())["spend"]
    assert (spend["calls_today"], spend["unpriced_calls_today"]) == (1, 1)
    assert spend["output_tokens_today"] > 0
