"""Tool calls of a stream, whatever a router made of them."""

from __future__ import annotations

from chomp_mcp import wire
from tests.dialects.openai.router import chunk, event, read


def test_tool_calls_without_an_index_get_one():
    def call(**fields):
        return event(chunk({"tool_calls": [fields]}))

    deltas, _ = read(
        call(id="a", function={"name": "f", "arguments": ""}),
        call(function={"arguments": "{}"}),
        call(id="a", function={"arguments": " "}),
        call(id="b", function={"name": "g", "arguments": ""}),
        event(chunk({"tool_calls": [{"id": "c", "function": {"name": "h"}}, {"id": "d", "function": {"name": "i"}}]})),
    )
    indexes = [c["index"] for delta in deltas for c in wire.loads(delta.data)["choices"][0]["delta"]["tool_calls"]]
    assert indexes == [0, 0, 0, 1, 2, 3]


def test_tool_calls_with_an_index_stay_as_they_came():
    frame = b'{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{"}}]}}]} '
    deltas, _ = read(event(frame))
    assert deltas[0].data == frame
