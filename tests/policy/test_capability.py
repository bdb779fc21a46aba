"""What a request needs, and who is left out: against the words of the contract, as a reference."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chomp_mcp.errors import InvalidRequest, PromptTooLong
from chomp_mcp.messages import NEEDS, ChatRequest, Failed, FailureKind, Model, Plan, Route, Router
from chomp_mcp.policy import capability

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


ROUTERS = {name: Router(name, name, "http://x", key_variable="K", models=("a", "b")) for name in ("one", "two")}


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
