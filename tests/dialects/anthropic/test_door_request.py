"""A Messages body as a chat request: what travels, and what is noted."""

from __future__ import annotations

from typing import Any

import pytest

from chomp_mcp.dialects.anthropic.door_request import chat_of
from tests.dialects.anthropic.door import HELLO, chat


def notes(**body: Any) -> tuple[str, ...]:
    return chat_of({"messages": HELLO, **body})[1]


@pytest.mark.parametrize(
    "block",
    [
        {"type": "image", "source": {"type": "file", "file_id": "file_1"}},
        {"type": "container_upload", "file_id": "file_1"},
        {"type": "web_search_tool_result", "tool_use_id": "x", "content": []},
        {"type": "a_block_of_tomorrow"},
    ],
)
def test_what_no_chat_router_has_is_noted(block):
    told = notes(messages=[{"role": "user", "content": [{"type": "text", "text": "see"}, block]}])
    assert any(block["type"] in note for note in told)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"thinking": {"type": "enabled", "budget_tokens": 1024}}, {"reasoning_effort": "low"}),
        ({"thinking": {"type": "enabled", "budget_tokens": 10_000}}, {"reasoning_effort": "medium"}),
        ({"thinking": {"type": "enabled", "budget_tokens": 31_999}}, {"reasoning_effort": "high"}),
        ({"thinking": {"type": "adaptive"}}, {}),
        ({"thinking": {"type": "adaptive"}, "output_config": {"effort": "max"}}, {"reasoning_effort": "xhigh"}),
        ({"stop_sequences": ["a", "b"]}, {"stop": ["a", "b"]}),
        ({"metadata": {"user_id": "u1"}}, {"user": "u1"}),
        ({"temperature": 1, "top_k": 5}, {"temperature": 1, "top_k": 5}),
        ({"service_tier": "auto"}, {}),
        ({"context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]}}, {}),
    ],
)
def test_fields_that_have_a_word_for_it_travel_without_a_note(body, expected):
    sent, told = chat_of({"messages": HELLO, **body})
    assert {name: value for name, value in sent.items() if name != "messages"} == expected
    assert told == ()


@pytest.mark.parametrize(
    "body",
    [
        {"stop_sequences": list("abcde")},
        {"service_tier": "standard_only"},
        {"context_management": {"edits": [{"type": "clear_tool_uses_20250919"}]}},
        {"container": "c"},
        {"mcp_servers": [{"url": "u"}]},
        {"output_config": {"task_budget": 5}},
        {"tools": [{"type": "web_search_20260209", "name": "web_search"}]},
        {"tools": [{"name": "f", "input_schema": {}, "allowed_callers": ["code_execution_20260120"]}]},
    ],
)
def test_what_has_no_word_for_it_is_noted(body):
    assert len(notes(**body)) == 1


def test_a_schema_becomes_a_response_format():
    schema = {"type": "object", "properties": {}}
    for body in (
        {"output_config": {"format": {"type": "json_schema", "schema": schema}}},
        {"output_format": {"type": "json_schema", "schema": schema}},
    ):
        assert chat(**body)["response_format"]["json_schema"]["schema"] == schema
