"""What may be given to the methods of `Chomp` and `ChompClient`, checked before anything is done with it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from chomp_mcp import wire
from chomp_mcp.errors import InvalidRequest

_KINDS: Mapping[str, tuple[Any, str]] = {
    "prompt": (str, "text"),
    "system": (str, "text"),
    "model": (str | None, 'a model ref, such as "groq/auto"'),
    "router": (str | None, 'the id of a router, such as "groq"'),
    "messages": (Iterable, '[{"role": "user", "content": "…"}]'),
    "job_id": (str, "the id that dispatch gave"),
    "wait_seconds": (int | float, "0 to 45 seconds"),
    "query": (str, "words of a model's name"),
    "needs": (Iterable, 'names of needs, such as ["tools"]'),
    "limit": (int | None, "a whole number of at least 1"),
    "cursor": (str | None, "next_cursor as you got it"),
    "keys": (Mapping, '{"groq": "gsk_…"}'),
    "base_url": (str, 'the gateway\'s address, such as "http://127.0.0.1:8080"'),
    "token": (str | None, "GATEWAY_AUTH_TOKEN, or what register_keys gave"),
}
"""By argument: of which type it is, and what to give."""


def check(**given: object) -> None:
    """Raises: InvalidRequest, which names the argument that is of another type, and says what to give."""
    for name, value in given.items():
        kind, what = _KINDS[name]
        if not isinstance(value, kind):
            why = f"{name} is of the type {type(value).__name__}."
            raise InvalidRequest(why, hint=f"Give {what}.", param=name)


def as_json(body: object) -> bytes:
    """Raises: InvalidRequest, where something in it is no JSON: bytes, sets, objects of a library's own."""
    try:
        return wire.dumps(body)
    except (TypeError, ValueError) as error:
        hint = "Send plain JSON: of a pydantic model, what its model_dump() gives."
        raise InvalidRequest(f"The request cannot be sent as JSON: {error}.", hint=hint) from None
