"""May this be spent: what a day and a month allow, in whole micro-USD."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from decimal import Decimal
from typing import Literal

__all__ = ["Limits", "Verdict", "judge", "micro", "resets_at", "room", "usd"]

Window = Literal["day", "month"]


@dataclass(frozen=True, slots=True)
class Limits:
    """A caller's budgets in micro-USD; None: no limit."""

    day_micro: int | None = None
    month_micro: int | None = None

    @classmethod
    def of(cls, day_usd: Decimal, month_usd: Decimal) -> Limits:
        """0 turns a budget off."""
        return cls(micro(day_usd) if day_usd else None, micro(month_usd) if month_usd else None)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether it may be spent; when not, the `window` that is used up (the one that resets last)."""

    allowed: bool
    window: Literal["day", "month", ""] = ""


ALLOWED = Verdict(allowed=True)


def judge(spent_day: int, spent_month: int, held: int, amount: int | None, limits: Limits) -> Verdict:
    """May `amount` be reserved on top of what is spent and what other calls `held`; all in micro-USD.

    What costs nothing (`amount` 0) always may: free models pass an exhausted budget. An unknown price (None) is not
    free: it may only while something is left.
    """
    if amount == 0:
        return ALLOWED
    wanted = 1 if amount is None else amount
    windows: tuple[tuple[Window, int, int | None], ...] = (
        ("month", spent_month, limits.month_micro),
        ("day", spent_day, limits.day_micro),
    )
    for window, spent, limit in windows:
        if limit is not None and spent + held + wanted > limit:
            return Verdict(allowed=False, window=window)
    return ALLOWED


def room(spent_day: int, spent_month: int, held: int, amount: int, limits: Limits) -> int:
    """What may be held beyond `held`, in advance of further calls like the one of `amount`; all in micro-USD.

    A hundredth of what is left, so that hardly anybody is refused for it; nothing where that is too little for a call.
    """
    windows = ((spent_day, limits.day_micro), (spent_month, limits.month_micro))
    left = min((limit - spent - held for spent, limit in windows if limit is not None), default=0)
    spare = left // 100
    return spare if spare >= amount else 0


def resets_at(window: Window, now_local: datetime) -> float:
    """Epoch seconds of the next midnight, or of the first of the next month, in the time zone of `now_local`."""
    today = now_local.date()
    first = today.replace(day=1)
    ends = {"day": today + timedelta(days=1), "month": (first + timedelta(days=32)).replace(day=1)}
    return datetime.combine(ends[window], time.min, tzinfo=now_local.tzinfo).timestamp()


def micro(usd: Decimal) -> int:
    """US dollars as whole micro-USD, rounded up: small calls add up, they never vanish."""
    return math.ceil(usd * 1_000_000)


def usd(micro: int) -> Decimal:
    """Micro-USD as exact US dollars."""
    return Decimal(micro).scaleb(-6)
