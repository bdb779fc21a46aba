"""What a piece and a whole answer say, whatever a router put into them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chomp_mcp import wire
from chomp_mcp.messages import Completion, Delta
from chomp_mcp.messages.answer import text_of

BLANK = {"content": "", "tool_calls": [{"index": 0, "type": "function", "function": {"name": "", "arguments": ""}}]}
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["content", "text", "index"]), inner),
    max_leaves=8,
)


def piece(delta=None, **more):
    return Delta(chunk={"choices": [{"index": 0, "delta": delta, **more}]})


def whole(message=None, **more):
    return Completion({"choices": [{"index": 0, "message": message, **more}]})


@pytest.mark.parametrize(
    ("delta", "text", "characters", "is_real"),
    [
        ({"content": "hi"}, "hi", 2, True),
        ({"content": [{"type": "text", "text": "h"}, {"type": "text", "text": "i"}]}, "hi", 2, True),
        ({"reasoning_content": "hm", "reasoning": "hm"}, "", 2, True),
        ({"refusal": "no"}, "no", 2, True),
        ({"tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]}, "", 2, True),
        ({"role": "assistant", "content": ""}, "", 0, False),
        (BLANK, "", 0, False),
        (None, "", 0, False),
        ({}, "", 0, False),
    ],
)
def test_what_a_piece_says(delta, text, characters, is_real):
    told = piece(delta)
    assert (told.text, told.characters, told.is_real) == (text, characters, is_real)
    assert whole(delta).characters == characters
    assert whole(delta).is_answer is is_real


def test_a_piece_of_another_choice_is_real_but_no_text_of_the_first():
    told = Delta(data=wire.dumps({"choices": [{"index": 1, "delta": {"content": "hi"}, "finish_reason": "stop"}]}))
    assert (told.text, told.characters, told.is_real, told.finish_reason) == ("", 2, True, "stop")


@pytest.mark.parametrize("data", [b"", b"[1]", b"null", b"{]"])
def test_what_is_no_object_says_nothing(data):
    told = Delta(data=data)
    assert (told.chunk, told.text, told.is_real, told.finish_reason, told.is_usage_only) == ({}, "", False, None, False)


def test_usage_alone_is_told_from_usage_beside_a_choice():
    assert Delta(chunk={"choices": [], "usage": {"prompt_tokens": 1}}).is_usage_only
    assert not Delta(chunk={"choices": [{"delta": {}}], "usage": {"prompt_tokens": 1}}).is_usage_only


@pytest.mark.parametrize("reason", ["length", "content_filter"])
def test_an_end_without_a_word_is_an_answer_where_the_model_could_say_none(reason):
    assert whole({"content": ""}, finish_reason=reason).is_answer
    assert not whole({"content": ""}, finish_reason="stop").is_answer


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ({"content": "hi", "reasoning_content": "hm"}, "hi"),
        ({"content": "", "reasoning": "hm"}, "hm"),
        ({"content": "a", "refusal": "b"}, "a\n\nb"),
        ({"audio": {"transcript": "said"}}, "said"),
        ({"function_call": {"name": "f"}}, '{"function_call":{"name":"f"}}'),
        ({"images": [{"image_url": {"url": "data:image/png;base64,QUJD"}}]}, "(1 picture: image/png, 3 bytes)"),
        ({"content": [{"type": "image_url", "image_url": "http://a/b.png"}]}, "(1 picture: http://a/b.png)"),
    ],
)
def test_all_that_an_answer_says_for_who_takes_text_alone(message, text):
    assert whole(message).text == text


@given(json_values)
def test_no_shape_of_an_answer_makes_a_reader_raise(value):
    assert isinstance(text_of(value), str)
    for body in ({"choices": value}, {"choices": [value]}, {"choices": [{"message": value, "delta": value}]}):
        told = Completion(body)
        assert isinstance((told.text, told.characters, told.is_answer, told.finish_reason), tuple)
        read = Delta(data=wire.dumps(body))
        assert isinstance((read.text, read.characters, read.is_real, read.finish_reason), tuple)
