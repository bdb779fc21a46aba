"""What the headers of an answer say of a key's limits: how much is left, until when, when to come back."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from chomp_mcp.policy.quota import Kind, Reading, Window, exhausted
from chomp_mcp.routers.waits import EPOCH_MS, EPOCH_S, epoch_of_date, seconds_in_headers


def read(
    headers: Mapping[str, str], now: float, *, windows: Mapping[Kind, Window] | None = None
) -> tuple[Reading, ...]:
    """The limits told by an answer's headers (names in lower case), the tightest one of each kind and window.

    Names: `x-ratelimit-{limit,remaining,reset}[-{requests,tokens}[-{minute,hour,day}]]` (OpenAI, Groq, Cerebras,
    SambaNova, Fireworks; OpenRouter's bare ones count requests) and `anthropic-ratelimit-*-{limit,remaining,reset}`.
    `windows` are those that the names leave out, as the router's row has them.
    """
    limits: dict[tuple[Kind, Window, str], dict[str, str]] = {}
    for header, value in headers.items():
        if "ratelimit" in header and (named := _parse_name(header)):
            field, of_limit = named
            limits.setdefault(of_limit, {})[field] = value
    found: dict[tuple[Kind, Window], Reading] = {}
    for (kind, named_window, _part), fields in limits.items():
        window = named_window or (windows or {}).get(kind, "")
        limit, remaining = _count(fields.get("limit")), _count(fields.get("remaining"))
        if limit is None and remaining is None:
            continue
        resets_at = parse_reset(fields["reset"], now) if "reset" in fields else None
        reading, other = Reading(kind, window, limit, remaining, resets_at), found.get((kind, window))
        # Of two headers about the same window, the one that leaves less counts.
        if other is None or _left(reading) < _left(other):
            found[kind, window] = reading
    return tuple(found.values())


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds until the router takes requests again; None when it does not say.

    Its Retry-After in any of its forms, else the reset of its used-up limits.
    """
    wait = seconds_in_headers(headers, now)
    until = exhausted(read(headers, now), now) if wait is None else None
    return wait if until is None else until - now


def parse_reset(text: str, now: float) -> float | None:
    """A reset as epoch seconds, None for what nobody writes, and for more than 31 days from now.

    Takes every form seen: Go durations (`2m59.56s`, `6m0s`, `1h`, `500ms`), seconds from now, epoch seconds, epoch
    milliseconds, RFC 3339 and HTTP dates.
    """
    text = text.strip()
    if not text or len(text) > _LONGEST_TEXT:
        return None
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    until: float | None = None
    if math.isfinite(number):
        if number >= 0:
            until = number / 1000 if number > EPOCH_MS else number if number > EPOCH_S else now + number
    elif _DURATION.fullmatch(text):
        until = now + sum(float(amount) * _UNITS[unit] for amount, unit in _PIECE.findall(text))
    else:
        until = epoch_of_date(text)
    return until if until is not None and abs(until - now) <= _FARTHEST else None


@lru_cache(maxsize=256)
def _parse_name(header: str) -> tuple[str, tuple[Kind, Window, str]] | None:
    """What a header's name says: a field of a limit, and of which: its kind, its window, its part."""
    words = [word for word in header.split("-") if word not in {"x", "anthropic", "ratelimit"}]
    fields = [word for word in words if word in {"limit", "remaining", "reset"}]
    words = ["requests" if word == "req" else word for word in words]  # Mistral
    kinds = [word for word in words if word in {"requests", "tokens"}]
    windows = [word for word in words if word in {"minute", "hour", "day"}]
    # What tells limits of one kind apart: input-tokens, tokens-prompt, project-tokens.
    part = "-".join(word for word in words if word not in {*fields, *kinds, *windows})
    if len(fields) != 1 or len(kinds) > 1 or len(windows) > 1 or (part and not kinds):
        return None  # x-ratelimit-over-limit, anthropic-ratelimit-unified-5h-reset and their like
    kind: Any = kinds[0] if kinds else "requests"
    window: Any = windows[0] if windows else ""
    return fields[0], (kind, window, part)


def _count(text: str | None) -> int | None:
    """A whole number; negative ones mean "no limit" where they occur."""
    try:
        count = int(float(text or ""))
    except (ValueError, OverflowError):
        return None
    return count if count >= 0 else None


def _left(reading: Reading) -> float:
    return math.inf if reading.remaining is None else reading.remaining


_UNITS = {"d": 86_400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_PIECE = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ms|us|µs|ns|[dhms])")
_DURATION = re.compile(rf"(?:{_PIECE.pattern})+", re.ASCII)
_LONGEST_TEXT = 64
_FARTHEST = 31 * 86_400.0
"""Seconds: limits are of a month at most, and a reset that is farther away was not meant as one."""
