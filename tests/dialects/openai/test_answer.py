"""What is read in a whole chat completion."""

from __future__ import annotations

import pytest

from chomp_mcp import wire
from chomp_mcp.dialects.openai import request as openai
from chomp_mcp.messages import Completion, Failed, FailureKind, Usage
from tests.dialects.judging import judged
from tests.dialects.openai.router import USAGE


def test_a_whole_answer_is_the_routers_own_object():
    body = {"id": "1", "choices": [{"index": 0, "message": {"content": "hi"}}], "usage": USAGE, "x_extra": [1]}
    answer = openai.decode(wire.dumps(body))
    assert isinstance(answer, Completion)
    assert (answer.body, answer.text, answer.usage) == (body, "hi", Usage(7, 3, 2))


def test_reasoning_is_kept_and_given_the_name_that_clients_read():
    answer = openai.decode(wire.dumps({"choices": [{"message": {"content": "hi", "reasoning": "hm"}}]}))
    assert isinstance(answer, Completion)
    assert answer.message == {"content": "hi", "reasoning": "hm", "reasoning_content": "hm"}


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "nothing"),
        (b" \n", "nothing"),
        (b"<html><title>502 Bad Gateway</title>", "502 Bad Gateway"),
        (b"<html>", "HTML"),
        (b"upstream says no", "not a JSON object"),
        (b"[1]", "not a JSON object"),
        (b"null", "not a JSON object"),
        (b'{"choices": []}', "no choices"),
        (b'{"choices": nul', "not a JSON object"),
        (b"\xff\xfe", "not a JSON object"),
    ],
)
def test_a_200_that_is_no_answer_says_what_came(body, says):
    failed = openai.decode(body)
    assert isinstance(failed, Failed)
    assert failed.kind is FailureKind.TRANSIENT
    assert says in failed.message


@pytest.mark.parametrize(
    "body",
    [
        {"error": {"message": "no luck", "code": 502}},
        {"error": "no luck"},
        {"message": "no luck", "type": "server_error", "param": None, "code": None},
        {"object": "error", "message": "no luck", "code": 400},
        {"detail": "no luck"},
        {"choices": [{"error": {"message": "no luck", "code": 502}, "finish_reason": "error"}]},
    ],
)
def test_an_error_inside_a_200_is_a_failure(body):
    failed = judged(openai.decode(wire.dumps(body)))
    assert isinstance(failed, Failed)
    assert "no luck" in failed.message


def test_half_an_emoji_does_no_harm():
    answer = openai.decode(b'{"choices": [{"message": {"content": "hi \\ud83d"}}]}')
    assert isinstance(answer, Completion)
    assert wire.dumps(answer.body)
