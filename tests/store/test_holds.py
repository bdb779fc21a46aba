"""What calls under way hold, seen by every process."""

from __future__ import annotations

import pytest

from chomp_mcp.errors import BudgetExceeded
from chomp_mcp.policy.budget import Limits
from chomp_mcp.store import ledger as ledger_module
from chomp_mcp.store.holds import ROOM_SECONDS
from chomp_mcp.store.kv.protocol import KV
from chomp_mcp.store.kv.sqlite import Sqlite
from chomp_mcp.store.ledger import HOLD_SECONDS, Hold, Ledger, Settled
from tests.store.test_ledger import settle
from tests.support.clock import Clock

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("utc")]
LIMITS = Limits(day_nano=1_000, month_nano=5_000)
WIDE = Limits(100_000, None)


async def release(ledger: Ledger, hold: Hold) -> None:
    ledger.note("owner", Settled(hold))
    await ledger.written()


async def test_a_reservation_lasts_as_long_as_its_call(ledger: Ledger, clock: Clock):
    hold = await ledger.reserve("owner", 1_000, LIMITS)
    clock.advance(2 * HOLD_SECONDS)

    assert (await ledger.spent("owner")).held_nano == 1_000
    await settle(ledger, hold, 900)

    spent = await ledger.spent("owner")
    assert (spent.day_nano, spent.held_nano) == (900, 0)


@pytest.mark.parametrize("seen_by", ["who reserves", "who settles", "who looks"])
async def test_what_a_dead_process_held_becomes_spend_and_says_that_it_is_estimated(
    ledger: Ledger, kv: KV, clock: Clock, seen_by: str
):
    dead = Ledger(kv, clock=clock)
    for likely in (120, 80):
        await dead.reserve("owner", 400, LIMITS, likely=likely)
    clock.advance(HOLD_SECONDS - 1)
    with pytest.raises(BudgetExceeded):
        await ledger.reserve("owner", 201, LIMITS)
    clock.advance(1)

    if seen_by == "who reserves":
        await release(ledger, await ledger.reserve("owner", 800, LIMITS))
    elif seen_by == "who settles":
        await settle(ledger, None, 0)
    spent = await ledger.spent("owner")

    more = seen_by == "who settles"
    assert (spent.day_nano, spent.month_nano, spent.held_nano) == (200, 200, 0)
    assert (spent.estimated, spent.estimated_nano, spent.calls) == (2, 200, 2 + more)
    assert (await ledger.spent("owner")) == spent, "once"


async def test_a_clock_that_jumped_ahead_and_back_holds_no_budget_for_a_month(ledger: Ledger, kv: KV, clock: Clock):
    clock.advance(30 * 86_400)
    await Ledger(kv, clock=clock).reserve("owner", 1_000, LIMITS, likely=10)
    clock.advance(-30 * 86_400)

    await ledger.reserve("owner", 900, LIMITS)


async def test_many_reservations_of_a_process_are_one_entry_that_others_count(ledger: Ledger, kv: KV, clock: Clock):
    other = Ledger(kv, clock=clock)
    holds = [await ledger.reserve("owner", 9, LIMITS) for _ in range(100)]
    assert (await other.spent("owner")).held_nano == 900
    theirs = await other.reserve("owner", 100, LIMITS)
    for one in (ledger, other):
        with pytest.raises(BudgetExceeded):
            await one.reserve("owner", 1, LIMITS)
    assert len((await kv.get("hold:owner"))["holds"]) == 2

    for hold in holds[1:]:
        ledger.note("owner", Settled(hold, 1, router="groq"))
    await ledger.written()
    await settle(other, theirs, 1)

    for one in (ledger, other):
        spent = await one.spent("owner")
        assert (spent.day_nano, spent.held_nano) == (100, 9)
    await release(ledger, holds[0])
    assert await kv.get("hold:owner") is None


async def test_while_much_is_left_reservations_need_no_writing_and_others_count_them_all_the_same(
    sqlite: Sqlite, clock: Clock
):
    ledger, other = Ledger(sqlite, clock=clock), Ledger(sqlite, clock=clock)
    first = await ledger.reserve("owner", 100, WIDE)
    record = await sqlite.get("hold:owner")
    more = [await ledger.reserve("owner", 100, WIDE) for _ in range(9)]

    assert await sqlite.get("hold:owner") == record
    assert (await ledger.spent("owner")).held_nano == 1_000
    with pytest.raises(BudgetExceeded):
        await other.reserve("owner", 99_001, WIDE)
    for hold in (first, *more):
        ledger.note("owner", Settled(hold, 60, router="groq"))
    await ledger.written()
    for one in (ledger, other):
        spent = await one.spent("owner")
        assert (spent.day_nano, spent.held_nano) == (600, 0)


@pytest.mark.parametrize("how", ["the process ends", "nothing comes for a while"])
async def test_room_that_no_call_uses_is_given_back(ledger: Ledger, kv: KV, clock: Clock, how: str):
    other = Ledger(kv, clock=clock)
    await settle(ledger, await ledger.reserve("owner", 100, WIDE), 60)
    with pytest.raises(BudgetExceeded):
        await other.reserve("owner", 99_940, WIDE)

    if how == "the process ends":
        await ledger.close()
    else:
        clock.advance(ROOM_SECONDS)

    await other.reserve("owner", 99_940, WIDE)


async def test_callers_that_are_idle_take_no_memory_for_ever(
    ledger: Ledger, clock: Clock, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(ledger_module, "MOST_HELD", 2)
    for number in range(5):
        hold = await ledger.reserve(f"caller-{number}", 100, WIDE)
        ledger.note(f"caller-{number}", Settled(hold, 60, router="groq"))
        await ledger.written()
        clock.advance(ROOM_SECONDS)
    assert len(ledger._held) <= 2


async def test_a_call_that_costs_more_than_was_reserved_takes_it_from_the_room(ledger: Ledger):
    hold = await ledger.reserve("owner", 10, WIDE)
    ledger.note("owner", Settled(hold, 99_990, router="groq"))
    await ledger.reserve("owner", 10, WIDE)
    with pytest.raises(BudgetExceeded):
        await ledger.reserve("owner", 1, WIDE)
