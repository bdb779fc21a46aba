"""Deltas as the events of a streamed Response, judged by the accumulator of the official package."""

from __future__ import annotations

import pytest

from tests.doors.http.test_responses import streamed
from tests.support.scripted import chunk

pytestmark = pytest.mark.anyio
ASK = {"type": "function", "name": "ask", "parameters": {"type": "object", "properties": {"q": {"type": "string"}}}}
MCP = {"type": "namespace", "name": "mcp__chomp", "description": "Models.", "tools": [ASK]}


def tool_call(index: int, name: str, arguments: str, call_id: str = "c1") -> dict:
    return {"index": index, "id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


async def test_a_streamed_answer_is_put_together_by_the_official_accumulator(client, upstream):
    upstream.stream(["Hel", "lo"])
    events, final = await streamed(client, input="hi")
    assert [event.type for event in events] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert final.output_text == "Hello"
    assert final.usage.output_tokens == 3


async def test_thinking_text_and_calls_stream_as_items_of_their_own(client, upstream):
    upstream.stream(
        [
            chunk(reasoning_content="hm "),
            chunk(reasoning_content="yes"),
            "I ask.",
            chunk(tool_calls=[tool_call(0, "ask", '{"q":')]),
            chunk(tool_calls=[{"index": 0, "function": {"arguments": '"x"}'}}]),
            chunk(tool_calls=[tool_call(1, "mcp__chomp__ask", "{}", "c2")]),
        ],
        finish="tool_calls",
    )
    asked = {"summary": "auto"}
    _, final = await streamed(
        client, input="hi", tools=[ASK, MCP], reasoning=asked, include=["reasoning.encrypted_content"]
    )
    thought, said, first, second = final.output
    assert thought.summary[0].text == "hm yes"
    assert thought.encrypted_content
    assert said.content[0].text == "I ask."
    assert (first.name, first.call_id, first.arguments) == ("ask", "c1", '{"q":"x"}')
    assert (second.name, second.namespace, second.call_id) == ("ask", "mcp__chomp", "c2")


@pytest.mark.parametrize("kinds", [("t", ["u"]), (["t"], "u")], ids=["a text, then a list", "a list, then a text"])
async def test_thoughts_that_change_their_form_in_mid_stream_break_nothing(client, upstream, kinds):
    entries = [
        each if isinstance(each, str) else [{"type": "reasoning.text", "text": word} for word in each] for each in kinds
    ]
    upstream.stream([*(chunk(reasoning_details=each) for each in entries), "Hello"])
    _, final = await streamed(client, input="hi", include=["reasoning.encrypted_content"])
    assert final.output_text == "Hello"
