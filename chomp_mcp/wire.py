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

COUNTED_BYTES = 4 * 1024 * 1024
"""What is shorter is parsed as it is; in what is longer, the values are counted first."""
MOST_PARTS = 2_000_000
"""Objects, arrays and names. Each costs up to a hundred times its two bytes, and the parser lets nobody else run."""
MOST_VALUES = 6_000_000
"""Commas: the largest answers are vectors, which fill 64 MiB with 5.6 million numbers of eleven digits."""


class TooManyValues(ValueError):
    """Well-formed or not, it holds more than anything that is meant to be read."""


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


def loads(data: bytes | str, *, is_ours: bool = False) -> Any:
    """Parse JSON; `ValueError` for anything that is not, or is nested too deeply (about a thousand levels).

    `is_ours`: we wrote it ourselves, whatever is in its texts, and it must be read again.

    Raises:
        TooManyValues: megabytes of hardly anything but brackets, commas and names.
    """
    if len(data) > COUNTED_BYTES and not is_ours and is_overfull(data):
        raise TooManyValues("This JSON holds more than can be read: millions of values.")
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


def is_overfull(data: bytes | str) -> bool:
    """Megabytes of hardly anything but brackets, commas and names. Those in texts are counted as well: they are few."""
    if len(data) <= COUNTED_BYTES:
        return False
    text = data if isinstance(data, bytes) else data.encode("utf-8", "surrogatepass")
    return text.count(b",") > MOST_VALUES or sum(map(text.count, (b"[", b"{", b'":'))) > MOST_PARTS


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
