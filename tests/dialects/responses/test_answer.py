"""A whole response as a chat completion."""

from __future__ import annotations

import pytest

from chomp_mcp.messages import ErrorObject, Failed
from tests.dialects.responses.router import added_up, decoded
from tests.support.responses_answers import events_of, response, wired


@pytest.mark.parametrize(
    ("reason", "finish"), [("max_output_tokens", "length"), ("content_filter", "content_filter"), (None, "stop")]
)
def test_why_it_ended(reason, finish):
    more = {"status": "incomplete", "incomplete_details": {"reason": reason}} if reason else {}
    assert decoded(response("hello", **more)).finish_reason == finish
    body, decoder = added_up(wired(events_of(response("hello", **more))))
    assert body["choices"][0]["finish_reason"] == finish
    assert decoder.finished


def test_a_failed_response_is_an_error_with_its_words():
    error = {"code": "server_error", "message": "The model broke."}
    assert decoded(response(status="failed", error=error)) == ErrorObject(error)
    assert isinstance(decoded(response(status="failed")), ErrorObject)
    failed = {"type": "response.failed", "response": response(status="failed", error=error)}
    started = events_of(response("hello"))[:2]
    assert added_up(wired([*started, failed]))[1].error == ErrorObject(error)
    flat = {"type": "error", "code": "rate_limit_exceeded", "message": "Slow down.", "param": None}
    found = added_up(wired([*started, flat]))[1].error
    assert isinstance(found, ErrorObject)
    assert (found.error["code"], found.error["message"]) == ("rate_limit_exceeded", "Slow down.")


def test_a_response_without_a_word_is_no_answer():
    assert isinstance(decoded(response()), Failed)
    assert isinstance(decoded({"object": "response"}), Failed)
