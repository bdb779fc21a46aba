"""The error object in any envelope that a router puts it in, with its names, its words, and no key.

Pure; what the error means is the table in failures.py.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from chomp_mcp import wire
from chomp_mcp.policy.secrets import each_text, masked

__all__ = ["Told", "parsed", "read"]

MAX_MESSAGE = 1000
MAX_FIELD = 2000
MAX_DEPTH = 32
"""How deep an error body is read; whoever nests deeper means harm."""
FIRST_REDIRECT_STATUS, FIRST_ERROR_STATUS, LAST_STATUS = 300, 400, 599


@dataclass(frozen=True, slots=True)
class Told:
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
        return _mapping(self.error.get("metadata"))


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


def read(body: Any, status: int | None) -> Told:
    """What the error says; `body` is JSON. A status below 400 says nothing, and gives way to one in the body."""
    body = _shallow(body)
    error = _error_object(body)
    names = frozenset(_names(error)) | ({"zen"} if _is_zens(body, error) else frozenset())
    if status is None or status < FIRST_ERROR_STATUS:
        status = _code(error) or status
    status = None if status is not None and status < FIRST_REDIRECT_STATUS else status
    shown = {name: value for name, value in _clean(error).items() if name != "reason" or value not in _NO_OBJECT}
    beside = {} if body is error else _mapping(body)
    return Told(status, names, masked(_message(error, status))[:MAX_MESSAGE], shown, beside)


_NO_OBJECT: Mapping[str, str] = {"html": "with an HTML page", "nothing": "with nothing", "text": "with a text"}


def _error_object(body: Any) -> Mapping[str, Any]:
    """The error object in any envelope seen.

    OpenAI, OpenRouter, Zen, Anthropic: under `error`. Cerebras: flat, or under `error`. Ollama: `error` is a text;
    Fireworks: that and a `message`. FastAPI (vLLM, LM Studio): `detail`, a text or a list. Gemini: in an array.
    """
    if isinstance(body, list):
        return _error_object(body[0]) if body else {}
    if not isinstance(body, Mapping):
        return {"message": str(body)}
    error = body.get("error", body.get("detail"))
    if isinstance(error, Mapping):
        return error
    if isinstance(error, list):
        return {"message": "; ".join(str(_mapping(item).get("msg", item)) for item in error)}
    if error in (None, ""):
        return body
    told = body.get("message")
    return {"message": f"{error}: {told}" if told else str(error), "code": body.get("code")}


def _is_zens(body: Any, error: Mapping[str, Any]) -> bool:
    """`{"type": "error", "error": {"type": "SomeError"}}`; Anthropic's types are some_error."""
    kind = str(error.get("type", ""))
    return _mapping(body).get("type") == "error" and kind.endswith("Error") and kind[:1].isupper()


def _names(error: Mapping[str, Any]) -> Iterator[str]:
    details = _mapping(error.get("metadata"))
    told = [error.get(name) for name in ("type", "code", "status", "reason")]
    told += [details.get(name) for name in ("error_type", "limit_source", "provider_code", "reason")]
    yield from (name.lower() for name in told if isinstance(name, str))
    yield from _google_reasons(error)
    if "reasons" in details or "flagged_input" in details:  # OpenRouter's 403 of a moderated prompt
        yield "moderation"
    elif details.get("provider_name"):  # a router behind OpenRouter said it, to OpenRouter's own key or the user's BYOK
        yield "upstream_provider"


def _google_reasons(error: Mapping[str, Any]) -> Iterator[str]:
    """google.rpc.ErrorInfo: `{"details": [{"reason": "API_KEY_INVALID", ...}]}`."""
    details = error.get("details")
    for row in details if isinstance(details, list) else ():
        reason = _mapping(row).get("reason")
        if isinstance(reason, str):
            yield reason.lower()


_STATUS_DIGITS = 3


def _code(error: Mapping[str, Any]) -> int | None:
    """A status that stands in the error object: OpenRouter's `code`, as a number or a text, Cerebras' `status_code`."""
    for name in ("code", "status", "status_code"):
        text = str(error.get(name, ""))
        if len(text) == _STATUS_DIGITS and text.isdecimal() and FIRST_ERROR_STATUS <= int(text) <= LAST_STATUS:
            return int(text)
    return None


def _message(error: Mapping[str, Any], status: int | None) -> str:
    """The router's words, those of the router behind it included."""
    said = error.get("message")
    words = said if isinstance(said, str) else "" if said is None else json.dumps(said, default=str)
    raw = _mapping(error.get("metadata")).get("raw")
    if isinstance(raw, str) and raw and raw not in words:
        words = f"{words}: {raw}" if words else raw
    words = " ".join(words.split())
    return words or _wordless(str(error.get("reason")), status)


def _wordless(came: str, status: int | None) -> str:
    if status is not None and status < FIRST_ERROR_STATUS:
        return f"It answered {status}, a redirect: correct its base URL."
    what = _NO_OBJECT.get(came, "without a reason")
    return f"It answered {status} {what}." if status else f"It sent an error {what}."


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _clean(value: Any) -> Any:
    """A JSON value with keys masked and texts cut."""
    return each_text(value, lambda text: masked(text[:MAX_FIELD]))


def _shallow(value: Any, depth: int = MAX_DEPTH) -> Any:
    """The same JSON value, cut below `depth`: what walks through it must come to an end."""
    if not isinstance(value, (Mapping, list)):
        return value
    if depth == 0:
        return "…"
    if isinstance(value, Mapping):
        return {name: _shallow(item, depth - 1) for name, item in value.items()}
    return [_shallow(item, depth - 1) for item in value]
