"""Frames that differ in their text alone are not parsed, and say the same."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chomp_mcp import wire
from chomp_mcp.messages import Delta
from tests.dialects.openai.router import chunk, event, read


def said(delta):
    return (delta.data, delta.text, delta.characters, delta.is_real, delta.finish_reason, delta.is_usage_only)


def parsed_each(frames):
    """What the frames say when each is parsed for itself."""
    return [said(Delta(data=frame)) for frame in frames]


def test_a_frame_like_the_one_before_is_not_parsed_and_says_the_same():
    frames = [wire.dumps(chunk({"content": text})) for text in ("Hi", " there", ", 👋", "Hi")]
    deltas, _ = read(*map(event, frames))
    assert [delta.plain for delta in deltas] == ["", " there", ", 👋", "Hi"]
    assert [said(delta) for delta in deltas] == parsed_each(frames)
    assert [delta.chunk for delta in deltas] == [wire.loads(frame) for frame in frames]


LIKENESSES = [
    b'{"choices":[{"index":0,"delta":{"content":"%s"}}]}',
    b'{"choices":[{"index":0,"delta":{"role":"assistant","content":"%s","refusal":null}}],"usage":null}',
    b'{"id":"%s","choices":[{"delta":{"content":"%s"}}]}',
    b'{"id":"hi","choices":[{"delta":{"content":"%s"}}]}',
    b'{"id":"say \\"%s","choices":[{"delta":{"content":"%s"}}]}',
    b'{ "choices": [ { "delta": {"content" : "%s"} , "index" : 0 } ] }',
    b'{"choices":[{"delta":{"content":"a","content":"%s"}}]}',
    b'{"choices":[{"delta":{"content":"%s","reasoning_content":"%s"}}]}',
    b'{"choices":[{"delta":{"content":"%s"},"index":1}]}',
    b'{"choices":[{"delta":{"content":"%s"}},{"index":1,"delta":{"content":"%s"}}]}',
]
TEXTS = [
    "hi",
    "?",
    "",
    " ",
    "a",
    "choices",
    "delta",
    "content",
    "role",
    '\\"',
    "\\n",
    "\\u00e4",
    "👋",
    "\u200b",
    "\x7f",
]


@given(st.lists(st.tuples(st.sampled_from(LIKENESSES), st.sampled_from(TEXTS)), max_size=12))
def test_frames_that_are_more_or_less_alike_say_what_they_say_alone(pairs):
    frames = [likeness.replace(b"%s", text.encode()) for likeness, text in pairs]
    deltas, _ = read(*map(event, frames))
    assert [said(delta) for delta in deltas] == parsed_each(frames)


@pytest.mark.parametrize("text", [b'"', b'a","b', b"\\", b"\t", b"\x00", b"\xff"])
def test_a_frame_that_only_looks_like_the_one_before_is_garbage_all_the_same(text):
    before, after = wire.dumps(chunk({"content": "%s"})).split(b"%s")
    deltas, decoder = read(event(before + b"hi" + after), event(before + text + after))
    assert len(deltas) == 1
    assert decoder.error


def test_a_frame_in_which_the_ends_of_the_one_before_overlap_is_garbage():
    before, after = wire.dumps(chunk({"content": "%s"})).split(b"%s")
    deltas, decoder = read(event(before + b"hi" + after), event(before + after[1:]))
    assert len(deltas) == 1
    assert decoder.error


def test_frames_that_each_bring_their_own_noise_come_through():
    frames = [wire.dumps(chunk({"content": "hi"}, noise="x" * at)) for at in range(20)]
    deltas, _ = read(*map(event, frames))
    assert [said(delta) for delta in deltas] == parsed_each(frames)
