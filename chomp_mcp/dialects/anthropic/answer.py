"""Anthropic's Messages, both ways: system, tools, images, thinking, streaming, and its own model list."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chomp_mcp import wire
from chomp_mcp.dialects.anthropic.request import translate
from chomp_mcp.dialects.anthropic.stream import FINISH, THINKING, MessageDecoder, usage_of
from chomp_mcp.dialects.openai.answer import answered, error_in, nonsense
from chomp_mcp.dialects.openai.functions import with_tools
from chomp_mcp.dialects.openai.models import as_model, entries
from chomp_mcp.dialects.openai.request import list_url, session_of
from chomp_mcp.dialects.openai.shapes import completion, head
from chomp_mcp.dialects.openai.text import loads
from chomp_mcp.dialects.openai.tool_calls import new_id
from chomp_mcp.messages import (
    ChatRequest,
    Completion,
    ErrorObject,
    Failed,
    Model,
    Route,
    Router,
    WireRequest,
)

__all__ = ["decode", "decode_list", "decoder", "encode", "encode_list"]

_VERSION = "2023-06-01"
"""The later of the two versions that Anthropic lists (platform.claude.com, Versions)."""


def encode(route: Route, request: ChatRequest) -> WireRequest:
    """POST /messages, with `x-api-key`."""
    headers = {"content-type": "application/json", **session_of(route, request), **_headers(route.router, route.key)}
    request, notes = with_tools(request)
    translated = translate(route, request)
    dropped = [f"{route.router.id} takes no {', '.join(translated.lost)}: dropped"] if translated.lost else []
    url, body = f"{route.router.url}/messages", wire.dumps(translated.body)
    return WireRequest("POST", url, headers, body, (*dropped, *notes, *translated.notes))


def decode(body: bytes) -> Completion | Failed | ErrorObject:
    """A whole message as a `chat.completion`; thinking becomes `reasoning_content`."""
    try:
        message = loads(body)
    except ValueError:
        return nonsense(body)
    if not isinstance(message, dict):
        return nonsense(body)
    if error := error_in(message):
        return error
    blocks, usage = message.get("content"), usage_of(message.get("usage"), None)
    if not isinstance(blocks, list):
        return nonsense(b"[]")
    finish = FINISH.get(str(message.get("stop_reason")), "stop")
    top = head(str(message.get("id", "")), str(message.get("model", "")))
    whole = completion(top, _answer(blocks), finish, usage)
    # Claude may end its turn without a word, mostly after a tool's result.
    return whole if message.get("stop_reason") else answered(whole)


def decoder() -> MessageDecoder:
    """A decoder for one stream."""
    return MessageDecoder(decode)


def encode_list(router: Router, key: str) -> WireRequest | None:
    """GET /models, a page of 1,000, which is all of them."""
    return WireRequest("GET", f"{list_url(router)}?limit=1000", _headers(router, key))


def decode_list(router: Router, body: bytes) -> tuple[Model, ...]:
    """The models that are not retired; the list names no prices. `ValueError` when the body is no list."""
    listed = (
        {
            "id": row.get("id"),
            "name": row.get("display_name"),
            "lifecycle": row.get("lifecycle"),
            "context_length": row.get("max_input_tokens"),
            "max_output_tokens": row.get("max_tokens"),
        }
        for row in entries(body)
    )
    return tuple(model for row in listed if (model := as_model(router, row)))


def _headers(router: Router, key: str) -> dict[str, str]:
    own = {name.lower(): value for name, value in router.headers.items()}
    return {"anthropic-version": _VERSION, **({"x-api-key": key} if key else {}), **own}


def _answer(blocks: list[Any]) -> dict[str, Any]:
    """The message of choice 0: text and thinking joined, tool uses as calls."""
    blocks = [block for block in blocks if isinstance(block, Mapping)]
    text = "".join(str(block.get("text", "")) for block in blocks if block.get("type") == "text")
    thinking = "".join(str(block.get("thinking", "")) for block in blocks if block.get("type") == "thinking")
    calls = [
        {
            "id": block.get("id") or new_id(),
            "type": "function",
            "function": {"name": block.get("name"), "arguments": wire.dumps(block.get("input") or {}).decode()},
        }
        for block in blocks
        if block.get("type") == "tool_use"
    ]
    message: dict[str, Any] = {"content": text if text or not calls else None}
    if thinking:
        message["reasoning_content"] = thinking
    if signed := [dict(block) for block in blocks if block.get("type") in THINKING]:
        message["thinking_blocks"] = signed
    return {**message, "tool_calls": calls} if calls else message
