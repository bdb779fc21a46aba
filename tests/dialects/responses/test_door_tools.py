"""Tools of a Responses request as functions, and their calls on the way back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chomp_mcp.dialects.responses.door_request import to_chat
from tests.dialects.responses.door import ASK, PATCH, call, output


def test_a_freeform_tool_is_a_function_with_one_text_and_its_grammar_in_words():
    chat = to_chat({"input": "hi", "tools": [PATCH]})
    function = chat.body["tools"][0]["function"]
    assert function["name"] == "apply_patch"
    assert function["parameters"]["required"] == ["input"]
    assert "start: begin" in function["description"]


@given(st.text())
def test_nothing_of_a_freeform_text_is_lost_on_its_way_there_and_back(text):
    item = {"type": "custom_tool_call", "call_id": "c", "name": "apply_patch", "input": text}
    chat = to_chat({"input": [item], "tools": [PATCH]})
    sent = chat.body["messages"][0]["tool_calls"][0]["function"]
    assert chat.tools.call(sent["name"], sent["arguments"]).text == text


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ('{"input": "x"}', "x"),
        ('{"patch": "x"}', "x"),
        ('"x"', "x"),
        ("*** Begin Patch", "*** Begin Patch"),
        ('{"input": "x", "note": "y"}', "x"),
        ('{"a": "x", "b": "y"}', '{"a": "x", "b": "y"}'),
    ],
)
def test_models_write_a_freeform_input_in_many_ways(arguments, text):
    chat = to_chat({"input": "hi", "tools": [PATCH]})
    assert chat.tools.call("apply_patch", arguments).text == text


def test_a_namespaces_tool_finds_its_way_back():
    tools = [{"type": "namespace", "name": "mcp__chomp", "description": "Models.", "tools": [ASK]}, ASK]
    chat = to_chat({"input": [call("a", namespace="mcp__chomp"), output("a")], "tools": tools})
    names = [tool["function"]["name"] for tool in chat.body["tools"]]
    assert names == ["mcp__chomp__ask", "ask"]
    assert chat.body["messages"][0]["tool_calls"][0]["function"]["name"] == "mcp__chomp__ask"
    back = chat.tools.call("mcp__chomp__ask", "{}").tool
    assert (back.namespace, back.name) == ("mcp__chomp", "ask")


@pytest.mark.parametrize("name", ["x" * 80, "über.tool", "a b"])
def test_names_that_no_router_takes_are_shortened_and_stay_apart(name):
    tools = [{"type": "namespace", "name": "n", "tools": [{**ASK, "name": name}, {**ASK, "name": name + "!"}]}]
    chat = to_chat({"input": "hi", "tools": tools})
    first, second = (tool["function"]["name"] for tool in chat.body["tools"])
    assert first != second
    assert len(first) <= 64
    assert first.replace("_", "").replace("-", "").isascii()
    assert chat.tools.call(first, "{}").tool.name == name


def test_built_in_tools_are_left_out_and_named():
    chat = to_chat({"input": "hi", "tools": [{"type": "web_search", "external_web_access": True}, ASK]})
    assert len(chat.body["tools"]) == 1
    assert chat.notes == ["the built-in tool web_search is left out: a chat model does not have it"]


def test_allowed_tools_leave_the_others_out():
    other = {**ASK, "name": "other"}
    choice = {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "other"}]}
    chat = to_chat({"input": "hi", "tools": [ASK, other], "tool_choice": choice})
    assert [tool["function"]["name"] for tool in chat.body["tools"]] == ["other"]
    assert chat.body["tool_choice"] == "required"
