"""JSON as it travels: the one place that chooses the library."""

from __future__ import annotations

from typing import Any

import orjson

__all__ = ["dumps", "loads"]


def dumps(value: Any) -> bytes:
    """Compact UTF-8 JSON."""
    return orjson.dumps(value)


def loads(data: bytes | str) -> Any:
    """Parse JSON; `ValueError` for anything that is not."""
    return orjson.loads(data)
