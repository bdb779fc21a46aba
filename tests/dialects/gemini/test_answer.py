"""Contents as a chat completion, whole and streamed, and the list of models."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chomp_mcp.dialects.gemini import answer as gemini
from chomp_mcp.messages import Completion, Failed, FailureKind, Usage
from tests.dialects.chunking import outcome, pieces, read, singly
from tests.dialects.gemini.router import ROUTER, SIGNED
from tests.dialects.judging import judged
from tests.support.gemini_answers import content, wired

CALL = {"functionCall": {"name": "weather", "args": {"in": "Rome"}}, "thoughtSignature": "c2lnbmVk"}


def answer(told):
    return gemini.decode(json.dumps(told).encode())


def test_a_whole_answer():
    usage = {"promptTokenCount": 9, "candidatesTokenCount": 3, "thoughtsTokenCount": 5, "cachedContentTokenCount": 4}
    told = answer(content({"text": "hm", "thought": True}, "hello", CALL, usage=usage))
    assert isinstance(told, Completion)
    assert (told.message["content"], told.message["reasoning_content"]) == ("hello", "hm")
    [call] = told.message["tool_calls"]
    assert call["function"] == {"name": "weather", "arguments": '{"in":"Rome"}'}
    assert call["extra_content"] == SIGNED
    assert told.finish_reason == "tool_calls"
    assert told.usage == Usage(9, 8, 4, reasoning_tokens=5)


@pytest.mark.parametrize(
    ("told", "finish"),
    [
        (content(finish="MAX_TOKENS"), "length"),
        (content(finish="SAFETY"), "content_filter"),
        ({"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, "usageMetadata": {}}, "content_filter"),
    ],
)
def test_an_end_without_a_word_says_why(told, finish):
    assert answer(told).finish_reason == finish


@pytest.mark.parametrize(
    "told", [content(finish="STOP"), content(finish="MALFORMED_FUNCTION_CALL"), {}, {"candidates": []}]
)
def test_nothing_said_is_no_answer(told):
    outcome = answer(told)
    assert isinstance(outcome, Failed)
    assert outcome.kind is FailureKind.TRANSIENT


def test_errors_are_googles_own():
    failed = judged(answer({"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "message": "Quota exceeded"}}))
    assert failed.kind is FailureKind.RATE_LIMITED


STREAM = wired(content({"text": "hm", "thought": True}, "hello", CALL))


def test_a_stream_says_the_same():
    decoder = gemini.decoder()
    deltas = read(decoder, STREAM)
    assert "".join(delta.text for delta in deltas) == "hello"
    assert [delta.finish_reason for delta in deltas if delta.finish_reason] == ["tool_calls"]
    calls = [call for delta in deltas for call in delta.choice.get("tool_calls", ())]
    assert [(call["index"], call["function"]["name"]) for call in calls] == [(0, "weather")]
    assert decoder.usage == Usage(7, 3)
    assert decoder.finished
    assert sum(delta.is_usage_only for delta in deltas) == 1


@given(st.data())
def test_any_cut_of_the_same_bytes_gives_the_same(data):
    whole = content({"text": "hm", "thought": True}, "hello ✓ 🎈", usage=None)
    stream = wired(whole)
    expected = outcome(gemini.decoder(), [stream])
    assert outcome(gemini.decoder(), data.draw(pieces(stream))) == expected
    assert outcome(gemini.decoder(), singly(stream)) == expected


def test_a_stream_that_stops_early_is_cut():
    decoder = gemini.decoder()
    read(decoder, STREAM.split(b"\r\n\r\n")[1] + b"\r\n\r\n")
    assert not decoder.finished


def test_the_list_holds_what_generates_content():
    rows = [
        {
            "name": "models/gemini-3.5-flash",
            "displayName": "Gemini 3.5 Flash",
            "inputTokenLimit": 1048576,
            "outputTokenLimit": 65536,
            "supportedGenerationMethods": ["generateContent", "countTokens"],
            "thinking": True,
        },
        {"name": "models/gemini-embedding-001", "supportedGenerationMethods": ["embedContent"]},
    ]
    [model] = gemini.decode_list(ROUTER, json.dumps({"models": rows}).encode())
    assert (model.id, model.name) == ("gemini-3.5-flash", "Gemini 3.5 Flash")
    assert (model.context_length, model.max_output) == (1048576, 65536)
    assert model.can == {"reasoning"}
    request = gemini.encode_list(ROUTER, "AIza-1")
    assert request.url == f"{ROUTER.url}/models?pageSize=1000"
    assert request.headers["x-goog-api-key"] == "AIza-1"
