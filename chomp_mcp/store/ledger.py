"""The ledger: what each caller has spent, and what calls under way may still spend."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cached_property

from chomp_mcp.errors import BudgetExceeded, StoreAway, StoreError
from chomp_mcp.frozen import struct
from chomp_mcp.policy import budget
from chomp_mcp.store.holds import HOLD_SECONDS, ROOM_SECONDS, Held, Hold, entry, held_write, old_marks, parted
from chomp_mcp.store.journal import Journal, Row
from chomp_mcp.store.kv.finish import finished
from chomp_mcp.store.kv.protocol import KV, Value, Write
from chomp_mcp.store.recovery import book_orphans, stepped, tally_writes
from chomp_mcp.store.spend import HOLD, Names, Spend, dollars, exceeded, records_of
from chomp_mcp.store.tally import Settled, added, by_router, cost_of, tally
from chomp_mcp.store.together import Together

_log = logging.getLogger("chomp_mcp.ledger")

BATCH_SECONDS = 0.005
"""In a burst, settlements wait this long for others to be written with."""
AGAIN_SECONDS = (1.0, 60.0)
"""What the store refused is tried again, after twice as long each time."""
RENEW_SECONDS = HOLD_SECONDS / 3
"""How often the record hears that calls which take long are still under way."""
MOST_HELD = 10_000
"""Callers with reservations or room in memory, before those that are idle are let go."""

_NO_LIMITS = budget.Limits()
_COUNTED = ("calls", "unpriced", "estimated", "estimated_nano", "input_tokens", "output_tokens")


@struct(frozen=True, slots=True)
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

    On a remote store, which may be away, steps have numbers: what was not told to be written, and may be all the same,
    is not written twice. It stands in the `journal` meanwhile, and `away_nano` in all may be spent then.
    """

    def __init__(
        self, kv: KV, *, clock: Callable[[], float] = time.time, journal: Journal | None = None, away_nano: int = 0
    ) -> None:
        self._kv = kv
        self._clock = clock
        self._journal = journal
        self._away_nano = away_nano
        self._number = 0
        """Of this process's last step."""
        self._refused: list[Row] = []
        """Steps that the store did not take, the oldest first; or of which it did not say so."""
        self._journaled: dict[str, int] = {}
        """Hold id -> the number of its row in the journal."""
        self._to_journal: list[Row] = []
        self._one_journal = asyncio.Lock()
        self._recovery: asyncio.Task[None] | None = None
        self._held: dict[str, Held] = {}
        """By the record that tells the others of it, and as it was last written there."""
        self._noted: dict[Names, list[Settled]] = {}
        """By the records that they belong to: a call is of the day on which it ended."""
        self._one_writer = asyncio.Lock()
        self._writer: asyncio.Task[None] | None = None
        self._together = Together(self.written)
        self._holds = 0
        """Made by this process."""
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
        if self._journal is not None and self._recovery is None:
            self.recover()
        if not self._one_writer.locked() and (hold := self._within_room(caller_id, most, likely)):
            return hold
        wish = _Wish(most, most if least is None else least, likely, limits)
        async with self._one_writer:
            return self._within_room(caller_id, most, likely) or await self._reserve(caller_id, wish)

    async def secure(self, hold: Hold | None) -> None:
        """Have the reservation in the store, where it outlives this process; mostly it is there already."""
        if hold is None:
            return
        held = self._held.get(f"{HOLD}{hold.caller_id}")
        if held is None or hold.id not in held.unwritten:
            return
        await self._together.run()
        if self._journal is not None and hold.id in held.unwritten and hold.id not in self._journaled:
            row = Row(records_of(hold.caller_id, self._clock()), self._next(), hold=hold)
            self._journaled[hold.id] = row.number
            await self._journal_rows([row])

    def _within_room(self, caller_id: str, nano_usd: int, likely: int) -> Hold | None:
        """A reservation that others count already; not while a record is written that does not know of it."""
        now = self._clock()
        names = records_of(caller_id, now)
        held = self._held.get(names[2])
        if held is None or not held.has_room(nano_usd, now):
            return None
        return self._place_later(names, held, Hold(self._hold_id(), caller_id, nano_usd, likely))

    def _hold_id(self) -> str:
        self._holds += 1
        return f"{self._process}-{self._holds:x}"

    def _place_later(self, names: Names, held: Held, hold: Hold) -> Hold:
        held.place(hold)
        held.unwritten.add(hold.id)
        self._noted.setdefault(names, [])
        self._write_later()
        return hold

    async def _reserve(self, caller_id: str, wish: _Wish) -> Hold:
        names = records_of(caller_id, self._clock())
        hold = Hold(self._hold_id(), caller_id, wish.most, wish.likely)
        day = month = 0
        try:
            await self._write_refused()
            return await self._write(names, self._noted.pop(names, []), hold, wish) or hold
        except asyncio.CancelledError:
            # It is reserved all the same, and nobody will use it.
            self.note(caller_id, Settled(hold))
            raise
        except StoreAway as error:
            self._noted.setdefault(names, [])  # it may be reserved there: that is written over
            self._write_later()
            self._check_allowance(hold, wish, error)
            return self._place_later(names, self._held.setdefault(names[2], Held()), hold)
        except StoreError as error:
            _log.error("a reservation could not be written to the ledger yet: %s", error)
            # What this process has spent since counts; what others have, as far as it can be read.
            with suppress(StoreError):
                day, month = map(cost_of, (await self._kv.get_many(names))[:2])
            noted = self._noted.get(names, [])
            more, held = sum(call.cost_nano or 0 for call in noted), self._held.setdefault(names[2], Held())
            kept = held.nano_usd - held.held_for(_ended(noted))
            placed = _allowed(hold, wish, (day + more, month + more), kept, 0, self._clock())
            return self._place_later(names, held, placed)

    def note(self, caller_id: str, call: Settled) -> None:
        """Settle as soon as the event loop is free, so that nobody waits for it; once for each call.

        A reservation becomes spend of the day and the month of now, or is given back where nothing was answered. In a
        burst, what comes in within some milliseconds is written in one step. `reserve` and `spent` count it at
        once.
        """
        names = records_of(caller_id, self._clock())
        self._noted.setdefault(names, []).append(call)
        held = self._held.get(names[2])
        if held is not None:
            held.overdrawn += _excess(call)
        self._write_later()

    def _write_later(self) -> None:
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write_soon())

    async def _write_soon(self) -> None:
        """Write what is noted; what the store refuses, again and again until it takes it."""
        pause = BATCH_SECONDS - (time.monotonic() - self._wrote_at)
        if pause > 0:
            await asyncio.sleep(pause)
        await self.written()
        again, longest = AGAIN_SECONDS
        while (self._noted or self._refused) and not self._is_closing:
            await asyncio.sleep(again)
            if self._journal is None:  # a remote store is looked for anyway, and says at once that it is away
                again = min(2 * again, longest)
            await self.written()

    async def written(self) -> None:
        """Write what is noted; what the store refuses stays noted, for the next time."""
        async with self._one_writer:
            try:
                await self._write_refused()
                while self._noted:
                    names, calls = self._noted.popitem()
                    await self._write(names, calls)
            except StoreError as error:
                if self._journal is None or not isinstance(error, StoreAway):
                    _log.error("calls could not be written to the ledger yet: %s", error)
                    return
                # It takes nothing now: what is noted is put down here.
                rows = [Row(names, self._next(), calls) for names, calls in self._noted.items() if calls]
                self._refused += rows
                for row in rows:
                    self._noted[row.names] = []
                await self._journal_rows(rows)
                return
            self._wrote_at = time.monotonic()
            if self._journal is not None and self._journal.rows:
                self._journaled.clear()
                await asyncio.to_thread(self._journal.clear)

    async def _write_refused(self) -> None:
        """First comes what came first: a later step of the same caller would say that all before it are written."""
        while self._refused:
            row = self._refused[0]
            await self._write(row.names, row.calls, number=row.number)
            del self._refused[0]

    def _next(self) -> int:
        self._number += 1
        return self._number

    async def _journal_rows(self, rows: Sequence[Row]) -> None:
        """On disk when it returns: those that come in while the disk writes go together, the next time."""
        if not rows or self._journal is None:
            return
        self._to_journal += rows
        async with self._one_journal:
            together, self._to_journal = self._to_journal, []
            try:
                if together:
                    await finished(asyncio.to_thread(self._journal.add, self._process, together))
            except OSError as error:  # they are in memory all the same
                _log.error("%d calls could not be written to the journal: %s", len(together), error)

    def _check_allowance(self, hold: Hold, wish: _Wish, away: StoreAway) -> None:
        """While nobody knows what is left of a budget, a little may be spent on account."""
        if wish.limits == _NO_LIMITS:
            return
        ended = [call for row in self._refused for call in row.calls]
        ended += [call for calls in self._noted.values() for call in calls]
        spent, over = sum(call.cost_nano or 0 for call in ended), set(_ended(ended))
        held = sum(each.holds[i].nano_usd for each in self._held.values() for i in each.unwritten - over)
        allowance = budget.Limits(day_nano=self._away_nano)
        try:
            _allowed(hold, replace(wish, limits=allowance), (spent, spent), held, 0, self._clock())
        except BudgetExceeded:
            raise away.again(
                f"the budget: this call may cost more than is left of the ${dollars(self._away_nano)} that"
                " may be spent without it (CHOMP_AWAY_BUDGET_USD)"
            ) from None

    def recover(self) -> None:
        """Book what processes before this one left in the journal, in the background."""
        journal = self._journal
        if journal is not None and (self._recovery is None or self._recovery.done()):
            self._recovery = asyncio.create_task(book_orphans(journal, self._kv, self._clock))

    async def close(self) -> None:
        """Write what is noted, give back the room that no call uses, and end."""
        self._is_closing = True
        for task in (self._renewer, self._writer, self._recovery):
            if task is not None:
                # What the store is writing it has written; what was not written yet is written below.
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
        for record, held in self._held.items():
            held.granted = 0
            self._noted.setdefault(records_of(record.removeprefix(HOLD), self._clock()), [])
        await self.written()
        if self._journal is not None:
            self._journal.release()

    async def _renew(self) -> None:
        """Calls that take long must not be taken for those of a dead process."""
        while any(held.holds for held in self._held.values()):
            await asyncio.sleep(RENEW_SECONDS)
            for record, held in self._held.items():
                if held.holds:
                    self._noted.setdefault(records_of(record.removeprefix(HOLD), self._clock()), [])
            await self.written()

    async def _write(
        self,
        names: Names,
        calls: Sequence[Settled],
        hold: Hold | None = None,
        wish: _Wish | None = None,
        *,
        number: int = 0,
    ) -> Hold | None:
        """Settle `calls` of one caller, and place `hold` as `wish` allows, in one atomic step; the hold as placed."""
        # What dead processes held is booked by the way. When the store refuses, the calls are noted again; on a remote
        # one this very step is taken again, whose `number` it is told with then.
        is_again = bool(number)
        if self._journal is not None and not is_again:
            number = self._next()
        row = Row(names, number, calls)
        now = self._clock()
        mine = self._held.get(names[2]) or Held()
        ended, excess = _ended(calls), sum(map(_excess, calls)) if mine.overdrawn else 0
        # A hold that stands in the journal under a later number is not in this step.
        under_way = [each for each in mine.without(ended) if self._journaled.get(each.id, 0) <= number]
        kept = sum(each.nano_usd for each in under_way)
        rest = mine.granted - mine.held_for(ended) - excess if now < mine.granted_until else 0
        granted, until, placed = max(kept, rest), now + ROOM_SECONDS, hold

        def book(old: Sequence[Value | None]) -> Sequence[Write | None]:
            nonlocal granted, until, placed
            day, month, record = old
            marks = old_marks(record)
            if number and number <= marks.get(self._process, {}).get("number", 0):
                return [None, None, None]
            holds = parted(record, self._process, now)
            spent = tally(calls, holds)
            if number:
                marks |= {name: holds.mark_of(name, now) for name in holds.dead}
                spent = stepped(spent, marks, self._process, number, now)
            if hold is not None and wish is not None:
                so_far = cost_of(day) + spent["nano_usd"], cost_of(month) + spent["nano_usd"]
                placed = _allowed(hold, wish, so_far, kept, holds.total, now)
                held = kept + holds.total + placed.nano_usd
                granted = kept + placed.nano_usd + budget.room(*so_far, held, placed.nano_usd, wish.limits)
            now_held = [*under_way, *([placed] if placed else [])]
            until = now + (HOLD_SECONDS if now_held else ROOM_SECONDS)
            told = {self._process: entry(granted, now_held, until)} if granted else {}
            return [*tally_writes(day, month, spent), held_write(record, {**holds.live, **told}, now, marks)]

        try:
            await self._kv.update(names, book)
        except Exception as error:
            if not is_again:
                await self._not_written(row, error)
            raise
        except asyncio.CancelledError:
            # What the store was writing, it has written.
            self._remember(row, placed, granted, until)
            raise
        self._remember(row, placed, granted, until)
        return placed

    async def _not_written(self, row: Row, error: Exception) -> None:
        if self._journal is not None and isinstance(error, StoreAway):
            self._noted.setdefault(row.names, [])  # what is held is written anew after it
            if row.calls:
                self._refused.append(row)
                await self._journal_rows([row])
        elif row.calls or (row.names[2] in self._held and self._held[row.names[2]].unwritten):
            self._noted[row.names] = [*row.calls, *self._noted.get(row.names, [])]

    def _remember(self, row: Row, hold: Hold | None, granted: int, until: float) -> None:
        """It is written: these calls have ended, and this is held."""
        record = row.names[2]
        held = self._held.setdefault(record, Held())
        held.end(_ended(row.calls))
        if held.overdrawn:
            held.overdrawn = max(0, held.overdrawn - sum(map(_excess, row.calls)))
        held.granted, held.granted_until = granted, until
        held.unwritten = {each for each in held.unwritten if self._journaled.get(each, 0) > row.number}
        if hold is not None:
            held.place(hold)
        if not granted and not held.holds:
            del self._held[record]
        if held.holds and not self._is_closing and (self._renewer is None or self._renewer.done()):
            self._renewer = asyncio.create_task(self._renew())
        if len(self._held) > MOST_HELD:
            now = self._clock()
            self._held = {record: each for record, each in self._held.items() if not each.is_idle(now)}

    async def spent(self, caller_id: str, *, is_readable: bool = True) -> Spend:
        """Where the caller stands now; or, where no store can be read, what this process has yet to write."""
        names, old_day, old_month, others_hold = records_of(caller_id, self._clock()), None, None, 0
        if is_readable:
            await self.written()
            old_day, old_month, record = await self._kv.get_many(names)
            holds = parted(record, self._process, self._clock())
            if holds.dead:
                async with self._one_writer:
                    await self._write(names, self._noted.pop(names, []))
                old_day, old_month, record = await self._kv.get_many(names)
                holds = parted(record, self._process, self._clock())
            others_hold = holds.used
        refused = [call for row in self._refused if row.names == names for call in row.calls]
        calls = [*refused, *self._noted.get(names, ())]  # what could not be written
        more, mine = tally(calls), self._held.get(names[2]) or Held()
        day = added(old_day, more)
        return Spend(
            day_nano=cost_of(day),
            month_nano=cost_of(old_month) + more["nano_usd"],
            held_nano=mine.nano_usd - mine.held_for(_ended(calls)) + others_hold,
            by_router=by_router(day),
            **{name: int(day[name]) for name in _COUNTED},
        )


def _allowed(hold: Hold, wish: _Wish, spent: tuple[int, int], kept: int, others: int, now: float) -> Hold:
    """The hold as it may be placed, or `BudgetExceeded`; `spent` is of the day and of the month."""
    limits = wish.limits
    window = budget.used_up(*spent, kept + others, wish.most, limits)
    if window is None:
        return hold
    rest = budget.left(*spent, limits)
    if not kept and not others and rest is not None and rest >= wish.least:
        return Hold(hold.id, hold.caller_id, rest, min(hold.likely_nano, rest))
    raise exceeded(hold.caller_id, window, spent, kept + others, wish.most, limits, now)


def _excess(call: Settled) -> int:
    """What it cost beyond its reservation."""
    return max(0, (call.cost_nano or 0) - (call.hold.nano_usd if call.hold else 0))


def _ended(calls: Iterable[Settled]) -> list[str]:
    """The ids of their reservations."""
    return [call.hold.id for call in calls if call.hold]
