"""The ledger: what each caller has spent, and what calls under way may still spend."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from datetime import time as time_of_day
from functools import cached_property, lru_cache
from typing import Any

from chomp_mcp.errors import BudgetExceeded, StoreError
from chomp_mcp.policy import budget
from chomp_mcp.store.holds import HOLD_SECONDS, ROOM_SECONDS, Held, Hold, entry, held_write, parted
from chomp_mcp.store.kv.protocol import KV, Value, Write
from chomp_mcp.store.tally import NO_USAGE, Settled, added, by_router, cost_of, tally

__all__ = ["HOLD_SECONDS", "NO_USAGE", "Hold", "Ledger", "Settled", "Spend"]

_log = logging.getLogger("chomp_mcp.ledger")

BATCH_SECONDS = 0.005
"""In a burst, settlements wait this long for others to be written with."""
AGAIN_SECONDS = (1.0, 60.0)
"""What the store refused is tried again, after twice as long each time."""
RENEW_SECONDS = HOLD_SECONDS / 3
"""How often the record hears that calls which take long are still under way."""
MOST_HELD = 10_000
"""Callers with reservations or room in memory, before those that are idle are let go."""
_MINUTE = 60
_HOLD = "hold:"
_KEPT_SECONDS = (40 * 86_400.0, 400 * 86_400.0)
"""How long the tallies of a day and of a month are kept."""

_NO_LIMITS = budget.Limits()
_VARIABLES: Mapping[str, str] = {"day": "LLM_DAILY_BUDGET_USD", "month": "LLM_MONTHLY_BUDGET_USD"}


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


_COUNTED = ("calls", "unpriced", "estimated", "estimated_nano", "input_tokens", "output_tokens")


@dataclass(frozen=True, slots=True)
class _Wish:
    """A reservation that somebody asks for."""

    most: int
    least: int
    likely: int
    limits: budget.Limits


class Ledger:
    """Spend per caller, day and month, in whole nano-USD; days are those of this machine's time zone.

    Records: `spend:{caller}:{YYYY-MM-DD}` and `spend:{caller}:{YYYY-MM}` are tallies. `hold:{caller}` tells of each
    process what it holds in all, and until when if nothing more is heard of it; the single reservations are in that
    process's memory, so that a thousand cost no more than one. While much is left, a process holds a little more than
    its calls need: what fits into that room is reserved at once, and written down with what is settled next. At every
    moment, what is spent and what the processes hold stays within the limits. What a process held that died becomes
    spend, marked as estimated: its calls were billed, whoever was there to see it.
    """

    def __init__(self, kv: KV, *, clock: Callable[[], float] = time.time) -> None:
        self._kv = kv
        self._clock = clock
        self._held: dict[str, Held] = {}
        """By the record that tells the others of it, and as it was last written there."""
        self._noted: dict[_Names, list[Settled]] = {}
        """By the records that they belong to: a call is of the day on which it ended."""
        self._noted_nano: defaultdict[_Names, int] = defaultdict(int)
        """What they cost in all."""
        self._one_writer = asyncio.Lock()
        self._writer: asyncio.Task[None] | None = None
        self._renewer: asyncio.Task[None] | None = None
        self._wrote_at = 0.0
        self._is_closing = False

    @cached_property
    def _process(self) -> str:
        """Its name in the records; made late, so that those who fork after `__init__` have one each."""
        return secrets.token_hex(6)

    async def reserve(
        self, caller_id: str, most: int, limits: budget.Limits, *, least: int | None = None, likely: int = 0
    ) -> Hold:
        """Hold `most`, an upper estimate in nano-USD of what a call may cost.

        `least` is what must be left for a call that is alone, where nobody knows how much it will need: it may have
        all that is left. `likely` is what is booked for it if this process dies. What is noted of the caller is
        settled in the same step. A store that cannot be written costs nobody an answer: then the reservation is kept
        in memory, and written as soon as that works.

        Raises:
            BudgetExceeded: with what is spent and what others hold, that is more than `limits` allow.
        """
        if most == 0:
            return Hold("", caller_id, 0)
        if not self._one_writer.locked() and (hold := self._within_room(caller_id, most, likely)):
            return hold
        wish = _Wish(most, most if least is None else least, likely, limits)
        async with self._one_writer:
            return self._within_room(caller_id, most, likely) or await self._reserve(caller_id, wish)

    async def secure(self, hold: Hold | None) -> None:
        """Have the reservation in the store, where it outlives this process; mostly it is there already."""
        if hold is None:
            return
        held = self._held.get(f"{_HOLD}{hold.caller_id}")
        if held is not None and hold.id in held.unwritten:
            await self.written()

    def _within_room(self, caller_id: str, nano_usd: int, likely: int) -> Hold | None:
        """A reservation that others count already; not while a record is written that does not know of it."""
        now = self._clock()
        names = _records(caller_id, now)
        held = self._held.get(names[2])
        if held is None or not held.has_room(nano_usd, now):
            return None
        return self._place_later(names, Hold(secrets.token_hex(6), caller_id, nano_usd, likely))

    def _place_later(self, names: _Names, hold: Hold) -> Hold:
        held = self._held.setdefault(names[2], Held())
        held.place(hold)
        held.unwritten.add(hold.id)
        self._noted.setdefault(names, [])
        self._write_later()
        return hold

    async def _reserve(self, caller_id: str, wish: _Wish) -> Hold:
        names = _records(caller_id, self._clock())
        hold = Hold(secrets.token_hex(6), caller_id, wish.most, wish.likely)
        try:
            return await self._write(names, self._taken(names), hold, wish) or hold
        except asyncio.CancelledError:
            # It is reserved all the same, and nobody will use it.
            self.note(caller_id, Settled(hold))
            raise
        except StoreError:
            _log.exception("a reservation could not be written to the ledger yet")
            return self._place_later(names, hold)

    def note(self, caller_id: str, call: Settled) -> None:
        """Settle as soon as the event loop is free, so that nobody waits for it; once for each call.

        A reservation becomes spend of the day and the month of now, or is given back where nothing was answered. In a
        burst, what comes in within some milliseconds is written in one step. `reserve` and `spent` count it at
        once.
        """
        names = _records(caller_id, self._clock())
        self._noted.setdefault(names, []).append(call)
        self._noted_nano[names] += call.cost_nano or 0
        if held := self._held.get(names[2]):
            held.overdrawn += _excess(call)
        self._write_later()

    def _write_later(self) -> None:
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write_soon())

    def _taken(self, names: _Names) -> list[Settled]:
        """What is noted, to be written now."""
        self._noted_nano.pop(names, None)
        return self._noted.pop(names, [])

    async def _write_soon(self) -> None:
        """Write what is noted; what the store refuses, again and again until it takes it."""
        pause = BATCH_SECONDS - (time.monotonic() - self._wrote_at)
        if pause > 0:
            await asyncio.sleep(pause)
        await self.written()
        again, longest = AGAIN_SECONDS
        while self._noted and not self._is_closing:
            await asyncio.sleep(again)
            again = min(2 * again, longest)
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
        self._is_closing = True
        for task in (self._renewer, self._writer):
            if task is not None:
                # What the store is writing it has written; what was not written yet is written below.
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
        for record, held in self._held.items():
            held.granted = 0
            self._noted.setdefault(_records(record.removeprefix(_HOLD), self._clock()), [])
        await self.written()

    async def _renew(self) -> None:
        """Calls that take long must not be taken for those of a dead process."""
        while any(held.holds for held in self._held.values()):
            await asyncio.sleep(RENEW_SECONDS)
            for record, held in self._held.items():
                if held.holds:
                    self._noted.setdefault(_records(record.removeprefix(_HOLD), self._clock()), [])
            await self.written()

    async def _write(
        self, names: _Names, calls: list[Settled], hold: Hold | None = None, wish: _Wish | None = None
    ) -> Hold | None:
        """Settle `calls` of one caller, and place `hold` as `wish` allows, in one atomic step; the hold as placed.

        What dead processes held is booked by the way. When the store refuses, the calls are noted again.
        """
        now = self._clock()
        mine = self._held.get(names[2]) or Held()
        ended = _ended(calls)
        under_way = mine.without(ended)
        kept = sum(each.nano_usd for each in under_way)
        rest = mine.granted - mine.held_for(ended) - sum(map(_excess, calls)) if now < mine.granted_until else 0
        granted, until, placed = max(kept, rest), now + ROOM_SECONDS, hold

        def book(old: Sequence[Value | None]) -> Sequence[Write | None]:
            nonlocal granted, until, placed
            day, month, record = old
            holds = parted(record, self._process, now)
            spent = tally(calls, holds)
            if hold is not None and wish is not None:
                so_far = cost_of(day) + spent["nano_usd"], cost_of(month) + spent["nano_usd"]
                placed = _allowed(hold, wish, so_far, kept, holds.total, now)
                held = kept + holds.total + placed.nano_usd
                granted = kept + placed.nano_usd + budget.room(*so_far, held, placed.nano_usd, wish.limits)
            now_held = [*under_way, *([placed] if placed else [])]
            until = now + (HOLD_SECONDS if now_held else ROOM_SECONDS)
            told = {self._process: entry(granted, now_held, until)} if granted else {}
            return [*_tally_writes(day, month, spent), held_write(record, {**holds.live, **told}, now)]

        try:
            await self._kv.update(names, book)
        except Exception:
            if calls or mine.unwritten:
                self._noted[names] = calls + self._noted.get(names, [])
                self._noted_nano[names] += sum(call.cost_nano or 0 for call in calls)
            raise
        except asyncio.CancelledError:
            # What the store was writing, it has written.
            self._remember(names, calls, placed, granted, until)
            raise
        self._remember(names, calls, placed, granted, until)
        return placed

    def _remember(self, names: _Names, calls: Sequence[Settled], hold: Hold | None, granted: int, until: float) -> None:
        """It is written: these calls have ended, and this is held."""
        held = self._held.setdefault(names[2], Held())
        held.end(_ended(calls))
        held.overdrawn = max(0, held.overdrawn - sum(map(_excess, calls)))
        held.granted, held.granted_until = granted, until
        held.unwritten.clear()
        if hold is not None:
            held.place(hold)
        if not granted and not held.holds:
            del self._held[names[2]]
        if held.holds and not self._is_closing and (self._renewer is None or self._renewer.done()):
            self._renewer = asyncio.create_task(self._renew())
        if len(self._held) > MOST_HELD:
            now = self._clock()
            self._held = {record: each for record, each in self._held.items() if not each.is_idle(now)}

    async def spent(self, caller_id: str) -> Spend:
        """Where the caller stands now."""
        await self.written()
        names = _records(caller_id, self._clock())
        old_day, old_month, record = await self._kv.get_many(names)
        holds = parted(record, self._process, self._clock())
        if holds.dead:
            async with self._one_writer:
                await self._write(names, self._taken(names))
            old_day, old_month, record = await self._kv.get_many(names)
            holds = parted(record, self._process, self._clock())
        calls = self._noted.get(names, ())  # what could not be written
        more, mine = tally(calls), self._held.get(names[2]) or Held()
        day = added(old_day, more)
        return Spend(
            day_nano=cost_of(day),
            month_nano=cost_of(old_month) + more["nano_usd"],
            held_nano=mine.nano_usd - mine.held_for(_ended(calls)) + holds.used,
            by_router=by_router(day),
            **{name: int(day[name]) for name in _COUNTED},
        )


def _allowed(hold: Hold, wish: _Wish, spent: tuple[int, int], kept: int, others: int, now: float) -> Hold:
    """The hold as it may be placed, or `BudgetExceeded`; `spent` is of the day and of the month."""
    limits = wish.limits
    verdict = budget.judge(*spent, kept + others, wish.most, limits)
    if verdict.allowed:
        return hold
    rest = budget.left(*spent, limits)
    if not kept and not others and rest is not None and rest >= wish.least:
        return Hold(hold.id, hold.caller_id, rest, min(hold.likely_nano, rest))
    window = verdict.window or "day"
    so_far, limit = (spent[0], limits.day_nano) if window == "day" else (spent[1], limits.month_nano)
    # Midnight by the clock on the wall, which may stand at another offset by then.
    resets = datetime.combine(budget.resets_on(window, _local(now).date()), time_of_day.min)
    raise BudgetExceeded(
        f"The budget for the {window} does not cover this call: ${_dollars(so_far)} of ${_dollars(limit or 0)} are"
        f" spent, and calls under way may cost ${_dollars(kept + others)}.",
        resets_at=resets.timestamp(),
        retry_after=max(resets.timestamp() - now, 0.0),
        hint=f"It resets on {resets:%Y-%m-%d %H:%M}; raise {_VARIABLES[window]}, or ask a free model.",
    )


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


def _excess(call: Settled) -> int:
    """What it cost beyond its reservation."""
    return max(0, (call.cost_nano or 0) - (call.hold.nano_usd if call.hold else 0))


def _ended(calls: Iterable[Settled]) -> list[str]:
    """The ids of their reservations."""
    return [call.hold.id for call in calls if call.hold]


def _tally_writes(day: Value | None, month: Value | None, spent: Mapping[str, Any]) -> list[Write | None]:
    if not spent["calls"]:
        return [None, None]
    return [Write(added(record, spent), kept) for record, kept in zip((day, month), _KEPT_SECONDS, strict=True)]


def _dollars(nano: int) -> str:
    """At least cents, and no more places than it needs."""
    text = format(budget.usd(nano).normalize(), "f")
    whole, _, places = text.partition(".")
    return f"{whole}.{places:0<2}"
