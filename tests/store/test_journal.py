"""The ledger on a Redis that goes away and comes back: nothing is lost, and nothing is counted twice."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest

from chomp_mcp.errors import StoreAway
from chomp_mcp.messages import Usage
from chomp_mcp.policy.budget import Limits
from chomp_mcp.store.ledger import Ledger, Settled
from tests.support.clock import Clock
from tests.support.wire_between import Wire

pytestmark = pytest.mark.anyio
LIMITS = Limits(day_nano=9_000, month_nano=9_000)
"""So little that no room is left for calls to come."""
USAGE = Usage(10, 20)


def died(ledger: Ledger) -> None:
    """As kill -9 does it: nothing is written any more, and the system lets go of its locks."""
    for task in (ledger._writer, ledger._renewer, ledger._recovery):
        if task is not None:
            task.cancel()
    assert ledger._journal is not None
    if ledger._journal._lock is not None:
        ledger._journal._lock.release()


async def spent_is(ledger: Ledger, nano: int, calls: int) -> None:
    """Once it says so; what is booked later than that would be twice."""
    with anyio.fail_after(20):
        while True:
            try:
                if (spent := await ledger.spent("me")).day_nano >= nano and not await asyncio.sleep(0.05):
                    break
            except StoreAway:
                pass
            await asyncio.sleep(0.05)
    spent = await ledger.spent("me")
    assert (spent.day_nano, spent.month_nano, spent.calls) == (nano, nano, calls)


async def call(ledger: Ledger, most: int, cost: int) -> None:
    hold = await ledger.reserve("me", most, LIMITS, likely=cost)
    await ledger.secure(hold)
    ledger.note("me", Settled(hold, cost, USAGE, "groq"))


async def test_what_is_spent_while_the_store_is_away_is_booked_once_when_it_is_back(
    ledger_on: Callable[[str], Ledger], wire: Wire, tmp_path: Path
):
    ledger = ledger_on(wire.url)
    await call(ledger, 100, 90)
    await ledger.written()
    wire.cut()
    for _ in range(3):
        await call(ledger, 300, 200)
    with pytest.raises(StoreAway, match=r"needs it for the budget.*CHOMP_AWAY_BUDGET_USD") as refused:
        await ledger.reserve("me", 500, LIMITS)
    await ledger.written()

    assert refused.value.status == 503
    assert [path.suffix for path in (tmp_path / "journal").glob("*l")] == [".jsonl"]
    wire.mend()
    await spent_is(ledger, 690, 4)
    assert not list((tmp_path / "journal").glob("*.jsonl"))
    await ledger.close()


async def test_what_was_estimated_before_the_journal_came_is_corrected_by_it(
    ledger_on: Callable[[str], Ledger], wire: Wire, redis_url: str, clock: Clock
):
    first = ledger_on(wire.url)
    known = await first.reserve("me", 100, LIMITS, likely=50)
    wire.cut()
    first.note("me", Settled(known, 70, USAGE, "groq"))
    await first.written()
    died(first)
    clock.advance(16 * 60)
    other = ledger_on(redis_url)
    assert (await other.spent("me")).day_nano == 50

    second = ledger_on(redis_url)
    second.recover()
    await spent_is(second, 70, 1)
    assert (await second.spent("me")).estimated == 0
    await other.close()
    await second.close()


async def test_a_step_whose_answer_was_lost_with_the_store_is_not_taken_twice(
    ledger_on: Callable[[str], Ledger], wire: Wire
):
    ledger = ledger_on(wire.url)
    hold = await ledger.reserve("me", 100, LIMITS)
    ledger.note("me", Settled(hold, 70, USAGE, "groq"))
    wire.cut_after("EVALSHA")
    await ledger.written()
    assert ledger._refused
    wire.mend()

    await spent_is(ledger, 70, 1)
    await ledger.close()
