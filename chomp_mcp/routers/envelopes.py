"""The error object in any envelope that a router puts it in, with its names, its words, and no key.

Pure; what the error means is the table in failures.py.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from chomp_mcp import wire
from chomp_mcp.dialects.values import as_list, as_mapping
from chomp_mcp.policy.secrets import each_text, masked

MAX_MESSAGE = 1000
MAX_FIELD = 2000
MAX_DEPTH = 32
"""How deep an error body is read; whoever nests deeper means harm."""
FIRST_REDIRECT_STATUS, FIRST_ERROR_STATUS, LAST_STATUS = 300, 400, 599


@dataclass(frozen=True, slots=True)
class ErrorFacts:
    """What an error says of itself."""

    status: int | None
    names: frozenset[str]
    """Its types, codes and reasons, in lower case; html, text or nothing where the body is no error object."""
    message: str
    error: Mapping[str, Any]
    beside: Mapping[str, Any] = field(default_factory=dict)
    """The body around the error object, where some write how long to wait."""

    @property
    def details(self) -> Mapping[str, Any]:
        return as_mapping(self.error.get("metadata"))


def parsed(body: bytes) -> Any:
    """The body as JSON; text that is none becomes a bare error with the name of what it is."""
    try:
        return wire.loads(body)
    except ValueError:
        text = " ".join(body[:MAX_FIELD].decode("utf-8", "replace").split())
    if not text:
        return {"error": {"message": "", "reason": "nothing"}}
    if text[:1] == "<":
        return {"error": {"message": "", "reason": "html"}}
    return {"error": {"message": text, "reason": "text"}}


def read(body: Any, status: int | None) -> ErrorFacts:
    """What the error says; `body` is JSON. A status below 400 says nothing, and gives way to one in the body."""
    body = _shallow(body)
    error = _error_object(body)
    details = as_mapping(error.get("metadata"))
    said = [error.get(name) for name in ("type", "code", "status", "reason")]
    said += [details.get(name) for name in ("error_type", "limit_source", "provider_code", "reason")]
    # google.rpc.ErrorInfo: `{"details": [{"reason": "API_KEY_INVALID", ...}]}`.
    said += [as_mapping(row).get("reason") for row in as_list(error.get("details"))]
    names = {name.lower() for name in said if isinstance(name, str)}
    if "reasons" in details or "flagged_input" in details:  # OpenRouter's 403 of a moderated prompt
        names.add("moderation")
    elif details.get("provider_name"):  # a router behind OpenRouter said it, to OpenRouter's own key or the user's BYOK
        names.add("upstream_provider")
    if status is None or status < FIRST_ERROR_STATUS:
        # One that stands in the error object: OpenRouter's `code`, a number or a text, Cerebras' `status_code`.
        texts = [str(error.get(name, "")) for name in ("code", "status", "status_code")]
        codes = (int(text) for text in texts if len(text) == _STATUS_DIGITS and text.isdecimal())
        status = next((code for code in codes if FIRST_ERROR_STATUS <= code <= LAST_STATUS), status)
    status = None if status is not None and status < FIRST_REDIRECT_STATUS else status
    # The router's words, those of the router behind it included.
    message, raw = error.get("message"), details.get("raw")
    words = message if isinstance(message, str) else "" if message is None else json.dumps(message, default=str)
    if isinstance(raw, str) and raw and raw not in words:
        words = f"{words}: {raw}" if words else raw
    if not (words := " ".join(words.split())):
        what = _NO_OBJECT.get(str(error.get("reason")), "without a reason")
        words = f"It answered {status} {what}." if status else f"It sent an error {what}."
        if status is not None and status < FIRST_ERROR_STATUS:
            words = f"It answered {status}, a redirect: correct its base URL."
    clean = each_text(error, lambda text: masked(text[:MAX_FIELD]))
    shown = {name: value for name, value in clean.items() if name != "reason" or value not in _NO_OBJECT}
    beside = {} if body is error else as_mapping(body)
    return ErrorFacts(status, frozenset(names), masked(words)[:MAX_MESSAGE], shown, beside)


_NO_OBJECT: Mapping[str, str] = {"html": "with an HTML page", "nothing": "with nothing", "text": "with a text"}


def _error_object(body: Any) -> Mapping[str, Any]:
    """The error object in any envelope seen."""
    # OpenAI, OpenRouter, Zen, Anthropic: under `error`. Cerebras: flat, or under `error`. Ollama: `error` is a text;
    # Fireworks: that and a `message`. FastAPI (vLLM, LM Studio): `detail`, a text or a list. Gemini: in an array.
    if isinstance(body, list):
        return _error_object(body[0]) if body else {}
    if not isinstance(body, Mapping):
        return {"message": str(body)}
    error = body.get("error", body.get("detail"))
    if isinstance(error, Mapping):
        return error
    if isinstance(error, list):
        return {"message": "; ".join(str(as_mapping(item).get("msg", item)) for item in error)}
    if error in (None, ""):
        return body
    words = body.get("message")
    return {"message": f"{error}: {words}" if words else str(error), "code": body.get("code")}


_STATUS_DIGITS = 3


def _shallow(value: Any, depth: int = MAX_DEPTH) -> Any:
    """The same JSON value, cut below `depth`: what walks through it must come to an end."""
    if not isinstance(value, (Mapping, list)):
        return value
    if depth == 0:
        return "…"
    if isinstance(value, Mapping):
        return {name: _shallow(item, depth - 1) for name, item in value.items()}
    return [_shallow(item, depth - 1) for item in value]
