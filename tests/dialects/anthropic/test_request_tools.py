"""Tools, and which may be used, as those of Messages."""

from __future__ import annotations

import pytest

from tests.dialects.anthropic.router import HELLO, sent

FUNCTION = {"name": "weather", "description": "d", "parameters": {"type": "object", "properties": {}}}


def test_functions_become_tools_and_its_own_tools_stay():
    own = {"type": "web_search_20250305", "name": "web_search"}
    tools = sent({**HELLO, "tools": [{"type": "function", "function": {**FUNCTION, "strict": True}}, own]})["tools"]
    assert tools[0] == {
        "name": "weather",
        "description": "d",
        "strict": True,
        "input_schema": {"type": "object", "properties": {}, "additionalProperties": False},
    }
    assert tools[1] == own


@pytest.mark.parametrize(
    ("choice", "becomes"),
    [
        ("auto", None),
        ("required", {"type": "any"}),
        ("none", {"type": "none"}),
        ({"type": "function", "function": {"name": "weather"}}, {"type": "tool", "name": "weather"}),
        ({"type": "any"}, {"type": "any"}),
    ],
)
def test_the_tool_choice_is_translated(choice, becomes):
    body = {**HELLO, "tools": [{"type": "function", "function": FUNCTION}], "tool_choice": choice}
    assert sent(body).get("tool_choice") == becomes


def test_one_call_at_a_time_is_part_of_the_tool_choice():
    body = {**HELLO, "tools": [{"type": "function", "function": FUNCTION}], "parallel_tool_calls": False}
    assert sent(body)["tool_choice"] == {"type": "auto", "disable_parallel_tool_use": True}
