"""OpenAI's embeddings, as the routers that have them speak it."""

from __future__ import annotations

from chomp_mcp.dialects.openai.endpoint import encode_at, with_rows
from chomp_mcp.dialects.openai.request import decoder
from chomp_mcp.messages import ChatRequest, Completion, ErrorObject, Failed, Route, WireRequest

__all__ = ["decode", "decoder", "encode"]


def encode(route: Route, request: ChatRequest) -> WireRequest:
    """POST /embeddings with the caller's fields."""
    return encode_at("/embeddings", route, request)


def decode(body: bytes) -> Completion | Failed | ErrorObject:
    """A list of vectors, as the router wrote it. One without a vector is no answer."""
    return with_rows(body, "data", lambda row: isinstance(row, dict) and row.get("embedding"), "embeddings")
