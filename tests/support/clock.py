"""A clock that tests move."""

from __future__ import annotations

__all__ = ["NOON", "Clock"]

NOON = 1_781_352_000.0
"""2026-06-13 12:00 UTC: the middle of a month, and of a day nearly everywhere."""


class Clock:
    """Hand it in as `clock`; it stands still until moved."""

    def __init__(self, now: float = NOON) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds
