"""JSON as it travels: the one place that chooses the library.

orjson, which costs a tenth on long bodies. It refuses lone surrogates (half an emoji, as some routers cut them) and
integers above 64 bits, which are JSON all the same: those go the standard library's way.
"""

from __future__ import annotations

import json
from typing import Any

import orjson

__all__ = ["dumps", "loads"]


def dumps(value: Any) -> bytes:
    """Compact UTF-8 JSON; `TypeError` for what JSON cannot hold."""
    try:
        return orjson.dumps(value)
    except TypeError:
        return json.dumps(value, separators=(",", ":"), allow_nan=False).encode()


def loads(data: bytes | str) -> Any:
    """Parse JSON; `ValueError` for anything that is not."""
    try:
        return orjson.loads(data)
    except ValueError:
        escape = b"\\ud" if isinstance(data, bytes) else "\\ud"
        if escape not in data.lower():  # type: ignore[operator]
            raise
        return json.loads(data)
