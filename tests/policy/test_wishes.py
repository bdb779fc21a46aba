"""Which refusals are about a field that a program sends to every model."""

from __future__ import annotations

import pytest

from chomp_mcp.messages import Failed, FailureKind
from chomp_mcp.policy.wishes import refused

ALL = ("reasoning_effort", "max_tokens", "user")


@pytest.mark.parametrize(
    ("message", "field"),
    [
        ("`reasoning_effort` is not supported with this model", "reasoning_effort"),
        ("Reasoning is not enabled for this model", "reasoning_effort"),
        ("'gemma' does not support thinking", "reasoning_effort"),
        ("`max_completion_tokens` must be less than or equal to `32768`", "max_tokens"),
        ("max_tokens is too large: 64000. This model supports at most 16384 completion tokens", "max_tokens"),
        ("property 'user' is unsupported", "user"),
        ("Unknown parameter: user", "user"),
        ("the last message must come from the user", ""),
        ("tools are not supported", ""),
    ],
)
def test_a_refusal_names_the_wish_that_it_is_about(message, field):
    assert refused(Failed(FailureKind.CALLER_FAULT, message, 400), ALL) == field


def test_a_prompt_without_room_for_the_answer_is_about_the_answer():
    told = "maximum context length is 8192 tokens, you requested 9000 (1000 in the messages, 8000 in the completion)"
    assert refused(Failed(FailureKind.TOO_LONG, told, 400), ALL) == "max_tokens"
    assert refused(Failed(FailureKind.TOO_LONG, "the prompt is too long", 400), ALL) == ""


def test_only_refusals_of_the_request_count_and_only_wishes_that_were_sent():
    told = "`reasoning_effort` is not supported"
    assert refused(Failed(FailureKind.TRANSIENT, told, 500), ALL) == ""
    assert refused(Failed(FailureKind.CALLER_FAULT, told, 400), ("max_tokens",)) == ""
