"""OpenAI's embeddings, as the routers that have them speak it."""

from __future__ import annotations

from chomp_mcp.dialects.openai.answer import answer_in
from chomp_mcp.dialects.openai.endpoint import encode_at
from chomp_mcp.dialects.openai.request import decoder
from chomp_mcp.dialects.openai.usage import read_cost, read_usage
from chomp_mcp.messages import ChatRequest, Completion, ErrorObject, Failed, FailureKind, Route, WireRequest

__all__ = ["decode", "decoder", "encode"]


def encode(route: Route, request: ChatRequest) -> WireRequest:
    """POST /embeddings with the caller's fields."""
    return encode_at("/embeddings", route, request)


def decode(body: bytes) -> Completion | Failed | ErrorObject:
    """A list of vectors, as the router wrote it. One without a vector is no answer."""
    answer = answer_in(body)
    if not isinstance(answer, dict):
        return answer
    rows = answer.get("data")
    if not isinstance(rows, list) or not rows or not all(isinstance(r, dict) and r.get("embedding") for r in rows):
        return Failed(FailureKind.TRANSIENT, "The router answered with JSON that holds no embeddings.")
    return Completion(answer, usage=read_usage(answer.get("usage")), cost_usd=read_cost(answer))
