"""What the JSON doors share: OpenAI's body -> ChatRequest, the receipt as headers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from chomp_mcp.doors.http.asgi import header_value
from chomp_mcp.doors.words import HTTP, spoken
from chomp_mcp.errors import InvalidRequest, UpstreamFailed
from chomp_mcp.gateway.model_pages import ModelPage
from chomp_mcp.messages import AUTO, ChatRequest, Receipt, Usage
from chomp_mcp.telemetry.report import OK

_ENVELOPE: Mapping[str, type] = {"model": str, "router": str, "stream": bool, "stream_options": dict}
"""The fields that we interpret, and so take out; everything else is between the caller and the router."""

MOST_NOTES = 4096
"""Bytes of `x-chomp-notes`; the receipt has all of them."""

_WORDS = {str: "text", bool: "true or false", dict: "an object"}


def chat_request(
    body: Mapping[str, Any], *, stream: bool | None = None, session: str = "", patience: float | None = None
) -> ChatRequest:
    """A chat-completions body as a request; `stream` overrules what the body says, `patience` is in seconds.

    Raises:
        InvalidRequest: a field of ours has the wrong type, or there is no message; `param` names the field.
    """
    request = envelope_of(body, stream=stream, session=session, patience=patience)
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages or [each for each in messages if not isinstance(each, dict)]:
        hint = 'Send "messages": [{"role": "user", "content": "…"}].'
        raise InvalidRequest("messages is not a list with at least one message object.", hint=hint, param="messages")
    return request


def envelope_of(
    body: Mapping[str, Any], *, stream: bool | None = None, session: str = "", patience: float | None = None
) -> ChatRequest:
    """Any of OpenAI's bodies as a request; what it asks for is between the caller and the router.

    Raises:
        InvalidRequest: a field of ours has the wrong type; `param` names it.
    """
    rest = {}
    for name, value in body.items():
        if name not in _ENVELOPE:
            rest[name] = value
        elif value is not None and not isinstance(value, _ENVELOPE[name]):
            raise InvalidRequest(f"{name} is not {_WORDS[_ENVELOPE[name]]}.", hint=f"Correct {name}.", param=name)
    return ChatRequest(
        body=rest,
        model=body.get("model") or "",
        router=body.get("router") or AUTO,
        stream=bool(body.get("stream")) if stream is None else stream,
        stream_options=body.get("stream_options") or {},
        session=session,
        timeout_seconds=patience,
    )


def patience_of(headers: Mapping[bytes, bytes]) -> float | None:
    """How long the client waits for an answer, as OpenAI's SDKs tell it (`x-stainless-read-timeout`, seconds)."""
    timeout = headers.get(b"x-stainless-read-timeout")
    if timeout is None:
        return None
    try:
        seconds = float(timeout)
    except ValueError:
        return None
    return seconds if 0 < seconds < math.inf else None


_SESSION_HEADERS = (b"x-claude-code-session-id", b"x-session-id", b"session-id")
_LONGEST_NAME = 1024


def conversation_of(headers: Mapping[bytes, bytes], body: Mapping[str, Any]) -> str:
    """The name that a program gives its conversation: by a header, `prompt_cache_key` or `metadata.user_id`."""
    for name in _SESSION_HEADERS:
        if name in headers and (found := headers[name]):
            return found.decode("latin-1")[:_LONGEST_NAME]
    metadata = body.get("metadata")
    user = metadata.get("user_id") if isinstance(metadata, dict) else None
    for told in (body.get("prompt_cache_key"), user):
        if told and isinstance(told, str):
            return told[:_LONGEST_NAME]
    return ""


def list_errors(page: ModelPage) -> dict[str, dict[str, str]]:
    """The field `errors` beside a list, for the routers that gave none; nothing where all did."""
    errors = {router: spoken(why, HTTP) for router, why in page.errors.items()}
    return {"errors": errors} if errors else {}


def list_failed(router: str, page: ModelPage) -> UpstreamFailed:
    """The error for one router's list that could not be had."""
    reason = list_errors(page).get("errors", {}).get(router) or "no reason given"
    hint = f"Try again later, or see what GET /v1/providers tells of {router}."
    return UpstreamFailed(f"{router} did not list its models: {reason}", hint=hint)


def headers_of(receipt: Receipt) -> list[tuple[bytes, bytes]]:
    """Who answers, with which attempt (in the receipt only once the answer has ended), and the notes so far."""
    router, _, model = receipt.served.partition("/")
    failed = [attempt for attempt in receipt.attempts if attempt.outcome != OK]
    headers = [
        (b"x-chomp-router", router.encode()),
        (b"x-chomp-model", header_value(model)),
        (b"x-chomp-attempts", b"%d" % (len(failed) + 1)),
    ]
    if receipt.notes:
        headers.append((b"x-chomp-notes", header_value("; ".join(receipt.notes))[:MOST_NOTES]))
    return headers


def openai_usage(usage: Usage) -> dict[str, int]:
    """Tokens in OpenAI's words."""
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
    }
