"""What dead processes left in the journal is booked once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from chomp_mcp.messages import Usage
from chomp_mcp.policy.budget import Limits
from chomp_mcp.store.ledger import Ledger, Settled
from tests.store.test_journal import call, died, spent_is
from tests.support.clock import Clock
from tests.support.wire_between import Wire

pytestmark = pytest.mark.anyio
LIMITS = Limits(day_nano=9_000, month_nano=9_000)
"""So little that no room is left for calls to come."""
USAGE = Usage(10, 20)


async def test_what_a_process_left_that_died_while_the_store_was_away_is_booked_once_by_the_next(
    ledger_on: Callable[[str], Ledger], wire: Wire, redis_url: str, tmp_path: Path
):
    first = ledger_on(wire.url)
    known = await first.reserve("me", 100, LIMITS, likely=50)  # the store knows of it
    wire.cut()
    first.note("me", Settled(known, 70, USAGE, "groq"))
    await call(first, 300, 200)
    under_way = await first.reserve("me", 300, LIMITS, likely=33)
    await first.secure(under_way)
    await first.written()
    died(first)
    wire.mend()

    second = ledger_on(redis_url)
    second.recover()
    await spent_is(second, 70 + 200 + 33, 3)
    assert not list((tmp_path / "journal").glob("*"))
    assert (await second.spent("me")).held_nano == 0
    await second.close()


async def test_a_live_process_that_others_took_for_dead_takes_back_what_they_booked(
    ledger_on: Callable[[str], Ledger], wire: Wire, redis_url: str, clock: Clock
):
    ledger, other = ledger_on(wire.url), ledger_on(redis_url)
    hold = await ledger.reserve("me", 100, LIMITS, likely=50)
    wire.cut()
    clock.advance(16 * 60)
    assert (await other.spent("me")).day_nano == 50
    ledger.note("me", Settled(hold, 70, USAGE, "groq"))
    await ledger.written()
    wire.mend()

    await spent_is(ledger, 70, 1)
    await ledger.close()
    await other.close()
