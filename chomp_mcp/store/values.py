"""What a stored value looks like as bytes: a JSON object."""

from __future__ import annotations

from chomp_mcp import wire
from chomp_mcp.errors import StoreError
from chomp_mcp.store.kv import Value

__all__ = ["decode", "encode"]


def encode(value: Value) -> bytes:
    """Compact JSON."""
    return wire.dumps(value)


def decode(data: bytes, place: object, key: str) -> Value:
    """The object that `encode` made.

    Raises:
        StoreError: something else stands there; `place` is the file or server that the message names.
    """
    try:
        value = wire.loads(data)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise StoreError(
            f"The entry {key!r} in {place} is not a JSON object.", hint="Another program wrote it: remove that entry."
        )
    return value
