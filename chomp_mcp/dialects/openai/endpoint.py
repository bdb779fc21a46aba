"""The endpoints of OpenAI's API beside chat: a call with the caller's own fields, an answer as the router wrote it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from chomp_mcp import wire
from chomp_mcp.dialects.openai.answer import answer_in
from chomp_mcp.dialects.openai.request import headers_of
from chomp_mcp.dialects.openai.usage import read_cost, read_usage
from chomp_mcp.messages import ChatRequest, Completion, ErrorObject, Failed, FailureKind, Route, WireRequest


def encode_at(path: str, route: Route, request: ChatRequest) -> WireRequest:
    """POST all fields to `path` below the router's OpenAI-compatible root; usage of a stream is asked for."""
    root = route.router.url.removesuffix("/v1") + "/v1" if route.router.dialect == "ollama" else route.router.url
    body: dict[str, Any] = {name: value for name, value in request.body.items() if value is not None}
    body["model"] = route.model
    if request.stream:
        body["stream"] = True
        body["stream_options"] = {"include_usage": True}
    return WireRequest("POST", root + path, headers_of(route, request), wire.dumps(body))


def with_rows(
    body: bytes, name: str, is_whole: Callable[[Any], object], lacking: str
) -> Completion | Failed | ErrorObject:
    """An answer with a list of that name, whose rows are all whole; else it is said what it lacks."""
    answer = answer_in(body)
    if not isinstance(answer, dict):
        return answer
    rows = answer.get(name)
    if not isinstance(rows, list) or not rows or not all(map(is_whole, rows)):
        return Failed(FailureKind.TRANSIENT, f"The router answered with JSON that holds no {lacking}.")
    return Completion(answer, usage=read_usage(answer.get("usage")), cost_usd=read_cost(answer))
