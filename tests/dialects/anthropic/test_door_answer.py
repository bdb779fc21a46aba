"""A completion as a message."""

from __future__ import annotations

import pytest

from chomp_mcp.dialects.anthropic.door_answer import message_of
from chomp_mcp.dialects.anthropic.door_request import chat_of
from chomp_mcp.dialects.openai.shapes import as_chunks
from chomp_mcp.messages import Completion
from tests.dialects.anthropic.door import HELLO, USAGE, completion, streamed


def test_reasoning_details_of_a_router_come_back_to_it():
    details = [{"type": "reasoning.encrypted", "data": "x" * 20, "id": "r1"}]
    message = {"content": "a", "reasoning_content": "hm", "reasoning_details": details}
    for told in (
        message_of(completion(message, "stop"), USAGE, model="m")["content"],
        streamed(as_chunks(completion(message, "stop").body)).model_dump()["content"],
    ):
        back, notes_on_it = chat_of({"messages": [{"role": "assistant", "content": told}, *HELLO]})
        assert back["messages"][0]["reasoning_details"] == details
        assert notes_on_it == ()


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ({"finish_reason": "stop"}, ("end_turn", None)),
        ({"finish_reason": "stop", "stop_reason": "END"}, ("stop_sequence", "END")),
        ({"finish_reason": "length"}, ("max_tokens", None)),
        ({"finish_reason": "content_filter"}, ("refusal", None)),
        ({"finish_reason": "something new"}, ("end_turn", None)),
    ],
)
def test_why_it_ended(choice, expected):
    body = {"choices": [{"index": 0, "message": {"content": "a"}, **choice}]}
    told = message_of(Completion(body), USAGE, model="m")
    assert (told["stop_reason"], told["stop_sequence"]) == expected
    assert (streamed(as_chunks(body)).stop_reason, streamed(as_chunks(body)).stop_sequence) == expected


def test_arguments_that_are_no_object_still_arrive():
    call = {"id": "c", "function": {"name": "f", "arguments": "not json"}}
    told = message_of(completion({"content": None, "tool_calls": [call]}, "tool_calls"), USAGE, model="m")
    assert told["content"][0]["input"] == {"arguments": "not json"}
