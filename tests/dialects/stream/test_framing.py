"""Bytes as they happen to arrive, and the events in them."""

from __future__ import annotations

import itertools

import pytest

from chomp_mcp import wire
from chomp_mcp.dialects.stream import framing
from tests.dialects.judging import judged
from tests.dialects.openai.router import DONE, chunk, event, read


def test_the_last_event_may_lack_its_blank_line():
    deltas, decoder = read(event(chunk({"content": "hi"})), b"data: " + wire.dumps(chunk({}, "stop")))
    assert (len(deltas), decoder.finished) == (2, True)


def test_comments_events_without_data_and_unknown_fields_are_passed_over():
    noise = b": OPENROUTER PROCESSING\n\nevent: ping\n\nid: 3\nretry: 10\n\ndata:\n\n\n\n"
    deltas, decoder = read(noise, event(chunk({"content": "hi"})), noise, DONE)
    assert [delta.text for delta in deltas] == ["hi"]
    assert decoder.error is None


def test_data_over_several_lines_comes_out_on_one():
    deltas, _ = read(b'data: {"choices": [{"index": 0,\ndata: "delta": {"content": "hi"}}]}\n\n')
    assert (deltas[0].text, b"\n" in deltas[0].data) == ("hi", False)


@pytest.mark.parametrize("end", [b"\r\n", b"\r"])
def test_other_line_ends_are_line_ends(end):
    stream = (event(chunk({"content": "hi"})) + event(chunk({}, "stop")) + DONE).replace(b"\n", end)
    deltas, decoder = read(*[stream[at : at + 1] for at in range(len(stream))])
    assert ([delta.text for delta in deltas], decoder.done) == (["hi", ""], True)


@pytest.mark.parametrize("ended", [True, False])
def test_an_endless_event_is_an_error_and_not_kept(ended):
    piece = b"x" * (framing.MAX_ANSWER_BYTES // 4)
    _, decoder = read(event(chunk({"content": "hi"})), b"data: {", *[piece] * 5, b"}\n\n" if ended else b"")
    assert decoder.error
    assert "MiB" in judged(decoder.error).message


def test_the_events_before_an_oversized_one_are_kept():
    huge = b'data: "' + b"x" * framing.MAX_ANSWER_BYTES + b'"\n\n'
    deltas, decoder = read(event(chunk({"content": "hi"})) + huge + event(chunk({"content": "more"})))
    assert [delta.text for delta in deltas] == ["hi"]
    assert decoder.error


@pytest.mark.parametrize("line", [b": x\n", b"data: 1\n"])
@pytest.mark.parametrize("end", [b"\n", b""])
def test_an_event_of_hundreds_of_thousands_of_lines_is_an_error_and_is_not_taken_apart(line, end):
    body = line * (framing.MOST_LINES + 2) + end
    pieces = [body[at : at + 65_536] for at in range(0, len(body), 65_536)]
    _, decoder = read(event(chunk({"content": "hi"})), *pieces)
    assert decoder.error
    assert "200,000 lines" in judged(decoder.error).message


def test_a_stream_of_nothing_but_signs_of_life_is_given_up_and_one_of_large_events_is_not():
    comments = framing.Events()
    for piece in itertools.repeat(b": still here\n\n" * 1000, framing.MOST_SILENT_BYTES // 14_000):
        assert comments.feed(piece) == []
    assert not comments.overflow
    comments.feed(b": still here\n\n" * 1000)
    assert comments.overflow

    large = framing.Events()
    for _ in range(50):
        assert large.feed(b"data: " + b"x" * 100_000) == []
        assert large.feed(b"x\n\n: still here\n\n") == [(b"", b"x" * 100_001)]
    assert not large.overflow
