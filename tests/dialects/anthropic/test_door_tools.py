"""Tools of a Messages body as functions."""

from __future__ import annotations

import json
from pathlib import Path

from chomp_mcp.dialects.anthropic.door_request import chat_of
from tests.dialects.anthropic.door import chat


def test_a_tool_that_a_reference_names_is_there_from_then_on():
    body = json.loads((Path(__file__).parent / "samples" / "tool_references.json").read_text())
    names = [tool["function"]["name"] for tool in chat_of(body)[0]["tools"]]
    assert "mcp__chomp__ask" in names
    assert "mcp__other__unseen" not in names


def test_deferred_tools_go_at_once_where_anthropics_search_was_to_find_them():
    tools = [{"name": "f", "input_schema": {}, "defer_loading": True}]
    assert "tools" not in chat(tools=tools)
    search = {"type": "tool_search_tool_regex_20251119", "name": "tool_search_tool_regex"}
    assert [tool["function"]["name"] for tool in chat(tools=[*tools, search])["tools"]] == ["f"]
