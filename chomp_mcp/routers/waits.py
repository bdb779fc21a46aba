"""How long a router says to wait: in a header, in its error object, or in its words. Pure.

Every form that was seen is read: RFC 9110's Retry-After (seconds, a date) and what servers make of it (`30, 30` where
two proxies add one each, `30s`, milliseconds under another name), Go durations, google.rpc.RetryInfo's `retryDelay`,
`retry_after` in a body, "try again in 2 minutes". What is too long is bounded, not thrown away: the router did ask us
to wait.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

LONGEST_SECONDS = 31 * 86_400.0
"""Limits are of a month at most."""

EPOCH_MS, EPOCH_S = 1e12, 1e9
"""Numbers above are moments, in ms or s; below they are seconds from now (31 years of them)."""
_LONGEST_TEXT = 200

_HEADERS: Mapping[str, float] = {
    "retry-after-ms": 1e-3,
    "x-ms-retry-after-ms": 1e-3,
    "x-retry-after-ms": 1e-3,
    "retry-after": 1.0,
    "x-retry-after": 1.0,
    "x-ratelimit-retry-after": 1.0,
    "x-ratelimit-reset-after": 1.0,
}
"""By trust; the factor makes seconds of a bare number."""

_FIELDS: Mapping[str, float] = {
    "retry_after_ms": 1e-3,
    "retryafterms": 1e-3,
    "retry_after": 1.0,
    "retry-after": 1.0,
    "retryafter": 1.0,
    "retry_after_seconds": 1.0,
    "retryafterseconds": 1.0,
    "retry_in": 1.0,
    "retrydelay": 1.0,
    "retry_delay": 1.0,
    "wait_seconds": 1.0,
    "resets_in_seconds": 1.0,
    "reset_after": 1.0,
    "reset_in": 1.0,
    "resets_at": 1.0,
    "reset_at": 1.0,
    "resetat": 1.0,
    "resetsat": 1.0,
    "quotaresetdelay": 1.0,
    "quotaresettimestamp": 1.0,
}
"""Names of body fields, in lower case."""


def seconds_in_headers(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds by the headers that exist for it (names in lower case); None where none says anything sensible."""
    waits = (_seconds(headers[name], factor, now) for name, factor in _HEADERS.items() if name in headers)
    return next((wait for wait in waits if wait is not None), None)


def seconds_in_body(objects: Iterable[Any], now: float) -> float | None:
    """Seconds by a field of these JSON values, read in their order and one level down (`details`, `metadata`)."""
    for value in objects:
        if not isinstance(value, Mapping):
            continue
        # The object itself, then the objects inside of it: google.rpc puts RetryInfo into the list `details`.
        rows = [value]
        for inner in value.values():
            for row in inner if isinstance(inner, list) else [inner]:
                if isinstance(row, Mapping):
                    rows += [row, *(item for item in row.values() if isinstance(item, Mapping))]
        for row in rows:
            for name, field in row.items():
                factor = _FIELDS.get(str(name).lower())
                if factor is not None and (wait := _seconds(field, factor, now)) is not None:
                    return wait
    return None


def _seconds(value: Any, factor: float, now: float) -> float | None:
    """A number or a text as seconds from now, from 0 to the longest; None for what cannot be meant, as -5."""
    if isinstance(value, Mapping):  # google.protobuf.Duration as JSON: {"seconds": 34, "nanos": 0}
        value = value.get("seconds")
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    text = str(value).strip()
    if not text or len(text) > _LONGEST_TEXT:
        return None
    wait = _one(text, factor, now)
    if wait is None:  # `30, 60`: each of them asks for it, so the longest counts
        parts = [_one(part.strip(), factor, now) for part in re.split("[,;]", text)]
        wait = max((part for part in parts if part is not None), default=None)
    if wait is None:
        wait = _duration(text)
    return None if wait is None else min(max(wait, 0.0), LONGEST_SECONDS)


def _one(text: str, factor: float, now: float) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return _until_date(text, now)
    if not math.isfinite(number) or number < 0:
        return None
    if number > EPOCH_MS:
        return number / 1000 - now
    return number - now if number > EPOCH_S else number * factor


