"""The ledger: what each caller has spent, and what calls under way may still spend."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Literal

from chomp_mcp.errors import BudgetExceeded, StoreError
from chomp_mcp.messages import Usage
from chomp_mcp.policy import budget
from chomp_mcp.store.kv import KV, Value, Write

__all__ = ["HOLD_SECONDS", "Hold", "Ledger", "Settled", "Spend"]

_log = logging.getLogger("chomp_mcp.ledger")

HOLD_SECONDS = 15 * 60
"""How long the reservation of a process that died still counts."""
_MINUTE = 60
_KEPT_SECONDS = (40 * 86_400.0, 400 * 86_400.0)
"""How long the tallies of a day and of a month are kept."""

NO_USAGE = Usage()
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
class Settled:
    """A call that has ended: what it cost in micro-USD (None: unknown), or nothing where no `router` answered."""

    hold: Hold | None = None
    cost_micro: int | None = None
    usage: Usage = NO_USAGE
    router: str = ""


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
        self._noted: dict[str, list[Settled]] = {}
        self._writing: asyncio.Task[None] | None = None

    async def reserve(self, caller_id: str, micro_usd: int | None, limits: budget.Limits) -> Hold:
        """Hold `micro_usd`, an upper estimate of what a call may cost; None: the price is unknown.

        Raises:
            BudgetExceeded: with what is spent and what others hold, that is more than `limits` allow.
            StoreError: nothing was reserved.
        """
        await self.written()
        now = self._clock()
        if micro_usd == 0 or limits == budget.Limits():
            return Hold("", caller_id, micro_usd or 0, now + HOLD_SECONDS)
        keys = (*_tallies(caller_id, now), _holds_key(caller_id))
        if micro_usd is None:
            _judge(await self._kv.get_many(keys), None, limits, now)
            return Hold("", caller_id, 0, now + HOLD_SECONDS)
        hold = Hold(secrets.token_hex(6), caller_id, micro_usd, now + HOLD_SECONDS)

        def place(old: Sequence[Value | None]) -> Sequence[Write | None]:
            holds = _judge(old, micro_usd, limits, now)
            entry = {"micro_usd": hold.micro_usd, "expires_at": hold.expires_at}
            return [None, None, _holds_write({**holds, hold.id: entry}, now)]

        await self._kv.update(keys, place)
        return hold

    async def settle(
        self, hold: Hold | None, *, cost_micro: int | None, usage: Usage | None, router: str, caller_id: str = ""
    ) -> None:
        """Turn a reservation into spend, in one step; the day and the month are those of now.

        `cost_micro` None: the price is unknown, and the call is counted as unpriced. Without a hold, `caller_id`
        says whose spend it is. Call it once for each exchange.
        """
        caller_id = hold.caller_id if hold else caller_id
        await self.settle_all(caller_id, [Settled(hold, cost_micro, usage or NO_USAGE, router)])

    def note(self, caller_id: str, call: Settled) -> None:
        """Settle right after this turn of the event loop, so that nobody waits for it.

        What is noted in one turn is written in one step. `reserve` and `spent` see it; `written` waits for it.
        """
        self._noted.setdefault(caller_id, []).append(call)
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write())

    async def _write(self) -> None:
        """Write what is noted; what the store refuses stays noted, for the next time."""
        while self._noted:
            caller_id, calls = self._noted.popitem()
            try:
                await self.settle_all(caller_id, calls)
            except StoreError:
                self._noted[caller_id] = calls + self._noted.get(caller_id, [])
                _log.exception("%d calls could not be written to the ledger yet", len(calls))
                return

    async def written(self) -> None:
        """Wait until everything noted so far is in the store, as far as the store lets us."""
        if self._noted and (self._writing is None or self._writing.done()):
            self._writing = asyncio.create_task(self._write())
        if self._writing is not None and not self._writing.done():
            await asyncio.wait([self._writing])

    async def settle_all(self, caller_id: str, calls: Sequence[Settled]) -> None:
        """Settle several calls of one caller in one atomic step."""
        now = self._clock()
        ended = {call.hold.id for call in calls if call.hold and call.hold.id}
        spent = [call for call in calls if call.router]
        tallies = _tallies(caller_id, now) if spent else ()

        def book(old: Sequence[Value | None]) -> Sequence[Write | None]:
            added = (_added(tally, spent) for tally in old[: len(tallies)])
            writes: list[Write | None] = [Write(tally, end) for tally, end in zip(added, _KEPT_SECONDS, strict=False)]
            return [*writes, *(_without(record, ended, now) for record in old[len(tallies) :])]

        await self._kv.update([*tallies, *([_holds_key(caller_id)] if ended else ())], book)

    async def release(self, hold: Hold | None) -> None:
        """Give a reservation back, for a call that cost nothing."""
        if hold and hold.id:
            await self.settle_all(hold.caller_id, [Settled(hold)])

    async def spent(self, caller_id: str) -> Spend:
        """Where the caller stands now."""
        await self.written()
        now = self._clock()
        day_record, month, held = await self._kv.get_many([*_tallies(caller_id, now), _holds_key(caller_id)])
        day = day_record or {}
        counts = {name: int(day.get(name, 0)) for name in ("calls", "unpriced", "input_tokens", "output_tokens")}
        return Spend(
            day_micro=_cost(day),
            month_micro=_cost(month),
            held_micro=_sum(_live_holds(held, now)),
            by_router=dict(day.get("by_router", {})),
            **counts,
        )


def _judge(records: Sequence[Value | None], micro_usd: int | None, limits: budget.Limits, now: float) -> _Holds:
    """The live holds, if the day's and the month's tally and they leave room for the call; else `BudgetExceeded`."""
    holds = _live_holds(records[2], now)
    spent = _cost(records[0]), _cost(records[1])
    verdict = budget.judge(*spent, _sum(holds), micro_usd, limits)
    if not verdict.allowed:
        raise _exceeded(verdict.window or "day", spent, _sum(holds), limits, now)
    return holds


def _tallies(caller_id: str, now: float) -> tuple[str, str]:
    """The keys of the day's and of the month's tally."""
    day = _day(int(now // _MINUTE), time.tzname)
    return f"spend:{caller_id}:{day}", f"spend:{caller_id}:{day[:7]}"


@lru_cache(maxsize=64)
def _day(minute: int, _zone: tuple[str, str]) -> str:
    """The local day that a minute belongs to: no time zone changes it within a minute."""
    return _local(minute * _MINUTE).date().isoformat()


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


def _without(record: Value | None, ended: Collection[str], now: float) -> Write | None:
    """The holds without these; nothing to write if they are gone already."""
    live = _live_holds(record, now)
    left = {hold_id: hold for hold_id, hold in live.items() if hold_id not in ended}
    return None if len(left) == len(live) else _holds_write(left, now)


def _cost(tally: Value | None) -> int:
    return int((tally or {}).get("micro_usd", 0))


def _added(tally: Value | None, calls: Sequence[Settled]) -> Value:
    old, by_router = tally or {}, dict((tally or {}).get("by_router", {}))
    for call in calls:
        if call.cost_micro is not None:
            by_router[call.router] = by_router.get(call.router, 0) + call.cost_micro
    return {
        "micro_usd": _cost(old) + sum(call.cost_micro or 0 for call in calls),
        "calls": old.get("calls", 0) + len(calls),
        "unpriced": old.get("unpriced", 0) + sum(call.cost_micro is None for call in calls),
        "input_tokens": old.get("input_tokens", 0) + sum(call.usage.input_tokens for call in calls),
        "output_tokens": old.get("output_tokens", 0) + sum(call.usage.output_tokens for call in calls),
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
