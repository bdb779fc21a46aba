"""What a stored value looks like as bytes: a JSON object."""

from __future__ import annotations

from functools import lru_cache

from chomp_mcp import wire
from chomp_mcp.errors import StoreError
from chomp_mcp.store.kv.protocol import Value

_MOST_REMEMBERED = 256
_MOST_BYTES = 512


def encode(value: Value) -> bytes:
    """Compact JSON."""
    return wire.dumps(value)


def decode(data: bytes, place: object, key: str) -> Value:
    """The object that `encode` made; `StoreError`, which names its `place` (a file or server), for anything else."""
    # Nobody changes a value that was read, so that the short ones, which are read again and again, are shared.
    value = _short_object(data) if len(data) <= _MOST_BYTES else _parsed(data)
    if value is None:
        why = f"The entry {key!r} in {place} is not a JSON object."
        raise StoreError(why, hint="Another program wrote it: remove that entry.")
    return value


def _parsed(data: bytes) -> Value | None:
    try:
        value = wire.loads(data, is_ours=True)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


_short_object = lru_cache(maxsize=_MOST_REMEMBERED)(_parsed)
