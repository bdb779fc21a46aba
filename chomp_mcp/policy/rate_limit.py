"""The token bucket: how fast a caller may ask."""

from __future__ import annotations

from dataclasses import dataclass

_CLOCK_STEP = 1e-6
"""Epoch seconds as a float tell no less apart; without it, who waits exactly as told might come too early."""


@dataclass(frozen=True, slots=True)
class Rate:
    """`rps` tokens a second, at most `burst` kept; whoever gets one within `patience` seconds may wait for it."""

    rps: float
    burst: int
    patience: float = 0.0


@dataclass(frozen=True, slots=True)
class Bucket:
    """`tokens` at the moment `at` (epoch seconds)."""

    tokens: float
    at: float


def full(now: float, burst: int) -> Bucket:
    """What a new caller starts with."""
    return Bucket(float(max(1, burst)), now)


def take(bucket: Bucket, now: float, rps: float, burst: int, patience: float = 0.0) -> tuple[Bucket, float]:
    """Take one token: the bucket afterwards, and 0.0, or the seconds until there is one.

    A token that is there within `patience` seconds is taken in advance: whoever takes it waits so long, and the next
    one behind. Another is not taken.

    `rps` tokens a second flow in, at most `burst` (never less than one) are kept; `rps` 0 turns the limit off. A clock
    that was turned back takes nothing away.
    """
    if rps <= 0:
        return bucket, 0.0
    tokens = min(float(max(1, burst)), bucket.tokens + max(0.0, now - bucket.at) * rps)
    if tokens >= 1:
        return Bucket(tokens - 1, now), 0.0
    wait = (1 - tokens) / rps + _CLOCK_STEP
    return Bucket(tokens - 1 if wait <= patience else tokens, now), wait
