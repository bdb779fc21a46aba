"""Output items as a message."""

from __future__ import annotations

from openai.types.chat import ChatCompletion

from chomp_mcp.messages import Completion, Usage
from tests.dialects.responses.router import CALL, ITEM, PATCH, decoded
from tests.support.responses_answers import response, thought


def test_a_whole_response_is_a_chat_completion():
    counts = {
        "input_tokens": 100,
        "input_tokens_details": {"cached_tokens": 60, "cache_write_tokens": 5},
        "output_tokens": 30,
        "output_tokens_details": {"reasoning_tokens": 20},
        "total_tokens": 130,
        "cost": "0.5",
    }
    item = {**ITEM, "arguments": '{"at": "Rome"}'}
    found = decoded(response(thought("hm", "so"), "hello", item, PATCH, usage=counts, service_tier="flex"))
    assert isinstance(found, Completion)
    ChatCompletion.model_validate(found.body)
    assert found.usage == Usage(100, 30, 60, cache_write_tokens=5, reasoning_tokens=20, service_tier="flex")
    assert str(found.cost_usd) == "0.5"
    assert found.finish_reason == "tool_calls"
    message = found.message
    assert (message["content"], message["reasoning_content"]) == ("hello", "hm\n\nso")
    assert message["tool_calls"] == [
        CALL,
        {"id": "c2", "type": "custom", "custom": {"name": "apply_patch", "input": "*** é"}},
    ]
