"""A Responses request as chat completions: nothing is lost but what the notes name."""

from __future__ import annotations

import json
from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chomp_mcp.dialects.responses.door_request import seal, state_needed, to_chat, unseal
from chomp_mcp.errors import InvalidRequest
from tests.dialects.responses.door import ASK, PATCH, call, messages, output


def test_text_is_one_message_and_instructions_stand_before_it():
    chat = to_chat({"model": "m", "instructions": "Be brief.", "input": "hi"})
    assert chat.body == {"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hi"}]}
    assert chat.notes == []


def test_parts_of_text_become_text_and_pictures_stay_parts():
    see = {"type": "input_text", "text": "see"}
    image = {"type": "input_image", "image_url": "data:image/png;base64,AA==", "detail": "low"}
    said = messages({"role": "user", "content": [see, see]}, {"role": "user", "content": [see, image]})
    assert said[0] == {"role": "user", "content": "see\nsee"}
    assert said[1]["content"] == [
        {"type": "text", "text": "see"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA==", "detail": "low"}},
    ]


def test_what_was_thought_said_and_called_is_one_turn_and_its_results_follow():
    thought = {"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "hm"}]}
    said = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "I ask."}]}
    found = messages(thought, said, call("a"), call("b"), output("b", "2"), output("a", "1"), tools=[ASK])
    assert [message["role"] for message in found] == ["assistant", "tool", "tool"]
    assert found[0]["reasoning_content"] == "hm"
    assert found[0]["content"] == "I ask."
    assert [one["id"] for one in found[0]["tool_calls"]] == ["a", "b"]
    assert [(message["tool_call_id"], message["content"]) for message in found[1:]] == [("a", "1"), ("b", "2")]


def test_a_result_comes_right_behind_its_call_wherever_it_stood():
    found = messages(call("a"), {"role": "user", "content": "wait"}, output("a"))
    assert [message["role"] for message in found] == ["assistant", "tool", "user"]
    assert found[0]["content"] is None


def test_a_picture_of_a_tool_is_shown_by_the_user():
    picture = {"type": "input_image", "image_url": "data:image/png;base64,AA=="}
    found = messages(call("a"), output("a", [{"type": "input_text", "text": "a map"}, picture]))
    assert found[1] == {"role": "tool", "tool_call_id": "a", "content": "a map"}
    assert found[2]["role"] == "user"
    assert [part["type"] for part in found[2]["content"]] == ["text", "image_url"]


def test_a_result_without_a_call_is_told_as_text_and_noted():
    chat = to_chat({"input": [output("ghost", "42"), {"role": "user", "content": "go on"}]})
    assert chat.body["messages"][0] == {"role": "user", "content": "Result of the tool call ghost: 42"}
    assert chat.notes == ["input[0] is the result of no call in input: sent as text"]


def test_a_call_without_a_result_gets_one_that_says_so():
    chat = to_chat({"input": [call("a"), {"role": "user", "content": "stop"}]})
    assert chat.body["messages"][1] == {"role": "tool", "tool_call_id": "a", "content": "(no result)"}
    assert chat.notes == ["the call a has no result in input: told as such"]


def test_two_calls_of_one_id_stay_two_pairs():
    found = messages(call("a"), output("a", "1"), call("a"), output("a", "2"))
    pairs = [(found[0]["tool_calls"][0]["id"], found[1]), (found[2]["tool_calls"][0]["id"], found[3])]
    assert [(ident, said["tool_call_id"], said["content"]) for ident, said in pairs] == [
        ("a", "a", "1"),
        ("a_2", "a_2", "2"),
    ]


@pytest.mark.parametrize("order", [1, -1], ids=["calls first", "results first"])
def test_ten_thousand_calls_of_one_id_are_paired_in_a_moment(order):
    many, began = 10_000, process_time()
    kinds = [[call("a")] * many, [output("a", str(number)) for number in range(many)]]
    found = messages(*[item for kind in kinds[::order] for item in kind])
    if order == -1:  # each came before its call
        assert [message["role"] for message in found[:many]] == ["user"] * many
        found = found[many:]
    ids = [one["id"] for one in found[0]["tool_calls"]]
    assert len(set(ids)) == many
    assert [message["tool_call_id"] for message in found[1:]] == ids
    assert process_time() - began < 3  # it takes a tenth of a second; minutes, where each costs what all before it cost


