"""Errors as Anthropic's API tells them: `{"type": "error", "error": {"type", "message"}, "request_id"}`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from starlette.types import Scope

from chomp_mcp.errors import ChompError, PromptTooLong

PATH: Final = "/v1/messages"

_TYPES: Mapping[int, str] = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}
"""By status, as platform.claude.com lists them; other 4xx are `invalid_request_error`, other 5xx `api_error`."""

_FIRST_OF_OURS = 500
_NUMBER = r"(?<![\w.-])(\d{1,3}(?:[,_]\d{3})+|\d{3,})(?![\w-])"
_MAXIMUM = re.compile(rf"(?:context (?:length|window|size)|max\w*|limit|>)\D{{0,40}}?{_NUMBER}", re.IGNORECASE)


def are_asked_for(scope: Scope) -> bool:
    """A request of Anthropic's API: by its path, or by its version header where both APIs have the path."""
    path = scope["path"]
    if path.startswith(PATH):  # those that are not served, too: /v1/messages/batches
        return True
    return path.startswith("/v1/models") and any(name == b"anthropic-version" for name, _ in scope["headers"])


def envelope(error: ChompError, request_id: str) -> dict[str, Any]:
    """The error object of that API."""
    default = "invalid_request_error" if status(error) < _FIRST_OF_OURS else "api_error"
    message = str(error)
    if isinstance(error, PromptTooLong):
        # The words by which Claude Code knows that it must compact, with the numbers that the router told, then its own
        # words. Without numbers the words alone: what the router counts as a token nobody else knows.
        told = str(error.body.get("message") or error.message)
        numbers = [_whole(found) for found in re.findall(_NUMBER, told)]
        named = _MAXIMUM.search(told)
        maximum = _whole(named[1]) if named else min(numbers, default=0)
        tokens = max(numbers, default=0)
        counts = f": {tokens} tokens > {maximum} maximum" if tokens > maximum else ""
        message = f"prompt is too long{counts}. {error}"
    inner = {"type": _TYPES.get(status(error), default), "message": message}
    return {"type": "error", "error": inner, "request_id": request_id}


def status(error: ChompError) -> int:
    """The error's own; a context overflow is a 400 there, whatever it was for the router (Groq says 413)."""
    return 400 if isinstance(error, PromptTooLong) else error.status


def _whole(number: str) -> int:
    return int(number.replace(",", "").replace("_", ""))
