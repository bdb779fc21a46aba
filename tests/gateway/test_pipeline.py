"""The one way of every request, from the plan to the settlement."""

from __future__ import annotations

import pytest

from chomp_mcp.errors import InvalidRequest, NoRouterKey, TooLarge, UnknownModel
from chomp_mcp.messages import OWNER, ChatRequest
from tests.support.world import world

pytestmark = pytest.mark.anyio


def request(model: str, *, stream: bool = True, **options: object) -> ChatRequest:
    return ChatRequest.from_prompt("hi", model=model, options=options).with_stream(stream)


@pytest.mark.parametrize("stream", [True, False])
async def test_an_answer_comes_with_a_receipt_of_who_gave_it_and_what_it_cost(home, stream) -> None:
    async with world(home, "groq") as w:
        w.groq.answer("hello you", usage=(1_000_000, 500_000))
        async with w.chomp.gateway.exchange(OWNER, request("groq/openai/gpt-oss-120b", stream=stream)) as reply:
            assert (await reply.completion()).text == "hello you"
            receipt = reply.receipt().as_dict()
    assert receipt["asked"] == receipt["served"] == "groq/openai/gpt-oss-120b"
    assert [a["outcome"] for a in receipt["attempts"]] == ["ok"]
    assert receipt["usage"] == {"input_tokens": 1_000_000, "output_tokens": 500_000, "cached_tokens": 0}
    assert receipt["cost_usd"] == "0.45", "0.15 per million in, 0.60 per million out: Groq's price list"
    sent = w.groq.chats[0]
    assert sent.key == "key-groq"
    assert sent.model == "openai/gpt-oss-120b"
    assert sent.wants_usage is stream


async def test_fields_that_we_do_not_know_travel_on_untouched(home) -> None:
    async with world(home, "groq") as w:
        options = {
            "temperature": 0.3,
            "tools": [{"type": "function", "function": {"name": "f"}}],
            "new_field": {"a": [1]},
        }
        async with w.chomp.gateway.exchange(OWNER, request("groq/m", **options)) as reply:
            await reply.completion()
    body = w.groq.chats[0].json
    assert {name: body[name] for name in options} == options


async def test_requests_that_cannot_be_meant_are_refused_before_anything_is_sent(home) -> None:
    async with world(home, "groq") as w:
        w.groq.models(["m"])
        for model, error in {"nosuch/x": UnknownModel, "cerebras/x": NoRouterKey}.items():
            with pytest.raises(error) as caught:
                async with w.chomp.gateway.exchange(OWNER, request(model)):
                    pass
            assert caught.value.hint
        assert not w.groq.chats
    with pytest.raises(InvalidRequest):
        ChatRequest.from_prompt("  ")
    with pytest.raises(TooLarge):
        ChatRequest.from_prompt("x" * 10_000_000)
    with pytest.raises(InvalidRequest):
        ChatRequest.from_prompt("x", options=["no"])  # type: ignore[arg-type]