def test_fields_find_their_place_and_unknown_ones_travel():
    chat = to_chat(
        {
            "input": "hi",
            "max_output_tokens": 5,
            "reasoning": {"effort": "low", "summary": "auto"},
            "text": {"format": {"type": "json_schema", "name": "n", "schema": {}, "strict": True}, "verbosity": "low"},
            "tools": [ASK],
            "tool_choice": {"type": "function", "name": "ask"},
            "parallel_tool_calls": False,
            "prompt_cache_key": "k",
            "include": ["reasoning.encrypted_content"],
            "client_metadata": {"turn": "1"},
            "odd": {"deep": [1]},
        }
    )
    body = {name: value for name, value in chat.body.items() if name not in {"messages", "tools"}}
    assert body == {
        "max_completion_tokens": 5,
        "reasoning_effort": "low",
        "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {}, "strict": True}},
        "verbosity": "low",
        "tool_choice": {"type": "function", "function": {"name": "ask"}},
        "parallel_tool_calls": False,
        "prompt_cache_key": "k",
        "odd": {"deep": [1]},
    }
    assert chat.notes == []
    assert chat.keeps_reasoning
    assert chat.summarizes


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "input"),
        ({"input": []}, "input"),
        ({"input": 5}, "input"),
        ({"input": ["hi"]}, "input[0]"),
        ({"input": [{"content": "hi"}]}, "input[0].type"),
        ({"input": [{"role": "tool", "content": "hi"}]}, "input[0].role"),
        ({"input": [{"type": "function_call", "name": "f", "arguments": "{}"}]}, "input[0].call_id"),
        ({"input": [{"type": "function_call", "call_id": "c"}]}, "input[0].name"),
        ({"input": "hi", "tools": {}}, "tools"),
        ({"input": "hi", "tools": [{"name": "f"}]}, "tools[0]"),
        ({"input": "hi", "tools": [{"type": "function"}]}, "tools[0].name"),
        ({"input": "hi", "tools": [ASK, ASK]}, "tools"),
        ({"input": "hi", "text": "x"}, "text"),
        ({"input": "hi", "reasoning": "x"}, "reasoning"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_its_place(body, param):
    with pytest.raises(InvalidRequest) as refused:
        to_chat(body)
    assert refused.value.param == param
    assert refused.value.hint


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"input": "hi", "previous_response_id": "resp_1"}, "previous_response_id"),
        ({"input": "hi", "conversation": "conv_1"}, "conversation"),
        ({"prompt": {"id": "p"}}, "prompt"),
        ({"input": [{"type": "item_reference", "id": "x"}]}, "input[0]"),
    ],
)
def test_what_only_the_router_knows_that_stored_it_is_named(body, param):
    state = state_needed(body)
    assert state is not None
    assert state.param == param
    assert state.hint


@pytest.mark.parametrize("kind", ["web_search_call", "local_shell_call", "compaction", "mcp_call", "new_kind"])
def test_items_of_other_kinds_are_left_out_and_named(kind):
    chat = to_chat({"input": [{"type": kind, "id": "x"}, {"role": "user", "content": "hi"}]})
    assert chat.body["messages"] == [{"role": "user", "content": "hi"}]
    assert chat.notes == [f"input[0], a {kind}, is left out: a chat model cannot read it"]


def test_reasoning_that_we_sealed_comes_back_and_foreign_one_is_named():
    thought = {"reasoning_content": "hm", "reasoning_details": [{"type": "reasoning.encrypted", "data": "x"}]}
    ours = {"type": "reasoning", "summary": [], "encrypted_content": seal(thought, "groq/m")}
    foreign = {"type": "reasoning", "summary": [], "encrypted_content": "gAAAA"}
    chat = to_chat({"input": [ours, call("a"), output("a"), foreign, {"role": "user", "content": "hi"}]})
    assert chat.body["messages"][0] == {
        "role": "assistant",
        "content": None,
        **thought,
        "tool_calls": chat.body["messages"][0]["tool_calls"],
    }
    assert chat.notes == ["input[3], reasoning that only its maker can read, is left out"]


@pytest.mark.parametrize("text", ["", "chomp1.", "chomp1.!!!", "chomp1.AAAA", None, 5])
def test_a_seal_that_is_none_is_no_reasoning(text):
    assert unseal(text) is None


IDS = st.integers(0, 3).map("c{}".format)
TEXT = st.text("aé😀 ", max_size=9).map("w{}w".format)
PICTURE = {"type": "input_image", "image_url": "data:image/png;base64,QUJD"}
SAID = st.one_of(
    TEXT,
    st.lists(st.one_of(TEXT.map(lambda text: {"type": "input_text", "text": text}), st.just(PICTURE)), min_size=1),
)
ITEM = st.one_of(
    st.builds(lambda role, said: {"role": role, "content": said}, st.sampled_from(["user", "developer"]), SAID),
    TEXT.map(lambda t: {"role": "assistant", "content": [{"type": "output_text", "text": t}]}),
    TEXT.map(lambda t: {"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": t}]}),
    st.builds(lambda i, t: call(i, arguments=f'{{"a": {i!r}}}'.replace("'", '"'), id=t), IDS, TEXT),
    st.builds(lambda i: call(i, namespace="mcp__x"), IDS),
    st.builds(lambda i, t: {"type": "custom_tool_call", "call_id": i, "name": "apply_patch", "input": t}, IDS, TEXT),
    st.builds(output, IDS, SAID),
    st.builds(lambda i, t: {"type": "custom_tool_call_output", "call_id": i, "output": t}, IDS, TEXT),
)


@given(st.lists(ITEM, min_size=1, max_size=8))
def test_nothing_of_any_history_is_lost_and_every_call_has_one_result_right_behind_it(items):
    chat = to_chat({"input": [{"role": "user", "content": "hi"}, *items], "tools": [ASK, PATCH]})
    there, told = json.dumps(chat.body["messages"], ensure_ascii=False), " ".join(chat.notes)
    for item in items:
        for name in ("content", "output", "input"):
            for part in [item[name]] if isinstance(item.get(name), str) else item.get(name) or ():
                text = part if isinstance(part, str) else part.get("text", "QUJD")
                assert text in there or (item.get("type") == "reasoning" and "led to nothing" in told)
    found, taken = chat.body["messages"], set()
    for at, message in enumerate(found):
        ids = [one["id"] for one in message.get("tool_calls", ())]
        answered = [each.get("tool_call_id") for each in found[at + 1 : at + 1 + len(ids)]]
        assert answered == ids
        assert not taken & set(ids)
        taken.update(ids)
    asked = sum(item.get("type") in ("function_call", "custom_tool_call") for item in items)
    assert len(taken) == asked == sum(message["role"] == "tool" for message in found)
