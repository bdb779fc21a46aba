"""What a key has left, and whether that is nothing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from chomp_mcp.messages.router import QuotaKind, QuotaWindow

Kind = QuotaKind
Window = QuotaWindow
Source = Literal["headers", "key", "learned", "documented"]


@dataclass(frozen=True, slots=True)
class Reading:
    """What one limit of a key stands at; None is unknown. `resets_at` is epoch seconds."""

    kind: Kind
    window: Window
    limit: int | None = None
    remaining: int | None = None
    resets_at: float | None = None
    source: Source = "headers"


def exhausted(readings: Iterable[Reading], now: float) -> float | None:
    """Until when nothing is left, epoch seconds: the last reset of the limits that are used up. None: go on."""
    resets = [r.resets_at for r in readings if r.remaining == 0 and r.resets_at is not None and r.resets_at > now]
    return max(resets, default=None)
