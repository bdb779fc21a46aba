"""A request: made of words, told as JSON, and translated when somebody reads it."""

from __future__ import annotations

import pytest

from chomp_mcp.errors import InvalidRequest, TooLarge
from chomp_mcp.messages import ChatRequest, Native, Route, Router, WireRequest
from chomp_mcp.messages.request import MAX_PROMPT_BYTES, Translated


def test_words_become_messages_behind_the_history_and_our_own_fields_no_options():
    history = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    options = {"messages": history, "temperature": 0.2, "stream": False, "model": "x", "router": "y"}
    asked = ChatRequest.from_prompt("hi", model="groq/m", system="Be brief.", options=options)
    assert asked.body == {
        "messages": [{"role": "system", "content": "Be brief."}, *history, {"role": "user", "content": "hi"}],
        "temperature": 0.2,
    }
    assert (asked.model, asked.router, asked.stream) == ("groq/m", "auto", True)
    assert options["messages"] is history, "the caller's object is as it was"


@pytest.mark.parametrize(
    ("prompt", "options", "param"),
    [
        (" ", None, "prompt"),
        (5, None, "prompt"),
        ("hi", ["temperature"], "options"),
        ("hi", {"messages": ["hi"]}, "options"),
        ("hi", {"dry_run": True}, "dry_run"),
        ("hi", {"n": 2}, "options"),  # one text is all that an answer to words can hold
        ("hi", {"n": [1]}, "options"),
    ],
)
def test_what_cannot_be_sent_is_named(prompt, options, param):
    with pytest.raises(InvalidRequest) as wrong:
        ChatRequest.from_prompt(prompt, options=options)
    assert wrong.value.param == param


def test_a_prompt_is_bounded_in_bytes():
    half = "é" * (MAX_PROMPT_BYTES // 4)
    assert ChatRequest.from_prompt(half, system=half)
    with pytest.raises(TooLarge):
        ChatRequest.from_prompt(half, system=half + "x")


def test_what_another_process_is_told_is_the_same_request():
    asked = ChatRequest(
        {"messages": [], "n": 1}, "m", "groq", False, session="s", timeout_seconds=5, needs=frozenset({"tools"})
    )
    told = asked.as_dict()
    assert ChatRequest.from_dict({**told, "of_a_later_version": 1}) == asked


def test_a_translation_is_made_once_by_whoever_reads_it_and_its_notes_travel():
    made = []

    def make():
        made.append(1)
        return {"messages": [], "max_tokens": 5}, ("it has no room for x",)

    native = Native("anthropic", {"messages": [], "x": 1})
    asked = ChatRequest(Translated(make), native=native, notes=("first",), wishes=("max_tokens",))
    assert asked.said is native.body
    assert asked.is_native_to(Route(Router("a", "A", "http://a", dialect="anthropic"), "m"))
    assert not asked.is_native_to(Route(Router("b", "B", "http://b"), "m"))
    assert made == [], "a native route never reads it"
    less = asked.without({"max_tokens"})
    assert (dict(less.body), less.wishes) == ({"messages": []}, ())
    assert less.notes == asked.all_notes == ("first", "it has no room for x")
    assert made == [1]


def test_no_repr_shows_a_header():
    assert "sk-1" not in repr(WireRequest("POST", "http://a", {"authorization": "Bearer sk-1"}))
