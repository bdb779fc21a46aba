"""Tool calls of a stream, whatever a router made of them."""

from __future__ import annotations

from chomp_mcp import wire
from chomp_mcp.dialects.openai.collect import Folder
from chomp_mcp.dialects.openai.tool_calls import MOST_OPEN, CallStream
from chomp_mcp.messages import Delta
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


class Index(int):
    """Counts what it is compared with."""

    compared = 0

    def __eq__(self, other: object) -> bool:
        Index.compared += 1
        return int(self) == other

    __hash__ = int.__hash__


def test_a_router_that_numbers_calls_without_end_has_each_compared_with_the_last_ones_alone():
    """Compared with all before it, a body of 60 MB of them kept everybody waiting for hours."""
    calls, folder, count = CallStream(), Folder(), 2_000
    Index.compared = 0
    for at in range(count):
        piece = {"index": Index(at), "id": f"call-{at}", "type": "function", "function": {"name": "f", "arguments": ""}}
        calls.mend(0, {"tool_calls": [piece]})
        thought = {"index": Index(at), "type": "thinking", "thinking": "x"}
        folder.add([Delta(chunk={"choices": [{"index": 0, "delta": {"thinking_blocks": [thought]}}]})])
    assert len(folder.body()["choices"][0]["message"]["thinking_blocks"]) == count
    assert len(calls.unargued(0)) == count
    assert Index.compared < 4 * MOST_OPEN * count
