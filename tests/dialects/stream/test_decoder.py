"""How a stream ends, and what in its place is no stream."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chomp_mcp.messages import FailureKind
from tests.dialects.judging import judged
from tests.dialects.openai.router import chunk, event, read


def test_a_stream_without_its_end_mark_is_finished_by_its_finish_reason():
    _, decoder = read(event(chunk({"content": "hi"}, "stop")))
    assert (decoder.finished, decoder.done) == (True, False)


def test_a_stream_that_just_stops_is_not_finished():
    deltas, decoder = read(event(chunk({"content": "hi"})), b'data: {"choices": [{"del')
    assert [delta.text for delta in deltas] == ["hi"]
    assert (decoder.finished, decoder.error) == (False, None)


@pytest.mark.parametrize(
    "frame",
    [
        {
            "error": {"message": "no luck", "code": 502},
            "choices": [{"delta": {"content": ""}, "finish_reason": "error"}],
        },
        {"choices": [], "x_groq": {"error": "no luck"}},
        {"message": "no luck", "type": "server_error", "code": "x", "status_code": 503},
        {"error": {"message": "no luck"}, "status_code": 429},
        {"error": "no luck"},
    ],
)
def test_an_error_event_ends_the_stream(frame):
    deltas, decoder = read(event(chunk({"content": "hi"})), event(frame), event(chunk({"content": "more"})))
    assert [delta.text for delta in deltas] == ["hi"]
    assert decoder.error
    assert "no luck" in judged(decoder.error).message
    assert not decoder.finished


def test_a_finish_reason_of_error_is_an_error():
    _, decoder = read(event(chunk({"content": "hi"}, "error")))
    assert decoder.error


@pytest.mark.parametrize("data", [b'{"message": "no luck"}', b'{"error": {"message": "no luck"}}', b"no luck"])
def test_an_event_named_error_is_an_error(data):
    _, decoder = read(b"event: error\ndata: " + data + b"\n\n")
    assert decoder.error
    assert "no luck" in judged(decoder.error).message


@pytest.mark.parametrize("frame", [b"{]", b"hello", b"[1]", b"<html>"])
def test_garbage_in_a_stream_is_an_error(frame):
    deltas, decoder = read(event(chunk({"content": "hi"})), event(frame))
    assert len(deltas) == 1
    assert decoder.error
    assert judged(decoder.error).kind is FailureKind.TRANSIENT


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "nothing"),
        (b"<html>", "HTML"),
        (b'{"error": "no luck"}', "no luck"),
        (b"Bad gateway", "JSON"),
        (b"\n\n", "nothing"),
    ],
)
def test_something_else_than_a_stream_says_what_came(body, says):
    deltas, decoder = read(body)
    assert deltas == []
    assert decoder.error
    assert says in judged(decoder.error).message


@given(st.binary(max_size=60))
def test_any_bytes_end_in_deltas_or_an_error(noise):
    _, decoder = read(noise)
    assert decoder.error is None or judged(decoder.error).message
