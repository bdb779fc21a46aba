"""What the JSON doors share: everything but the envelope travels on, and headers tell the receipt."""

from __future__ import annotations

import pytest
from openai import AsyncOpenAI

from tests.support.serving import Served

pytestmark = pytest.mark.anyio
HELLO = [{"role": "user", "content": "hi"}]


@pytest.fixture
async def client(gateway: Served):
    async with AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key="none") as client:
        yield client


async def test_headers_tell_who_answered_and_the_request_id(client, upstream):
    raw = await client.chat.completions.with_raw_response.create(
        model="lab/m", messages=HELLO, extra_headers={"x-request-id": "mine-1"}
    )
    told = {name: raw.headers[f"x-chomp-{name}"] for name in ("router", "model", "attempts")}
    assert told == {"router": "lab", "model": "m", "attempts": "1"}
    assert raw.request_id == "mine-1"


async def test_everything_but_the_envelope_travels_on_untouched(client, upstream):
    parts = [{"type": "text", "text": "see"}, {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}]
    body = {
        "messages": [{"role": "user", "content": parts}],
        "n": 2,
        "logprobs": True,
        "seed": 7,
        "response_format": {"type": "json_object"},
    }
    await client.chat.completions.create(model="m", **body, extra_body={"router": "lab", "odd": {"deep": [1, None]}})
    sent = upstream.chats[0].json
    assert {name: sent[name] for name in body} == body
    assert sent["odd"] == {"deep": [1, None]}
    assert sent["model"] == "m"
    assert not {"router", "stream_options"} & set(sent)
    assert not [name for name in upstream.chats[0].headers if name.startswith(("x-stainless", "openai-"))]
