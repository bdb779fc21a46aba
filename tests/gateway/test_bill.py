"""What is counted where the router counts nothing."""

from __future__ import annotations

import pytest

from chomp_mcp.messages import OWNER, ChatRequest
from tests.support.world import world

pytestmark = pytest.mark.anyio


def request(model: str, *, stream: bool = True, **options: object) -> ChatRequest:
    return ChatRequest.from_prompt("hi", model=model, options=options).with_stream(stream)


async def test_reasoning_and_tool_calls_count_when_the_router_sends_no_usage(home) -> None:
    async with world(home, "groq") as w:
        call = {"index": 0, "id": "c", "function": {"name": "f", "arguments": "x" * 400}}
        w.groq.stream(
            [{"choices": [{"index": 0, "delta": {"reasoning": "y" * 400, "tool_calls": [call]}}]}], usage=None
        )
        async with w.chomp.gateway.exchange(OWNER, request("groq/m")) as reply:
            await reply.completion()
        usage = reply.receipt().usage
        assert usage.estimated
        assert usage.output_tokens == 200
