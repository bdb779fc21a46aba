"""May this be spent: what a day and a month allow, in whole nano-USD."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Literal

Window = Literal["day", "month"]


@dataclass(frozen=True, slots=True)
class Limits:
    """A caller's budgets in nano-USD; None: no limit."""

    day_nano: int | None = None
    month_nano: int | None = None

    @classmethod
    def of(cls, day_usd: Decimal, month_usd: Decimal) -> Limits:
        """0 turns a budget off."""
        return cls(nano(day_usd) if day_usd else None, nano(month_usd) if month_usd else None)


def used_up(spent_day: int, spent_month: int, held: int, amount: int, limits: Limits) -> Window | None:
    """None: `amount` may be reserved on top of what is spent and what other calls `held`; all in nano-USD.

    Else the window that has no room for it, of two the one that resets later. What costs nothing (`amount` 0) always
    may: free models pass an exhausted budget.
    """
    if amount == 0:
        return None
    windows: tuple[tuple[Window, int, int | None], ...] = (
        ("month", spent_month, limits.month_nano),
        ("day", spent_day, limits.day_nano),
    )
    for window, spent, limit in windows:
        if limit is not None and spent + held + amount > limit:
            return window
    return None


def left(spent_day: int, spent_month: int, limits: Limits) -> int | None:
    """What may still be spent; None: there is no limit."""
    windows = ((spent_day, limits.day_nano), (spent_month, limits.month_nano))
    return min((limit - spent for spent, limit in windows if limit is not None), default=None)


UNLIMITED_CALLS = 1000


def room(spent_day: int, spent_month: int, held: int, amount: int, limits: Limits) -> int:
    """What may be held beyond `held`, in advance of further calls like the one of `amount`; all in nano-USD."""
    rest = left(spent_day, spent_month, limits)
    # A hundredth of what is left, so that hardly anybody is refused for it; nothing if that is too little for a call.
    spare = UNLIMITED_CALLS * amount if rest is None else (rest - held) // 100
    return spare if spare >= amount else 0


def resets_on(window: Window, today: date) -> date:
    """The day on which it starts anew: tomorrow, or the first of the next month."""
    if window == "day":
        return today + timedelta(days=1)
    return (today.replace(day=1) + timedelta(days=32)).replace(day=1)


def nano(usd: Decimal) -> int:
    """US dollars as whole nano-USD, rounded up: small calls add up, they never vanish."""
    return math.ceil(usd.scaleb(9))


def usd(nano: int) -> Decimal:
    """Nano-USD as exact US dollars."""
    return Decimal(nano).scaleb(-9)
