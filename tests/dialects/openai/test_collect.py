"""A stream is added up into one completion, whatever is in it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chomp_mcp import wire
from chomp_mcp.dialects.openai.collect import Folder
from chomp_mcp.messages import Delta


def folded(*deltas: Any) -> dict[str, Any]:
    folder = Folder()
    folder.add(Delta(chunk={"id": "c", "choices": [{"index": 0, "delta": delta}]}) for delta in deltas)
    return folder.body()["choices"][0]["message"]


def call(index: Any = 0, **fields: Any) -> dict[str, Any]:
    return {"tool_calls": [{"index": index, **fields}]}


def test_a_tool_call_is_put_together_from_its_pieces() -> None:
    pieces = [call(id="c1", function={"name": "f", "arguments": ""}), call(function={"arguments": '{"a":'})]
    other = call(1, id="c2", function={"name": "g", "arguments": "{}"})
    message = folded(*pieces, other, call(function={"arguments": "1}"}))
    assert message["tool_calls"] == [
        {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}},
        {"id": "c2", "type": "function", "function": {"name": "g", "arguments": "{}"}},
    ]


def test_arguments_that_come_as_an_object_become_its_json() -> None:
    message = folded(call(id="c", function={"name": "f", "arguments": {"a": [1]}}))
    assert message["tool_calls"][0]["function"] == {"name": "f", "arguments": '{"a":[1]}'}


@pytest.mark.parametrize(
    "odd",
    [
        {"tool_calls": ["x"]},
        {"tool_calls": "x"},
        {"tool_calls": {"a": 1}},
        {"tool_calls": 5},
        call("one", function={"name": "f"}),
        call(None, function="f"),
        call(id=5, function={"name": 5, "arguments": 5}),
        call(function={"arguments": ["a"]}),
        {"content": 5},
        {"content": [{"type": "text"}]},
    ],
)
def test_odd_pieces_spoil_nothing(odd: Any) -> None:
    message = folded({"content": "a"}, call(id="c", function={"name": "f", "arguments": "{"}), odd, {"content": "b"})
    assert message["content"] == "ab"
    assert message["tool_calls"][0]["id"] == "c"
    assert wire.dumps(message)


def test_arguments_nested_without_end_become_none() -> None:
    deep: Any = {}
    for _ in range(200_000):
        deep = {"a": deep}
    assert folded(call(function={"name": "f", "arguments": deep}))["tool_calls"][0]["function"]["arguments"] == "{}"


scalars = st.none() | st.booleans() | st.integers(-2, 2) | st.floats(allow_nan=False) | st.sampled_from(["", "a"])
few = scalars | st.lists(scalars, max_size=2) | st.dictionaries(st.sampled_from(["name", "arguments", "a"]), scalars)
calls = st.fixed_dictionaries({}, optional={"index": few, "id": few, "function": few})
deltas = st.fixed_dictionaries(
    {}, optional={"content": few, "reasoning": few, "tool_calls": few | st.lists(calls | few)}
)


@given(st.lists(deltas, max_size=4))
def test_any_deltas_add_up_to_a_message(said: list[Any]) -> None:
    for each in folded(*said).get("tool_calls", ()):
        function = each["function"]
        assert all(isinstance(text, str) for text in (each["id"], function.get("name", ""), function["arguments"]))
