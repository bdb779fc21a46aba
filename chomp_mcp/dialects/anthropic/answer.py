"""Anthropic's Messages, both ways: system, tools, images, thinking, streaming, and its own model list."""

from __future__ import annotations

from typing import Any

from chomp_mcp import wire
from chomp_mcp.dialects.anthropic.request import translate
from chomp_mcp.dialects.anthropic.stream import FINISH, THINKING, MessageDecoder, usage_of
from chomp_mcp.dialects.openai.answer import answer_in, answered, nonsense
from chomp_mcp.dialects.openai.functions import with_tools
from chomp_mcp.dialects.openai.models import as_model, entries
from chomp_mcp.dialects.openai.request import list_url, session_of
from chomp_mcp.dialects.openai.shapes import call, completion, head
from chomp_mcp.dialects.openai.tool_calls import new_id
from chomp_mcp.dialects.values import as_objects
from chomp_mcp.messages import ChatRequest, Completion, ErrorObject, Failed, Model, Route, Router, WireRequest

VERSION = "2023-06-01"
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
    message = answer_in(body)
    if not isinstance(message, dict):
        return message
    if not isinstance(message.get("content"), list):
        return nonsense(b"[]")
    blocks = as_objects(message["content"])
    text, thinking = (
        "".join(str(block.get(kind, "")) for block in blocks if block.get("type") == kind)
        for kind in ("text", "thinking")
    )
    calls = [
        call(block.get("id") or new_id(), block.get("name"), block.get("input"))
        for block in blocks
        if block.get("type") == "tool_use"
    ]
    said: dict[str, Any] = {"content": text if text or not calls else None}
    if thinking:
        said["reasoning_content"] = thinking
    if signed := [dict(block) for block in blocks if block.get("type") in THINKING]:
        said["thinking_blocks"] = signed
    if calls:
        said["tool_calls"] = calls
    finish = FINISH.get(str(message.get("stop_reason")), "stop")
    top = head(str(message.get("id", "")), str(message.get("model", "")))
    whole = completion(top, said, finish, usage_of(message.get("usage"), None))
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
    listed = ({ours: row.get(theirs) for ours, theirs in _LISTED.items()} for row in entries(body))
    return tuple(model for row in listed if (model := as_model(router, row)))


_LISTED = {
    "id": "id", "name": "display_name", "lifecycle": "lifecycle", "context_length": "max_input_tokens",
    "max_output_tokens": "max_tokens",
}  # fmt: skip
"""Fields of OpenAI's lists -> Anthropic's names for them."""


def _headers(router: Router, key: str) -> dict[str, str]:
    own = {name.lower(): value for name, value in router.headers.items()}
    return {"anthropic-version": VERSION, **({"x-api-key": key} if key else {}), **own}
