"""Deltas as the events of Messages."""

from __future__ import annotations

import json

from anthropic.types import Message
from hypothesis import given
from hypothesis import strategies as st

from chomp_mcp import wire
from chomp_mcp.dialects.anthropic.door_answer import message_of
from chomp_mcp.dialects.openai.shapes import as_chunks
from tests.dialects.anthropic.door import HELLO, TEXT, USAGE, chat, completion, streamed

CALL = st.builds(
    lambda i, text: {
        "id": f"c{i}",
        "type": "function",
        "function": {"name": "f", "arguments": json.dumps({"a": text})},
    },
    st.integers(0, 99),
    TEXT,
)
ANSWER = st.fixed_dictionaries(
    {"content": st.one_of(st.none(), TEXT)},
    optional={
        "reasoning_content": TEXT,
        "tool_calls": st.lists(CALL, min_size=1, max_size=3, unique_by=lambda c: c["id"]),
    },
)
FINISH = st.sampled_from(["stop", "length", "tool_calls", "content_filter", None])


@given(ANSWER, FINISH)
def test_a_stream_adds_up_to_what_the_whole_answer_says(message, finish):
    whole = completion(message, finish)
    told = Message.model_validate(message_of(whole, USAGE, model="m"))
    assert streamed(as_chunks(whole.body)).model_dump() == told.model_dump()
    assert (told.usage.input_tokens, told.usage.cache_read_input_tokens, told.usage.output_tokens) == (6, 4, 5)


@given(ANSWER, FINISH)
def test_an_answer_comes_back_as_the_history_of_the_next_turn(message, finish):
    told = message_of(completion(message, finish), USAGE, model="m")
    if not told["content"]:
        return
    back = chat(messages=[*HELLO, {"role": "assistant", "content": told["content"]}])["messages"][1]
    assert (back["content"] or "") == (message["content"] or "")
    assert back.get("reasoning_content") == message.get("reasoning_content")
    assert back.get("tool_calls", []) == [
        {
            **call,
            "function": {
                **call["function"],
                "arguments": wire.dumps(json.loads(call["function"]["arguments"])).decode(),
            },
        }
        for call in message.get("tool_calls", [])
    ]
