"""Tokens that nobody counted: media flat, the whole request, and what an answer may have at most."""

from __future__ import annotations

import base64
import json

import pytest

from chomp_mcp.errors import InvalidRequest
from chomp_mcp.messages import Usage
from chomp_mcp.policy.estimate import likely_usage, most_input, most_usage, usage_of_texts


def ask(**options):
    return {"messages": [{"role": "user", "content": "x" * 300}], **options}


@pytest.mark.parametrize(
    ("body", "max_output", "most", "likely"),
    [
        (ask(), None, 65_536, 4096),
        (ask(), 1000, 1000, 1000),
        (ask(), 60_000, 60_000, 4096),
        (ask(max_tokens=10), None, 10, 10),
        (ask(max_completion_tokens=20_000), 65_536, 20_000, 4096),
        (ask(max_tokens=10**9), 8192, 8192, 4096),
        (ask(max_tokens=10, n=3), None, 30, 30),
        (ask(max_tokens=10, n=0), None, 10, 10),
        (ask(max_tokens=10, n="3"), None, 10, 10),
        (ask(max_tokens="many"), None, 65_536, 4096),
        (ask(max_tokens=True), None, 65_536, 4096),
        (ask(max_tokens=-5), None, 65_536, 4096),
        (ask(max_tokens=None, max_completion_tokens=7), None, 7, 7),
    ],
)
def test_what_may_be_answered_is_the_callers_limit_or_the_models(body, max_output, most, likely):
    assert most_usage(body, max_output, most_input(body)).output_tokens == most
    assert likely_usage(body, max_output).output_tokens == likely


def test_the_most_counts_a_token_for_three_characters_of_the_request():
    assert 100 < most_input(ask()) < 130


PICTURE = base64.b64encode(bytes(range(256)) * 12_000).decode()
MEDIA = {
    "a data URL": {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PICTURE}"}},
    "a URL": {"type": "image_url", "image_url": {"url": "https://example.org/picture.png"}},
    "sound": {"type": "input_audio", "input_audio": {"data": PICTURE, "format": "wav"}},
    "a file": {"type": "file", "file": {"file_data": f"data:application/pdf;base64,{PICTURE}"}},
    "Anthropic's picture": {"type": "image", "source": {"type": "base64", "data": PICTURE}},
}


@pytest.mark.parametrize("part", MEDIA.values(), ids=MEDIA.keys())
def test_media_cost_by_what_they_show_and_not_by_their_base64(part):
    body = {"messages": [{"role": "user", "content": [{"type": "text", "text": "what is this"}, part, part]}]}

    assert 3200 < most_input(body) < 3500
    assert 3200 < usage_of_texts(body, 0).input_tokens < 3300


def test_the_whole_request_counts_its_tools_and_calls_and_schemas():
    tool = {"type": "function", "function": {"name": "f", "description": "d" * 1000, "parameters": {"type": "object"}}}
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": json.dumps({"text": "y " * 20_000})}}
    history = {"messages": [{"role": "assistant", "content": None, "tool_calls": [call]}]}

    assert 10_000 < usage_of_texts(ask(tools=[tool] * 40), 0).input_tokens < 12_500
    assert 10_000 <= usage_of_texts(history, 0).input_tokens < 10_100
    assert (
        usage_of_texts(ask(response_format={"type": "json_schema", "json_schema": {"x": "z" * 4000}}), 0).input_tokens
        > 1000
    )


def test_texts_are_counted_four_characters_a_token_and_flagged():
    body = {"messages": [{"role": "user", "content": "x" * 401}]}

    assert usage_of_texts(body, 8) == Usage(101, 2, estimated=True)
    assert usage_of_texts({"messages": []}, 0) == Usage(0, 0, estimated=True)


@pytest.mark.parametrize("odd", ["\ud83d", 2**70])
def test_a_request_of_odd_json_is_estimated_too(odd):
    assert most_input(ask(odd=odd)) > 100


@pytest.mark.parametrize("odd", [{"set"}, b"bytes", ["\ud83d", float("nan")]], ids=["set", "bytes", "NaN"])
def test_a_request_that_is_no_json_is_refused(odd):
    with pytest.raises(InvalidRequest, match=r"The request is not JSON.*Leave out"):
        most_input(ask(odd=odd))
