"""Messages in, Messages out: a request of the Messages door on an Anthropic route, and its answer, as they came.

Only the model and the key are ours. An event is looked into where something is to be learned of it: usage, why the
answer ended, an error.
"""

from __future__ import annotations

from chomp_mcp import wire
from chomp_mcp.dialects.anthropic import answer
from chomp_mcp.dialects.anthropic.signatures import without_ours
from chomp_mcp.dialects.anthropic.stream import MessageDecoder
from chomp_mcp.dialects.openai.request import session_of
from chomp_mcp.dialects.stream.relayed import Relayed, as_it_came
from chomp_mcp.messages import ChatRequest, Route, WireRequest


def encode(route: Route, request: ChatRequest) -> WireRequest:
    """POST /messages with the client's own body."""
    return _call(route, request, "/messages", stream=request.stream)


def encode_count(route: Route, request: ChatRequest) -> WireRequest:
    """POST /messages/count_tokens with the client's own body."""
    return _call(route, request, "/messages/count_tokens", stream=False)


decode = as_it_came(answer.decode)


def decoder() -> NativeDecoder:
    """A decoder for one stream."""
    return NativeDecoder(answer.decode)


class NativeDecoder(Relayed, MessageDecoder):
    """One delta for each event, with the event in it."""

    PIECES = frozenset({b"content_block_delta"})
    AROUND = len(b'{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":""}}')
    COUNTS_FIRST = True


def _call(route: Route, request: ChatRequest, path: str, *, stream: bool) -> WireRequest:
    """The client's version and betas; the router's own headers win, so a row may replace any of them."""
    native = request.native
    given = dict(native.body) if native else {}
    given.pop("stream", None)
    messages = without_ours(given.get("messages"))
    body = {**given, "model": route.model, "messages": messages, **({"stream": True} if stream else {})}
    headers = {
        "anthropic-version": answer.VERSION,
        **(native.headers if native else {}),
        "content-type": "application/json",
        **({"x-api-key": route.key} if route.key else {}),
        **session_of(route, request),
        **{name.lower(): value for name, value in route.router.headers.items()},
    }
    return WireRequest("POST", f"{route.router.url}{path}", headers, wire.dumps(body))
