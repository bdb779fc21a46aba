"""The ledger: what each caller has spent, and what calls under way may still spend."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
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
BATCH_SECONDS = 0.005
"""In a burst, settlements wait this long for others to be written with."""
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
        self._noted: dict[_Names, list[Settled]] = {}
        """By the records that they belong to: a call is of the day on which it ended."""
        self._one_writer = asyncio.Lock()
        self._writer: asyncio.Task[None] | None = None
        self._wrote_at = 0.0

    async def reserve(self, caller_id: str, micro_usd: int | None, limits: budget.Limits) -> Hold:
        """Hold `micro_usd`, an upper estimate of what a call may cost; None: the price is unknown.

        What is noted of the caller is settled in the same step.

        Raises:
            BudgetExceeded: with what is spent and what others hold, that is more than `limits` allow.
            StoreError: nothing was reserved.
        """
        now = self._clock()
        if micro_usd == 0 or limits == budget.Limits():
            return Hold("", caller_id, micro_usd or 0, now + HOLD_SECONDS)
        if micro_usd is None:
            names = _records(caller_id, now)
            noted = sum(call.cost_micro or 0 for call in self._noted.get(names, ()))
            _judge(_Account.read(await self._kv.get_many(names), now), None, limits, now, noted)
            return Hold("", caller_id, 0, now + HOLD_SECONDS)
        hold = Hold(secrets.token_hex(6), caller_id, micro_usd, now + HOLD_SECONDS)
        async with self._one_writer:
            names = _records(caller_id, now)
            calls = self._noted.pop(names, [])

            def place(old: Sequence[Value | None]) -> Sequence[Write | None]:
                account = _Account.read(old, now).after(calls)
                _judge(account, micro_usd, limits, now)
                return account.holding(hold).writes(now, spent=bool(calls))

            try:
                await self._kv.update(names, place)
            except asyncio.CancelledError:
                # It is reserved all the same, and nobody will use it.
                self.note(caller_id, Settled(hold))
                raise
            except Exception:
                self._put_back(names, calls)
                raise
        return hold

    def note(self, caller_id: str, call: Settled) -> None:
        """Settle as soon as the event loop is free, so that nobody waits for it; once for each exchange.

        A reservation becomes spend of the day and the month of now, or is given back where nothing was answered. In a
        burst, what comes in within some milliseconds is written in one step. `reserve` and `spent` count it at
        once.
        """
        self._noted.setdefault(_records(caller_id, self._clock()), []).append(call)
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write_soon())

    async def _write_soon(self) -> None:
        pause = BATCH_SECONDS - (time.monotonic() - self._wrote_at)
        if pause > 0:
            await asyncio.sleep(pause)
        await self.written()

    async def written(self) -> None:
        """Write what is noted; what the store refuses stays noted, for the next time."""
        async with self._one_writer:
            while self._noted:
                names, calls = self._noted.popitem()
                try:
                    await self._settle(names, calls)
                except Exception as error:
                    # Not `CancelledError`: what the store was writing, it has written.
                    self._put_back(names, calls)
                    if not isinstance(error, StoreError):
                        raise
                    _log.exception("%d calls could not be written to the ledger yet", len(calls))
                    return
            self._wrote_at = time.monotonic()

    async def close(self) -> None:
        """Write what is noted, and end."""
        if self._writer is not None:
            await asyncio.wait([self._writer])
        await self.written()

    def _put_back(self, names: _Names, calls: list[Settled]) -> None:
        if calls:
            self._noted[names] = calls + self._noted.get(names, [])

    async def _settle(self, names: _Names, calls: Sequence[Settled]) -> None:
        """Several calls of one caller, in one atomic step."""
        now = self._clock()
        is_spent = any(call.router for call in calls)

        def book(old: Sequence[Value | None]) -> Sequence[Write | None]:
            return _Account.read(old, now).after(calls).writes(now, spent=is_spent)

        await self._kv.update(names, book)

    async def _account(self, caller_id: str, now: float) -> _Account:
        """Where the caller stands, with what is noted and not written yet."""
        names = _records(caller_id, now)
        old = await self._kv.get_many(names)
        return _Account.read(old, now).after(self._noted.get(names, ()))

    async def spent(self, caller_id: str) -> Spend:
        """Where the caller stands now."""
        await self.written()
        account = await self._account(caller_id, self._clock())
        day = account.day
        counts = {name: int(day.get(name, 0)) for name in ("calls", "unpriced", "input_tokens", "output_tokens")}
        return Spend(
            day_micro=_cost(day),
            month_micro=_cost(account.month),
            held_micro=account.held,
            by_router=dict(day.get("by_router", {})),
            **counts,
        )


@dataclass(frozen=True, slots=True)
class _Account:
    """The three records of a caller: the tallies of the day and of the month, and the live reservations."""

    day: Value
    month: Value
    holds: _Holds
    had_holds: bool

    @classmethod
    def read(cls, records: Sequence[Value | None], now: float) -> _Account:
        day, month, held = records
        live = {i: hold for i, hold in (held or {}).get("holds", {}).items() if hold["expires_at"] > now}
        return cls(day or {}, month or {}, live, held is not None)

    @property
    def held(self) -> int:
        return sum(hold["micro_usd"] for hold in self.holds.values())

    def after(self, calls: Sequence[Settled]) -> _Account:
        """With these calls settled."""
        if not calls:
            return self
        ended = {call.hold.id for call in calls if call.hold}
        spent = [call for call in calls if call.router]
        holds = {i: hold for i, hold in self.holds.items() if i not in ended}
        return _Account(_added(self.day, spent), _added(self.month, spent), holds, self.had_holds)

    def holding(self, hold: Hold) -> _Account:
        entry = {"micro_usd": hold.micro_usd, "expires_at": hold.expires_at}
        return replace(self, holds={**self.holds, hold.id: entry})

    def writes(self, now: float, *, spent: bool) -> list[Write | None]:
        """What to store; the tallies only when something was spent."""
        tallies = (self.day, self.month) if spent else (None, None)
        ends = zip(tallies, _KEPT_SECONDS, strict=True)
        return [*(Write(tally, end) if tally is not None else None for tally, end in ends), self._held_write(now)]

    def _held_write(self, now: float) -> Write | None:
        if not self.holds:
            return Write(None) if self.had_holds else None
        last = max(hold["expires_at"] for hold in self.holds.values())
        return Write({"holds": self.holds}, expires_in=last - now)


def _judge(account: _Account, micro_usd: int | None, limits: budget.Limits, now: float, noted: int = 0) -> None:
    """`BudgetExceeded` unless the account, with what is `noted` on top of it, leaves room for the call."""
    spent = _cost(account.day) + noted, _cost(account.month) + noted
    verdict = budget.judge(*spent, account.held, micro_usd, limits)
    if not verdict.allowed:
        raise _exceeded(verdict.window or "day", spent, account.held, limits, now)


_Names = tuple[str, str, str]


def _records(caller_id: str, now: float) -> _Names:
    """The keys of the day's tally, of the month's, and of the reservations."""
    day = _day(int(now // _MINUTE), time.tzname)
    return f"spend:{caller_id}:{day}", f"spend:{caller_id}:{day[:7]}", f"hold:{caller_id}"


@lru_cache(maxsize=64)
def _day(minute: int, _zone: tuple[str, str]) -> str:
    """The local day that a minute belongs to: no time zone changes it within a minute."""
    return _local(minute * _MINUTE).date().isoformat()


def _local(now: float) -> datetime:
    return datetime.fromtimestamp(now, UTC).astimezone()


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
