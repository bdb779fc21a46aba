"""What a caller has spent: where it stands in the store, and how it is told that a budget does not cover a call."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from datetime import time as time_of_day
from functools import lru_cache

from chomp_mcp.errors import BudgetExceeded
from chomp_mcp.messages import OWNER
from chomp_mcp.policy import budget

HOLD = "hold:"
_MINUTE = 60
_VARIABLES: Mapping[str, str] = {"day": "LLM_DAILY_BUDGET_USD", "month": "LLM_MONTHLY_BUDGET_USD"}

Names = tuple[str, str, str]
"""The records of the day, of the month, and of the holds."""


@dataclass(frozen=True, slots=True)
class Spend:
    """A caller's money in nano-USD: the day and the month so far, and what calls under way hold.

    `calls`, `unpriced` (calls of unknown price), `estimated` (calls that nobody counted, and what they are taken to
    have cost), tokens and `by_router` are of the day.
    """

    day_nano: int = 0
    month_nano: int = 0
    held_nano: int = 0
    calls: int = 0
    unpriced: int = 0
    estimated: int = 0
    estimated_nano: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    by_router: Mapping[str, int] = field(default_factory=dict)
    """Router id -> nano-USD."""


def records_of(caller_id: str, now: float) -> Names:
    """The keys of the day's tally, of the month's, and of the reservations."""
    return _records_in(caller_id, int(now // _MINUTE), time.tzname)


@lru_cache(maxsize=4096)
def _records_in(caller_id: str, minute: int, _zone: tuple[str, str]) -> Names:
    """Of a minute: no time zone changes the day within it."""
    # The zone is there for the cache: TZ may change while we run (a laptop that travels).
    day = _local(minute * _MINUTE).date().isoformat()
    return f"spend:{caller_id}:{day}", f"spend:{caller_id}:{day[:7]}", f"{HOLD}{caller_id}"


def _local(now: float) -> datetime:
    return datetime.fromtimestamp(now, UTC).astimezone()


def exceeded(
    caller_id: str,
    window: budget.Window,
    spent: tuple[int, int],
    held: int,
    amount: int,
    limits: budget.Limits,
    now: float,
) -> BudgetExceeded:
    """The error for a call of `amount` that does not fit; `spent` is of the day and of the month, all in nano-USD."""
    so_far, limit = (spent[0], limits.day_nano) if window == "day" else (spent[1], limits.month_nano)
    # Midnight by the clock on the wall, which may stand at another offset by then.
    resets = datetime.combine(budget.resets_on(window, _local(now).date()), time_of_day.min)
    wait = max(resets.timestamp() - now, 0.0)
    # Whoever has a token sets nothing here, and its own budget may be the narrower one.
    more = f"raise {_VARIABLES[window]}" if caller_id == OWNER.id else "ask whoever gave you the token for more"
    smaller = ", set a smaller max_tokens" if so_far < (limit or 0) else ""
    return BudgetExceeded(
        f"The budget for the {window} does not cover this call, which may cost ${dollars(amount)}:"
        f" ${dollars(so_far)} of ${dollars(limit or 0)} are spent, and calls under way may cost ${dollars(held)}.",
        resets_at=resets.timestamp(),
        retry_after=wait,
        hint=f"It resets on {resets:%Y-%m-%d %H:%M}; {more}{smaller}, or use a free model.",
    )


def dollars(nano: int) -> str:
    """At least cents, and no more places than it needs."""
    text = format(budget.usd(nano).normalize(), "f")
    whole, _, places = text.partition(".")
    return f"{whole}.{places:0<2}"
