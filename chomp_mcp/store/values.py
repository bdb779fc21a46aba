"""What a stored value looks like as bytes: a JSON object."""

from __future__ import annotations

import json
from typing import Any

from chomp_mcp import wire
from chomp_mcp.errors import StoreError
from chomp_mcp.store.kv import Value

__all__ = ["decode", "encode"]


def encode(value: Value) -> bytes:
    """Compact JSON; text with half a character in it (routers cut emoji in two) is kept, as an escape."""
    try:
        return wire.dumps(value)
    except TypeError:
        return json.dumps(value, separators=(",", ":")).encode()


def decode(data: bytes, place: object, key: str) -> Value:
    """The object that `encode` made.

    Raises:
        StoreError: something else stands there; `place` is the file or server that the message names.
    """
    value = _parse(data)
    if not isinstance(value, dict):
        raise StoreError(
            f"The entry {key!r} in {place} is not a JSON object.", hint="Another program wrote it: remove that entry."
        )
    return value


def _parse(data: bytes) -> Any:
    try:
        return wire.loads(data)
    except ValueError:
        try:
            return json.loads(data)
        except ValueError:
            return None
