"""Errors as Google's APIs tell them: `{"error": {"code", "message", "status"}}`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.types import Scope

from chomp_mcp.errors import ChompError

_STATUSES: Mapping[int, str] = {
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
"""google.rpc.Code, by HTTP status; other 4xx are INVALID_ARGUMENT, other 5xx INTERNAL."""
_FIRST_OF_OURS = 500


def are_asked_for(scope: Scope) -> bool:
    """A request of Google's API, by its path."""
    return bool(scope["path"].startswith(("/v1beta/", "/v1beta1/")))


def envelope(error: ChompError) -> dict[str, Any]:
    """The error object of that API."""
    default = "INVALID_ARGUMENT" if error.status < _FIRST_OF_OURS else "INTERNAL"
    status = _STATUSES.get(error.status, default)
    return {"error": {"code": error.status, "message": str(error), "status": status}}
