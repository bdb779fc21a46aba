"""What a request needs, and who is left out: against the words of the contract, as a reference."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chomp_mcp.dialects.openai.abilities import abilities
from chomp_mcp.errors import InvalidRequest, NotCapable, PromptTooLong
from chomp_mcp.messages import AUTO, NEEDS, ChatRequest, Failed, FailureKind, Model, Plan, Route, Router
from chomp_mcp.policy import capability, routing
from chomp_mcp.policy.roster import Roster
from chomp_mcp.policy.routing import Book

PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}}
PDF = {"type": "file", "file": {"file_data": "data:application/pdf;base64,AA"}}
TOOL = {"type": "function", "function": {"name": "f"}}


def request(*parts: Any, **body: Any) -> ChatRequest:
    return ChatRequest({"messages": [{"role": "user", "content": list(parts) or "hi"}], **body})


@pytest.mark.parametrize(
    ("asked", "needs"),
    [
        (request(), set()),
        (request({"type": "text", "text": "hi"}), set()),
        (request(PICTURE), {"vision"}),
        (request(PDF, PICTURE, tools=[TOOL]), {"vision", "documents", "tools"}),
        (request(tools=[]), set()),
        (request(functions=[{"name": "f"}]), {"tools"}),
        (request(response_format={"type": "json_schema", "json_schema": {}}), {"json_schema"}),
        (request(response_format={"type": "json_object"}), set()),
        (request(parallel_tool_calls=True, reasoning_effort="high"), set()),
        (ChatRequest({"input": "x", "tools": [TOOL]}, endpoint="embeddings"), set()),
        (ChatRequest({}), set()),
    ],
)
def test_needs_are_read_from_the_body(asked: ChatRequest, needs: set[str]) -> None:
    assert capability.demand_of(asked).needs == needs


@pytest.mark.parametrize("odd", [None, 1, "x", [1, None, {"type": []}, {"type": {}}, {"type": "text", "text": 7}]])
def test_what_is_odd_in_a_message_needs_nothing(odd: Any) -> None:
    assert capability.demand_of(ChatRequest({"messages": [{"role": "user", "content": odd}]})).needs == frozenset()


@pytest.mark.parametrize(
    ("row", "can", "cannot"),
    [
        ({"id": "m"}, set(), set()),
        (
            {"supported_parameters": ["tools", "reasoning"], "architecture": {"input_modalities": ["text", "image"]}},
            {"tools", "reasoning", "vision"},
            {"json_schema"},
        ),
        (
            {"supported_parameters": ["max_tokens"], "architecture": {"input_modalities": ["text"]}},
            set(),
            {"tools", "parallel_tools", "reasoning", "vision", "json_schema"},
        ),
        ({"capabilities": {"function_calling": True, "vision": False}}, {"tools"}, {"vision"}),
        ({"capabilities": {"image_input": {"supported": True}}}, {"vision"}, set()),
        ({"capabilities": ["completion", "tools"]}, {"tools"}, set()),
        ({"supported_features": ["tools"]}, {"tools"}, {"json_schema"}),
        ({"input_modalities": ["text", "file"]}, {"documents"}, {"vision"}),
        ({"supported_parameters": None, "capabilities": "x", "architecture": 3, "input_modalities": {}}, set(), set()),
        ({"supportsTools": False}, set(), {"tools", "parallel_tools"}),
    ],
)
def test_lists_say_what_a_model_can(row: dict[str, Any], can: set[str], cannot: set[str]) -> None:
    assert abilities(row) == (can, cannot)


REFUSED = [
    ("registry.ollama.ai/library/gemma:latest does not support tools", "tools"),
    ('No endpoints found that support tool use. Try disabling "f".', "tools"),
    ("`tool calling` is not supported with this model", "tools"),
    ('"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set', "tools"),
    ("No endpoints found that support image input", "vision"),
    ("Failed to deserialize: unknown variant `image_url`, expected `text`", "vision"),
    ("messages[0].content must be a string", "vision"),
    ("llama is not a multimodal model", "vision"),
    ("image input is not supported", "vision"),
    ("This model does not support PDF files", "documents"),
    ("This model does not support response format `json_schema`.", "json_schema"),
    ("This response_format type is unavailable now", "json_schema"),
]


@pytest.mark.parametrize(("words", "need"), REFUSED)
def test_refusals_are_read_by_their_words(words: str, need: str) -> None:
    failed = capability.refused(Failed(FailureKind.CALLER_FAULT, words, 400), {need})
    assert (failed.kind, failed.why) == (FailureKind.NOT_CAPABLE, need)
    others = set(NEEDS) - {need}
    assert capability.refused(Failed(FailureKind.CALLER_FAULT, words, 400), others).kind == FailureKind.CALLER_FAULT
    assert capability.refused(Failed(FailureKind.RATE_LIMITED, words, 429), {need}).kind == FailureKind.RATE_LIMITED


@pytest.mark.parametrize(
    "words",
    ["Invalid image: cannot be decoded", "image is too large, not supported", "Invalid schema for tool f", "bad", ""],
)
def test_a_picture_that_is_broken_says_nothing_of_the_model(words: str) -> None:
    failed = Failed(FailureKind.CALLER_FAULT, words, 400)
    assert capability.refused(failed, frozenset(NEEDS)) is failed


def test_unknown_needs_are_named() -> None:
    assert capability.checked_needs(["vision, tools", "json-schema", ""]) == {"vision", "tools", "json_schema"}
    with pytest.raises(InvalidRequest, match=r"eyes.*Known: tools"):
        capability.checked_needs(["tools,eyes"])


IDS = ("a", "b", "c", "d")
flags = st.dictionaries(st.sampled_from(NEEDS), st.booleans())
models = st.lists(st.tuples(st.sampled_from(IDS), flags), max_size=4, unique_by=lambda each: each[0])
ROUTERS = {name: Router(name, name, "http://x", key_variable="K", models=("a", "b")) for name in ("one", "two")}
refusals = st.dictionaries(
    st.tuples(st.sampled_from(list(ROUTERS)), st.sampled_from(IDS)).map("/".join), st.sets(st.sampled_from(NEEDS))
)


def roster(router: str, rows: list[tuple[str, dict[str, bool]]]) -> Roster:
    def those(told: dict[str, bool], which: bool) -> frozenset[str]:
        return frozenset(need for need, can in told.items() if can is which)

    return Roster(Model(router, name, can=those(told, True), cannot=those(told, False)) for name, told in rows)


@given(models, models, refusals, st.frozensets(st.sampled_from(NEEDS)), st.sampled_from(["auto", "a", "one/c"]))
def test_nobody_who_cannot_is_planned_and_the_unknown_come_after_the_known(
    first: list[Any], second: list[Any], unable: dict[str, set[str]], needs: frozenset[str], ref: str
) -> None:
    its_list = {f"{router}/{name}": its for router, rows in (("one", first), ("two", second)) for name, its in rows}
    book = Book(ROUTERS, dict.fromkeys(ROUTERS, (("k", "k"),)), unable=unable)
    lists = {"one": roster("one", first), "two": roster("two", second)}
    target = routing.resolve(ref, AUTO, book, lists, needs)

    def can(name: str, need: str) -> bool | None:
        return False if need in unable.get(name, ()) else its_list.get(name, {}).get(need)

    def rank(name: str) -> int:
        answers = {can(name, need) for need in needs}
        return 2 if False in answers else 1 if None in answers else 0

    try:
        plain = [route.ref for route in routing.plan(replace(target, needs=frozenset()), book, lists).routes]
    except routing.UnknownModel:
        return
    try:
        plan = routing.plan(target, book, lists)
    except NotCapable as error:
        assert all(rank(each) == 2 for each in plain)
        if ref == AUTO:
            assert all(
                rank(each) == 2 for each in its_list if each.partition("/")[0] in {p.partition("/")[0] for p in plain}
            )
        told = str(error)
    else:
        told = ""
    if told:
        assert plain[0] in told
        return
    ranks = [rank(route.ref) for route in plan.routes]
    assert 2 not in ranks
    assert ranks == sorted(ranks)
    planned = [route.ref for route in plan.routes]
    assert {each for each in plain if rank(each) < 2} <= set(planned)
    for level in (0, 1):
        kept = [each for each in planned if rank(each) == level and each in plain]
        assert kept == [each for each in plain if rank(each) == level]
    dropped = [each for each in plain if rank(each) == 2]
    assert all(any(each in note for note in plan.notes) for each in dropped[:4])


@given(st.lists(st.none() | st.integers(1, 60), min_size=1, max_size=5), st.integers(0, 60), st.integers(1, 9))
def test_who_is_surely_too_small_is_left_out_and_nobody_else(
    contexts: list[int | None], words: int, length: int
) -> None:
    """A text of n words has at least n tokens, and at most one for each character."""
    router = ROUTERS["one"]
    routes = tuple(Route(router, str(i), listed=Model("one", str(i), context_length=c)) for i, c in enumerate(contexts))
    asked = ChatRequest({"messages": [{"role": "user", "content": " ".join(["x" * length] * words)}]})
    demand = capability.demand_of(asked)
    if all(c is not None and c < words for c in contexts):
        with pytest.raises(PromptTooLong, match="too long"):
            capability.roomy(Plan("m", routes), asked, demand)
        return
    left = capability.roomy(Plan("m", routes), asked, demand).routes
    assert [route.model for route in left] == [str(i) for i, c in enumerate(contexts) if c is None or c >= words]
