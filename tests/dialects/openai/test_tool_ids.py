"""Tool ids that a router takes, the same on both sides of a pair."""

from __future__ import annotations

import re
from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chomp_mcp.dialects.openai.tool_ids import Ids

GIVEN = st.text(max_size=80) | st.sampled_from(["call_0", "functions.get:0", "", "a" * 100])
SHAPES = {"any": r"(?s).+", "plain": r"[a-zA-Z0-9_-]{1,64}", "short": r"[a-zA-Z0-9]{9}"}


def calls(*given_ids):
    return {"role": "assistant", "tool_calls": [{"id": each} for each in given_ids]}


def result(given_id):
    return {"role": "tool", "tool_call_id": given_id, "content": "r"}


@pytest.mark.parametrize("shape", SHAPES)
@given(turns=st.lists(st.lists(GIVEN, min_size=1, max_size=3, unique=True), max_size=4))
def test_every_call_has_an_id_of_the_shape_and_its_result_the_same_one(shape, turns):
    history = [message for turn in turns for message in (calls(*turn), *map(result, turn))]
    assert Ids(shape).pair(history) == []
    for message in history:
        if "tool_calls" in message:
            waiting = [call["id"] for call in message["tool_calls"]]
            assert len(set(waiting)) == len(waiting)
            assert all(re.fullmatch(SHAPES[shape], each) for each in waiting)
        else:
            assert message["tool_call_id"] == waiting.pop(0)


def test_results_and_calls_without_the_other_are_told():
    history = [result("gone"), calls("a"), {"role": "user", "content": "hi"}]
    assert Ids("any").pair(history) == [
        "messages[0] is the result of a tool call that is not in the conversation",
        "a tool call before messages[2] has no result",
    ]


def test_a_result_may_come_twice_and_without_an_id_answers_who_waited_longest():
    history = [calls("a", "b"), result(""), result("b"), result("b")]
    assert Ids("any").pair(history) == []
    assert [message["tool_call_id"] for message in history[1:]] == ["a", "b", "b"]


def ids_of(history):
    return [call["id"] for message in history for call in message.get("tool_calls", ())]


MANY = 10_000


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", ["call_{}", "call", "", "long" * 16 + "{}"], ids=["own", "one", "none", "cut alike"])
def test_a_history_of_any_length_and_any_ids_is_paired_in_a_moment(shape, name):
    """A tenth of a second of CPU; minutes, where each call costs what all before it cost."""
    began = process_time()
    ids = [name.format(number) for number in range(MANY)]
    one_turn = [calls(*ids), *map(result, reversed(ids))]
    many_turns = [message for each in ids for message in (calls(each), result(each))]
    for history in (one_turn, many_turns):
        assert Ids(shape).pair(history) == []
        answered = [message["tool_call_id"] for message in history if message["role"] == "tool"]
        assert sorted(answered) == sorted(ids_of(history))
    assert len(set(ids_of(one_turn))) == MANY
    assert process_time() - began < 3