def _until_date(text: str, now: float) -> float | None:
    if not any(map(str.isdigit, text)) or not ("-" in text or ":" in text):
        return None
    moment = epoch_of_date(text)
    return None if moment is None else moment - now


def epoch_of_date(text: str) -> float | None:
    """An RFC 3339 or HTTP date as epoch seconds, without a zone taken for UTC; None for any other text."""
    from email.utils import parsedate_to_datetime  # knows RFC 9110's three date forms, in any locale

    for parse in (datetime.fromisoformat, parsedate_to_datetime):
        try:
            moment = parse(text)
            return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
        except (ValueError, TypeError, OverflowError, IndexError):
            continue
    return None


# Words.

_UNITS: tuple[tuple[str, float], ...] = (
    ("ms|msecs?|milliseconds?|millis", 1e-3),
    ("us|µs|microseconds?", 1e-6),
    ("ns", 1e-9),
    ("s|secs?|seconds?", 1.0),
    ("m|mins?|minutes?", 60.0),
    ("h|hrs?|hours?", 3600.0),
    ("d|days?", 86_400.0),
    ("w|weeks?", 7 * 86_400.0),
)
_AMOUNT = r"\d{1,12}(?:\.\d{1,12})?|\.\d{1,12}|\b(?:a few|an?|one|two|three|five|ten)\b"
_PIECE = re.compile(rf"({_AMOUNT})[ -]?({'|'.join(names for names, _ in _UNITS)})(?![a-zA-Zµ])", re.IGNORECASE)
_LOOSE = re.compile(rf"({_AMOUNT})[ -]?({'|'.join(names for names, _ in _UNITS)})", re.IGNORECASE)
_GLUED = re.compile(r"(?:(?:\d{1,12}(?:\.\d{1,12})?)(?:ms|us|µs|ns|[wdhms]))+(?![a-zA-Zµ])", re.IGNORECASE)
_BETWEEN = re.compile(r"\s*(?:,|and|&)?\s*", re.IGNORECASE)
_NUMBERS: Mapping[str, float] = {"a": 1, "an": 1, "one": 1, "two": 2, "three": 3, "five": 5, "ten": 10, "a few": 5}

_SAYS_WAIT = re.compile(
    r"\b(?:again|retry(?:ing)?|retried|wait(?:ing)?|resets?|available|back off|resume[sd]?)\b[^.;\d]{0,40}?"
    r"(?=\d|\.\d|\b(?:an?|one|two|three|five|ten) )",
    re.IGNORECASE,
)
_BARE_SECONDS = re.compile(
    r"\b(?:again|retry) (?:in|after)[: ]+(\d{1,9}(?:\.\d{1,9})?)(?![\w:-]|\.\d|\s*[a-z%])", re.IGNORECASE
)
_MOMENT = re.compile(
    r"\b(?:until|at|after|on)[: ]+(\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)",
    re.IGNORECASE,
)


def seconds_in_words(message: str, now: float) -> float | None:
    """What a message says: "try again in 5.289s", "Please wait 2 minutes and 10 seconds", "until 2026-11-29T00:00Z"."""
    for says in _SAYS_WAIT.finditer(message):
        if (wait := _duration(message[says.end() :])) is not None:
            return min(wait, LONGEST_SECONDS)
    if found := _BARE_SECONDS.search(message):
        return min(float(found[1]), LONGEST_SECONDS)
    if (found := _MOMENT.search(message)) and (wait := _until_date(found[1].replace(" ", "T"), now)) is not None:
        return min(max(wait, 0.0), LONGEST_SECONDS)
    return None


def _duration(text: str) -> float | None:
    """The duration that the text begins with, in Go's form or in words."""
    if glued := _GLUED.match(text):
        return sum(_of(amount, unit) for amount, unit in _LOOSE.findall(glued[0]))
    pieces: list[float] = []
    position = 0
    while piece := _PIECE.match(text, position):
        pieces.append(_of(piece[1], piece[2]))
        between = _BETWEEN.match(text, piece.end())
        position = between.end() if between else piece.end()
    return sum(pieces) if pieces else None


def _of(amount: str, unit: str) -> float:
    number = _NUMBERS.get(amount.lower())
    seconds = next(size for names, size in _UNITS if re.fullmatch(names, unit, re.IGNORECASE))
    return (float(amount) if number is None else number) * seconds
