"""The ledger: what each caller has spent, and what calls under way may still spend."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property, lru_cache
from typing import Any, Literal

from chomp_mcp.errors import BudgetExceeded, StoreError
from chomp_mcp.messages import Usage
from chomp_mcp.policy import budget
from chomp_mcp.store.holds import ROOM_SECONDS, Held, Hold, held_write, others, total, used
from chomp_mcp.store.kv.protocol import KV, Value, Write

__all__ = ["HOLD_SECONDS", "Hold", "Ledger", "Settled", "Spend"]

_log = logging.getLogger("chomp_mcp.ledger")

HOLD_SECONDS = 15 * 60
"""How long the reservation of a process that died still counts."""
BATCH_SECONDS = 0.005
"""In a burst, settlements wait this long for others to be written with."""
MOST_HELD = 10_000
"""Callers with reservations or room in memory, before those that are idle are let go."""
_MINUTE = 60
_HOLD = "hold:"
_KEPT_SECONDS = (40 * 86_400.0, 400 * 86_400.0)
"""How long the tallies of a day and of a month are kept."""

NO_USAGE = Usage()
_NO_LIMITS = budget.Limits()
_COUNTS = ("micro_usd", "calls", "unpriced", "input_tokens", "output_tokens")
_VARIABLES: Mapping[str, str] = {"day": "LLM_DAILY_BUDGET_USD", "month": "LLM_MONTHLY_BUDGET_USD"}


@dataclass(frozen=True, slots=True)
class Settled:
    """A call that has ended: what it cost in micro-USD (None: unknown), or nothing where no `router` answered."""

    hold: Hold | None = None
    cost_micro: int | None = None
    usage: Usage = NO_USAGE
    router: str = ""


@dataclass(frozen=True, slots=True)
class Spend:
    """A caller's money in micro-USD: the day and the month so far, and what calls under way hold.

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

    Records: `spend:{caller}:{YYYY-MM-DD}` and `spend:{caller}:{YYYY-MM}` are tallies. `hold:{caller}` tells of each
    process what it holds in all, and until when if nothing more is heard of it; the single reservations are in that
    process's memory, so that a thousand cost no more than one. While much is left, a process holds a little more than
    its calls need: what fits into that room is reserved at once, and written down with what is settled next. At every
    moment, what is spent and what the processes hold stays within the limits.
    """

    def __init__(self, kv: KV, *, clock: Callable[[], float] = time.time) -> None:
        self._kv = kv
        self._clock = clock
        self._held: dict[str, Held] = {}
        """By the record that tells the others of it, and as it was last written there."""
        self._noted: dict[_Names, list[Settled]] = {}
        """By the records that they belong to: a call is of the day on which it ended."""
        self._noted_micro: defaultdict[_Names, int] = defaultdict(int)
        """What they cost in all."""
        self._one_writer = asyncio.Lock()
        self._writer: asyncio.Task[None] | None = None
        self._wrote_at = 0.0

    @cached_property
    def _process(self) -> str:
        """Its name in the records; made late, so that those who fork after `__init__` have one each."""
        return secrets.token_hex(6)

    async def reserve(self, caller_id: str, micro_usd: int | None, limits: budget.Limits) -> Hold:
        """Hold `micro_usd`, an upper estimate of what a call may cost; None: the price is unknown.

        What is noted of the caller is settled in the same step.

        Raises:
            BudgetExceeded: with what is spent and what others hold, that is more than `limits` allow.
            StoreError: nothing was reserved.
        """
        if micro_usd == 0 or limits == _NO_LIMITS:
            return Hold("", caller_id, micro_usd or 0, self._clock() + HOLD_SECONDS)
        if micro_usd is None:
            now = self._clock()
            names = _records(caller_id, now)
            day, month, record = await self._kv.get_many(names)
            noted = self._noted_micro.get(names, 0)
            held = self._mine(names, now).micro_usd + total(others(record, self._process, now))
            _judge((_cost(day) + noted, _cost(month) + noted), held, None, limits, now)
            return Hold("", caller_id, 0, now + HOLD_SECONDS)
        if not self._one_writer.locked() and (hold := self._within_room(caller_id, micro_usd)):
            return hold
        async with self._one_writer:
            return self._within_room(caller_id, micro_usd) or await self._reserve(caller_id, micro_usd, limits)

    def _within_room(self, caller_id: str, micro_usd: int) -> Hold | None:
        """A reservation that others count already; not while a record is written that does not know of it."""
        now = self._clock()
        names = _records(caller_id, now)
        held = self._mine(names, now)
        if not held.has_room(micro_usd, now):
            return None
        hold = Hold(secrets.token_hex(6), caller_id, micro_usd, now + HOLD_SECONDS)
        held.place(hold)
        self._noted.setdefault(names, [])
        self._write_later()
        return hold

    async def _reserve(self, caller_id: str, micro_usd: int, limits: budget.Limits) -> Hold:
        now = self._clock()
        names = _records(caller_id, now)
        hold = Hold(secrets.token_hex(6), caller_id, micro_usd, now + HOLD_SECONDS)
        try:
            await self._write(names, self._taken(names), hold, limits)
        except asyncio.CancelledError:
            # It is reserved all the same, and nobody will use it.
            self.note(caller_id, Settled(hold))
            raise
        return hold

    def note(self, caller_id: str, call: Settled) -> None:
        """Settle as soon as the event loop is free, so that nobody waits for it; once for each exchange.

        A reservation becomes spend of the day and the month of now, or is given back where nothing was answered. In a
        burst, what comes in within some milliseconds is written in one step. `reserve` and `spent` count it at
        once.
        """
        names = _records(caller_id, self._clock())
        self._noted.setdefault(names, []).append(call)
        self._noted_micro[names] += call.cost_micro or 0
        if held := self._held.get(names[2]):
            held.overdrawn += _excess(call)
        self._write_later()

    def _write_later(self) -> None:
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write_soon())

    def _taken(self, names: _Names) -> list[Settled]:
        """What is noted, to be written now."""
        self._noted_micro.pop(names, None)
        return self._noted.pop(names, [])

    async def _write_soon(self) -> None:
        pause = BATCH_SECONDS - (time.monotonic() - self._wrote_at)
        if pause > 0:
            await asyncio.sleep(pause)
        await self.written()

    async def written(self) -> None:
        """Write what is noted; what the store refuses stays noted, for the next time."""
        async with self._one_writer:
            while self._noted:
                names = next(reversed(self._noted))
                calls = self._taken(names)
                try:
                    await self._write(names, calls)
                except StoreError:
                    _log.exception("%d calls could not be written to the ledger yet", len(calls))
                    return
            self._wrote_at = time.monotonic()

    async def close(self) -> None:
        """Write what is noted, give back the room that no call uses, and end."""
        if self._writer is not None:
            await asyncio.wait([self._writer])
        for record, held in self._held.items():
            held.granted = 0
            self._noted.setdefault(_records(record.removeprefix(_HOLD), self._clock()), [])
        await self.written()

    async def _write(
        self,
        names: _Names,
        calls: list[Settled],
        hold: Hold | None = None,
        limits: budget.Limits = _NO_LIMITS,
    ) -> None:
        """Settle `calls` of one caller, and place `hold` if `limits` allow it, in one atomic step.

        When the store refuses, the calls are noted again.
        """
        now = self._clock()
        mine = self._mine(names, now)
        ended = mine.held_for(_ended(calls))
        kept = mine.micro_usd - ended
        left = mine.granted - ended - sum(map(_excess, calls)) if now < mine.granted_until else 0
        granted = max(kept, left)
        until = max(mine.expires_at if kept else 0.0, hold.expires_at if hold else 0.0, now + ROOM_SECONDS)
        spent = _tally(calls)

        def book(old: Sequence[Value | None]) -> Sequence[Write | None]:
            nonlocal granted
            day, month, record = old
            holds = others(record, self._process, now)
            if hold is not None:
                so_far = _cost(day) + spent["micro_usd"], _cost(month) + spent["micro_usd"]
                held = kept + total(holds)
                _judge(so_far, held, hold.micro_usd, limits, now)
                room = budget.room(*so_far, held + hold.micro_usd, hold.micro_usd, limits)
                granted = kept + hold.micro_usd + room
            if granted:
                in_use = kept + (hold.micro_usd if hold else 0)
                holds[self._process] = {"micro_usd": granted, "used_micro": in_use, "expires_at": until}
            return [*_tally_writes(day, month, spent), held_write(record, holds, now)]

        try:
            await self._kv.update(names, book)
        except Exception:
            if calls:
                self._noted[names] = calls + self._noted.get(names, [])
                self._noted_micro[names] += spent["micro_usd"]
            raise
        except asyncio.CancelledError:
            # What the store was writing, it has written.
            self._remember(names, calls, hold, granted, until)
            raise
        self._remember(names, calls, hold, granted, until)

    def _mine(self, names: _Names, now: float) -> Held:
        """What this process holds for the caller, without what has expired."""
        held = self._held.get(names[2]) or Held()
        held.expire(now)
        return held

    def _remember(self, names: _Names, calls: Sequence[Settled], hold: Hold | None, granted: int, until: float) -> None:
        """It is written: these calls have ended, and this is held."""
        held = self._held.setdefault(names[2], Held())
        held.end(_ended(calls))
        held.overdrawn = max(0, held.overdrawn - sum(map(_excess, calls)))
        held.granted, held.granted_until = granted, until
        if hold is not None:
            held.place(hold)
        if not granted:
            del self._held[names[2]]
        if len(self._held) > MOST_HELD:
            now = self._clock()
            self._held = {record: each for record, each in self._held.items() if not each.is_idle(now)}

    async def spent(self, caller_id: str) -> Spend:
        """Where the caller stands now."""
        await self.written()
        now = self._clock()
        names = _records(caller_id, now)
        old_day, old_month, record = await self._kv.get_many(names)
        calls = self._noted.get(names, ())  # what could not be written
        more, mine = _tally(calls), self._mine(names, now)
        day = _added(old_day, more)
        counts = {name: int(day[name]) for name in ("calls", "unpriced", "input_tokens", "output_tokens")}
        return Spend(
            day_micro=_cost(day),
            month_micro=_cost(old_month) + more["micro_usd"],
            held_micro=mine.micro_usd - mine.held_for(_ended(calls)) + used(others(record, self._process, now)),
            by_router=day["by_router"],
            **counts,
        )


def _judge(spent: tuple[int, int], held: int, micro_usd: int | None, limits: budget.Limits, now: float) -> None:
    """`BudgetExceeded` unless what is spent, of the day and of the month, and held leaves room for the call."""
    verdict = budget.judge(*spent, held, micro_usd, limits)
    if not verdict.allowed:
        raise _exceeded(verdict.window or "day", spent, held, limits, now)


_Names = tuple[str, str, str]


def _records(caller_id: str, now: float) -> _Names:
    """The keys of the day's tally, of the month's, and of the reservations."""
    return _records_in(caller_id, int(now // _MINUTE), time.tzname)


@lru_cache(maxsize=4096)
def _records_in(caller_id: str, minute: int, _zone: tuple[str, str]) -> _Names:
    """Of a minute: no time zone changes the day within it."""
    day = _local(minute * _MINUTE).date().isoformat()
    return f"spend:{caller_id}:{day}", f"spend:{caller_id}:{day[:7]}", f"{_HOLD}{caller_id}"


def _local(now: float) -> datetime:
    return datetime.fromtimestamp(now, UTC).astimezone()


def _cost(tally: Value | None) -> int:
    return 0 if tally is None else int(tally.get("micro_usd", 0))


def _excess(call: Settled) -> int:
    """What it cost beyond its reservation."""
    return max(0, (call.cost_micro or 0) - (call.hold.micro_usd if call.hold else 0))


def _ended(calls: Iterable[Settled]) -> list[str]:
    """The ids of their reservations."""
    return [call.hold.id for call in calls if call.hold]


def _tally(calls: Iterable[Settled]) -> dict[str, Any]:
    """Of the calls that a router answered."""
    tally = dict.fromkeys(_COUNTS, 0)
    by_router: dict[str, int] = {}
    for call in calls:
        if not call.router:
            continue
        tally["calls"] += 1
        tally["input_tokens"] += call.usage.input_tokens
        tally["output_tokens"] += call.usage.output_tokens
        if call.cost_micro is None:
            tally["unpriced"] += 1
        else:
            tally["micro_usd"] += call.cost_micro
            by_router[call.router] = by_router.get(call.router, 0) + call.cost_micro
    return {**tally, "by_router": by_router}


def _added(old: Value | None, more: Value) -> dict[str, Any]:
    if old is None:
        return dict(more)
    by_router = dict(old.get("by_router", {}))
    for router, micro_usd in more["by_router"].items():
        by_router[router] = by_router.get(router, 0) + micro_usd
    return {**{name: old.get(name, 0) + more[name] for name in _COUNTS}, "by_router": by_router}


def _tally_writes(day: Value | None, month: Value | None, spent: Value) -> list[Write | None]:
    if not spent["calls"]:
        return [None, None]
    return [Write(_added(tally, spent), kept) for tally, kept in zip((day, month), _KEPT_SECONDS, strict=True)]


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
