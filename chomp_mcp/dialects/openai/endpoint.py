"""The endpoints of OpenAI's API beside chat: a call with the caller's own fields."""

from __future__ import annotations

from typing import Any

from chomp_mcp import wire
from chomp_mcp.dialects.openai.request import headers_of
from chomp_mcp.messages import ChatRequest, Route, WireRequest

__all__ = ["encode_at"]


def encode_at(path: str, route: Route, request: ChatRequest) -> WireRequest:
    """POST all fields to `path` below the router's OpenAI-compatible root; usage of a stream is asked for."""
    root = route.router.url.removesuffix("/v1") + "/v1" if route.router.dialect == "ollama" else route.router.url
    body: dict[str, Any] = {name: value for name, value in request.body.items() if value is not None}
    body["model"] = route.model
    if request.stream:
        body["stream"] = True
        body["stream_options"] = {"include_usage": True}
    return WireRequest("POST", root + path, headers_of(route, request), wire.dumps(body))
