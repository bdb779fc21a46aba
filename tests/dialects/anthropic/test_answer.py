"""A whole message as a chat completion, and the list of models."""

from __future__ import annotations

import pytest
from anthropic.types import Message

from chomp_mcp import wire
from chomp_mcp.dialects.anthropic import answer as anthropic
from chomp_mcp.messages import Completion, Failed, FailureKind, Model, Usage
from tests.dialects.anthropic.router import MESSAGE, OVERLOADED, ROUTER
from tests.dialects.judging import judged


def test_a_message_becomes_a_completion():
    Message.model_validate(MESSAGE)  # the sample is what the official client reads
    answer = anthropic.decode(wire.dumps(MESSAGE))
    assert isinstance(answer, Completion)
    assert answer.usage == Usage(8, 7, 2, cache_write_tokens=1)
    assert answer.body == {
        "id": "msg_1",
        "object": "chat.completion",
        "created": 0,
        "model": "claude-opus-5-5",
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": "I look. Wait.",
                    "reasoning_content": "hm",
                    "thinking_blocks": [{"type": "thinking", "thinking": "hm", "signature": "s"}],
                    "tool_calls": [
                        {
                            "id": "toolu_1",
                            "type": "function",
                            "function": {"name": "weather", "arguments": '{"at":"Rome"}'},
                        }
                    ],
                },
                "finish_reason": "tool_calls",
            }
        ],
        "usage": {
            "prompt_tokens": 8,
            "completion_tokens": 7,
            "total_tokens": 15,
            "prompt_tokens_details": {"cached_tokens": 2, "cache_write_tokens": 1},
        },
    }


@pytest.mark.parametrize(
    ("reason", "finish"),
    [("end_turn", "stop"), ("max_tokens", "length"), ("refusal", "content_filter"), ("something_new", "stop")],
)
def test_every_stop_reason_has_a_finish_reason(reason, finish):
    answer = anthropic.decode(wire.dumps({**MESSAGE, "stop_reason": reason}))
    assert isinstance(answer, Completion)
    assert answer.body["choices"][0]["finish_reason"] == finish


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"{}", b'{"content": "x"}'])
def test_a_200_that_is_no_message_is_a_failure(body):
    failed = anthropic.decode(body)
    assert isinstance(failed, Failed)
    assert failed.kind is FailureKind.TRANSIENT


def test_an_error_inside_a_200_is_judged():
    failed = judged(anthropic.decode(wire.dumps(OVERLOADED)))
    assert isinstance(failed, Failed)
    assert failed.message == "Overloaded"


def test_the_list_leaves_out_the_retired_and_knows_no_prices():
    request = anthropic.encode_list(ROUTER, "k")
    assert (request.url, request.headers["x-api-key"]) == ("https://api.anthropic.com/v1/models?limit=1000", "k")
    rows = [
        {
            "id": "claude-new",
            "display_name": "New",
            "lifecycle": "active",
            "max_input_tokens": 1_000_000,
            "max_tokens": 64_000,
        },
        {"id": "claude-old", "lifecycle": "retired"},
    ]
    (model,) = anthropic.decode_list(ROUTER, wire.dumps({"data": rows, "has_more": False}))
    assert model == Model("anthropic", "claude-new", "New", 1_000_000, 64_000)
    with pytest.raises(ValueError, match="model list"):
        anthropic.decode_list(ROUTER, b"{}")
