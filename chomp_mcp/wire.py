"""JSON as it travels: the one place that chooses the library.

orjson, which costs a tenth on long bodies. It refuses lone surrogates (half an emoji, as some routers cut them) and
writes no integers above 64 bits, which are JSON all the same: those go the standard library's way. What it reads of
such an integer is a float; to look for them first would cost more than all the rest.
"""

from __future__ import annotations

import json
import math
from typing import Any

import orjson

__all__ = ["dumps", "is_utf8", "loads"]


def dumps(value: Any) -> bytes:
    """Compact UTF-8 JSON.

    Raises:
        TypeError: JSON has no word for something in it.
        ValueError: it is nested too deeply (hundreds of levels), or holds what the standard library does not write.
    """
    try:
        return orjson.dumps(value)
    except TypeError:
        pass
    try:
        return json.dumps(value, separators=(",", ":"), allow_nan=False).encode()
    except (RecursionError, ValueError) as error:
        raise ValueError(f"This cannot be written as JSON: {_reason(error)}.") from None


def loads(data: bytes | str) -> Any:
    """Parse JSON; `ValueError` for anything that is not, or is nested too deeply (about a thousand levels)."""
    try:
        return orjson.loads(data)
    except ValueError:
        escape = b"\\ud" if isinstance(data, bytes) else "\\ud"
        if escape not in data.lower():  # type: ignore[operator]
            raise
    try:
        return json.loads(data, parse_float=_finite, parse_constant=_finite)
    except RecursionError as error:
        raise ValueError(f"This cannot be read as JSON: {_reason(error)}.") from None


def is_utf8(value: Any) -> bool:
    """Whether this is JSON that UTF-8 can carry, without lone surrogates in any text."""
    try:
        orjson.dumps(value)
    except TypeError:
        return False
    return True


def _finite(text: str) -> float:
    """RFC 8259 knows no NaN and no infinity, which the standard library reads, also as `2e308`."""
    if not math.isfinite(number := float(text)):
        raise ValueError(f"This cannot be read as JSON: {text[:40]} is no number in it.")
    return number


def _reason(error: Exception) -> str:
    return "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
