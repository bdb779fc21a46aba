"""JSON as it travels: what orjson refuses goes another way, and nothing but ValueError and TypeError comes out."""

from __future__ import annotations

import pytest

from chomp_mcp import wire
from chomp_mcp.dialects.openai import text


def nested(depth: int) -> object:
    value: object = 1
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize("value", ["\ud83d", {"seed": 2**70}, nested(300)], ids=["half an emoji", "integer", "deep"])
def test_what_orjson_does_not_write_is_written(value):
    assert wire.dumps(value).startswith((b'"\\ud83d"', b'{"seed":1180591620717411303424}', b"[" * 300))


def test_half_an_emoji_is_read_and_a_huge_integer_becomes_a_float():
    assert wire.loads(b'{"text":"\\ud83d"}') == {"text": "\ud83d"}
    assert wire.loads("[1180591620717411303424]") == [2.0**70]


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (nested(100_000), "it is nested too deeply"),
        ([float("nan"), "\ud83d"], "Out of range float values"),
        ([10**5_000], "Exceeds the limit"),
    ],
    ids=["deep", "NaN", "digits"],
)
def test_what_cannot_be_written_is_a_value_error_that_says_why(value, reason):
    with pytest.raises(ValueError, match=f"This cannot be written as JSON: {reason}"):
        wire.dumps(value)


def test_what_json_has_no_word_for_is_a_type_error():
    with pytest.raises(TypeError):
        wire.dumps({"set"})


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[" * 100_000, b'["\\ud83d",' + b"[" * 100_000, '["\\ud83d",' + "[" * 9_999]
)
def test_what_is_no_json_is_a_value_error(data):
    with pytest.raises(ValueError, match=r"column|end of data|nested too deeply"):
        wire.loads(data)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "2e308", "-1e999"])
@pytest.mark.parametrize("text", ["a", "\\ud83d"], ids=["orjson", "half an emoji"])
def test_a_number_that_json_has_not_is_refused_whoever_reads_it(number, text):
    with pytest.raises(ValueError, match=r"column|is no number"):
        wire.loads(f'["{text}", {number}]')


@pytest.mark.parametrize(
    "dense",
    [
        b"[" + b"[]," * 2_000_000 + b"1]",
        b'{"choices":[' + b"{}," * 2_000_000 + b"{}]}",
        b"[" + b"1," * 6_000_001 + b"1]",
        b'{"k":1' + b',"k":1' * 2_000_000 + b"}",
    ],
    ids=["arrays", "objects", "numbers", "names"],
)
def test_megabytes_of_hardly_anything_but_brackets_are_not_parsed(dense):
    """The parser holds everybody up, and 60 MB of them became 2 GB."""
    for data in (dense, dense.decode()):
        with pytest.raises(wire.TooManyValues):
            wire.loads(data)
    with pytest.raises(wire.TooManyValues):
        text.loads(dense)


def test_long_texts_pictures_and_vectors_are_parsed_and_what_is_ours_always():
    numbers = b"[" + b"-0.0123456," * 1_000_000 + b"1]"
    assert len(wire.loads(numbers)) == 1_000_001
    assert len(wire.loads(b'"' + b"a word, and [more], " * 400_000 + b'"')) == 8_000_000
    assert len(wire.loads(b'"' + b"," * 7_000_000 + b'"', is_ours=True)) == 7_000_000
