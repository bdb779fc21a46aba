"""The ledger: what each caller has spent, and what calls under way may still spend."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from chomp_mcp.errors import BudgetExceeded
from chomp_mcp.messages import Usage
from chomp_mcp.policy import budget
from chomp_mcp.store.kv import KV, Value, Write

__all__ = ["HOLD_SECONDS", "Hold", "Ledger", "Spend"]

HOLD_SECONDS = 15 * 60
"""How long the reservation of a process that died still counts."""
_DAY_KEPT_SECONDS = 40 * 86_400
_MONTH_KEPT_SECONDS = 400 * 86_400

_Holds = dict[str, Mapping[str, Any]]
_VARIABLES: Mapping[str, str] = {"day": "LLM_DAILY_BUDGET_USD", "month": "LLM_MONTHLY_BUDGET_USD"}


@dataclass(frozen=True, slots=True)
class Hold:
    """A reservation; one with an empty `id` is a promise only: nothing had to be written down."""

    id: str
    caller_id: str
    micro_usd: int
    expires_at: float


@dataclass(frozen=True, slots=True)
class Spend:
    """A caller's money in micro-USD: the day and the month so far, and what live reservations hold.

    `calls`, `unpriced` (calls of unknown price), tokens and `by_router` are of the day.
    """

    day_micro: int = 0
    month_micro: int = 0
    held_micro: int = 0
    calls: int = 0
    unpriced: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    by_router: Mapping[str, int] = field(default_factory=dict)
    """Router id -> micro-USD."""


class Ledger:
    """Spend per caller, day and month, in whole micro-USD; days are those of this machine's time zone.

    Records: `spend:{caller}:{YYYY-MM-DD}` and `spend:{caller}:{YYYY-MM}` are tallies, `hold:{caller}` holds all
    reservations of the caller, so that reserving and settling are one atomic step each.
    """

    def __init__(self, kv: KV, *, clock: Callable[[], float] = time.time) -> None:
        self._kv = kv
        self._clock = clock

    async def reserve(self, caller_id: str, micro_usd: int | None, limits: budget.Limits) -> Hold:
        """Hold `micro_usd`, an upper estimate of what a call may cost; None: the price is unknown.

        Raises:
            BudgetExceeded: with what is spent and what others hold, that is more than `limits` allow.
            StoreError: nothing was reserved.
        """
        now = self._clock()
        if micro_usd == 0 or limits == budget.Limits():
            return Hold("", caller_id, micro_usd or 0, now + HOLD_SECONDS)
        hold = Hold(secrets.token_hex(6) if micro_usd else "", caller_id, micro_usd or 0, now + HOLD_SECONDS)

        def place(old: Sequence[Value | None]) -> Sequence[Write | None]:
            holds = _live_holds(old[2], now)
            spent = _cost(old[0]), _cost(old[1])
            verdict = budget.judge(*spent, _sum(holds), micro_usd, limits)
            if not verdict.allowed:
                raise _exceeded(verdict.window or "day", spent, _sum(holds), limits, now)
            if not hold.id:
                return [None, None, None]
            entry = {"micro_usd": hold.micro_usd, "expires_at": hold.expires_at}
            return [None, None, _holds_write({**holds, hold.id: entry}, now)]

        await self._kv.update([*_tallies(caller_id, now), _holds_key(caller_id)], place)
        return hold

    async def settle(
        self, hold: Hold | None, *, cost_micro: int | None, usage: Usage | None, router: str, caller_id: str = ""
    ) -> None:
        """Turn a reservation into spend, in one step; the day and the month are those of now.

        `cost_micro` None: the price is unknown, and the call is counted as unpriced. Without a hold, `caller_id`
        says whose spend it is. Call it once for each exchange.
        """
        now = self._clock()
        caller_id = hold.caller_id if hold else caller_id
        held = (_holds_key(caller_id),) if hold and hold.id else ()

        def book(old: Sequence[Value | None]) -> Sequence[Write | None]:
            writes: list[Write | None] = [
                Write(_added(old[0], cost_micro, usage, router), _DAY_KEPT_SECONDS),
                Write(_added(old[1], cost_micro, usage, router), _MONTH_KEPT_SECONDS),
            ]
            return [*writes, *(_without(record, hold, now) for record in old[2:])]

        await self._kv.update([*_tallies(caller_id, now), *held], book)

    async def release(self, hold: Hold | None) -> None:
        """Give a reservation back, for a call that cost nothing."""
        if hold and hold.id:
            now = self._clock()
            await self._kv.update([_holds_key(hold.caller_id)], lambda old: [_without(old[0], hold, now)])

    async def spent(self, caller_id: str) -> Spend:
        """Where the caller stands now."""
        now = self._clock()
        day_key, month_key = _tallies(caller_id, now)
        day = await self._kv.get(day_key) or {}
        counts = {name: int(day.get(name, 0)) for name in ("calls", "unpriced", "input_tokens", "output_tokens")}
        return Spend(
            day_micro=_cost(day),
            month_micro=_cost(await self._kv.get(month_key)),
            held_micro=_sum(_live_holds(await self._kv.get(_holds_key(caller_id)), now)),
            by_router=dict(day.get("by_router", {})),
            **counts,
        )


def _tallies(caller_id: str, now: float) -> tuple[str, str]:
    """The keys of the day's and of the month's tally."""
    day = _local(now).date().isoformat()
    return f"spend:{caller_id}:{day}", f"spend:{caller_id}:{day[:7]}"


def _local(now: float) -> datetime:
    return datetime.fromtimestamp(now, UTC).astimezone()


def _holds_key(caller_id: str) -> str:
    return f"hold:{caller_id}"


def _live_holds(record: Value | None, now: float) -> _Holds:
    holds = (record or {}).get("holds", {})
    return {hold_id: hold for hold_id, hold in holds.items() if hold["expires_at"] > now}


def _sum(holds: _Holds) -> int:
    return sum(hold["micro_usd"] for hold in holds.values())


def _holds_write(holds: _Holds, now: float) -> Write:
    if not holds:
        return Write(None)
    return Write({"holds": holds}, expires_in=max(hold["expires_at"] for hold in holds.values()) - now)


def _without(record: Value | None, hold: Hold | None, now: float) -> Write | None:
    """The holds without this one; nothing to write if it is gone already."""
    holds = _live_holds(record, now)
    if hold is None or holds.pop(hold.id, None) is None:
        return None
    return _holds_write(holds, now)


def _cost(tally: Value | None) -> int:
    return int((tally or {}).get("micro_usd", 0))


def _added(tally: Value | None, cost_micro: int | None, usage: Usage | None, router: str) -> Value:
    old, usage, by_router = tally or {}, usage or Usage(), dict((tally or {}).get("by_router", {}))
    if cost_micro is not None:
        by_router[router] = by_router.get(router, 0) + cost_micro
    return {
        "micro_usd": _cost(old) + (cost_micro or 0),
        "calls": old.get("calls", 0) + 1,
        "unpriced": old.get("unpriced", 0) + (cost_micro is None),
        "input_tokens": old.get("input_tokens", 0) + usage.input_tokens,
        "output_tokens": old.get("output_tokens", 0) + usage.output_tokens,
        "by_router": by_router,
    }


def _exceeded(
    window: Literal["day", "month"], spent: tuple[int, int], held: int, limits: budget.Limits, now: float
) -> BudgetExceeded:
    so_far, limit = (spent[0], limits.day_micro) if window == "day" else (spent[1], limits.month_micro)
    resets_at = budget.resets_at(window, _local(now))
    return BudgetExceeded(
        f"The budget for the {window} does not cover this call: ${_dollars(so_far)} of ${_dollars(limit or 0)} are"
        f" spent, and calls under way may cost ${_dollars(held)}.",
        resets_at=resets_at,
        retry_after=max(resets_at - now, 0.0),
        hint=f"It resets on {_local(resets_at):%Y-%m-%d %H:%M}; raise {_VARIABLES[window]}, or ask a free model.",
    )


def _dollars(micro: int) -> str:
    """At least cents, and no more places than it needs."""
    text = format(budget.usd(micro).normalize(), "f")
    whole, _, places = text.partition(".")
    return f"{whole}.{places:0<2}"
