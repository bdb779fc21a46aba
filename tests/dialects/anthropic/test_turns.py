"""A conversation as turns of Messages."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.dialects.anthropic.router import HELLO, TURN, sent, told


def test_system_and_developer_messages_become_the_system_prompt():
    body = {"messages": [{"role": "system", "content": "a"}, *HELLO["messages"], {"role": "developer", "content": "b"}]}
    assert sent(body)["system"] == [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    assert sent(body)["messages"] == TURN


def test_a_round_of_tools_becomes_uses_and_results_in_alternating_turns():
    calls = [
        {"id": "1", "type": "function", "function": {"name": "weather", "arguments": '{"at": "Rome"}'}},
        {"id": "2", "type": "function", "function": {"name": "weather", "arguments": ""}},
    ]
    messages = [
        *HELLO["messages"],
        {"role": "assistant", "content": None, "tool_calls": calls},
        {"role": "tool", "tool_call_id": "1", "content": "sun"},
        {"role": "tool", "tool_call_id": "2", "content": [{"type": "text", "text": "rain"}]},
        {"role": "user", "content": "and now?"},
    ]
    _, uses, results = sent({"messages": messages})["messages"]
    assert uses == {
        "role": "assistant",
        "content": [
            {"type": "tool_use", "id": "1", "name": "weather", "input": {"at": "Rome"}},
            {"type": "tool_use", "id": "2", "name": "weather", "input": {}},
        ],
    }
    assert results == {
        "role": "user",
        "content": [
            {"type": "tool_result", "tool_use_id": "1", "content": [{"type": "text", "text": "sun"}]},
            {"type": "tool_result", "tool_use_id": "2", "content": [{"type": "text", "text": "rain"}]},
            {"type": "text", "text": "and now?"},
        ],
    }


def test_arguments_that_are_no_object_travel_inside_one():
    call = {"id": "1", "function": {"name": "f", "arguments": "not json"}}
    turn = sent({"messages": [*HELLO["messages"], {"role": "assistant", "tool_calls": [call]}]})["messages"][1]
    assert turn["content"][0]["input"] == {"arguments": "not json"}


@given(
    st.recursive(
        st.none() | st.integers(0, 9) | st.text(max_size=3),
        lambda x: (
            st.lists(x, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    ["role", "content", "type", "text", "tool_calls", "function", "image_url", "url", "messages"]
                ),
                x,
                max_size=3,
            )
        ),
    )
)
def test_messages_of_any_shape_are_the_routers_to_judge(odd):
    body = {
        "messages": [odd, {"role": odd, "content": odd}],
        "tools": [odd],
        "tool_choice": odd,
        "response_format": odd,
    }
    sent(body)
    told(body)
