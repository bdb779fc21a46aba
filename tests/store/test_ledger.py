from __future__ import annotations

import asyncio
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chomp_mcp.errors import BudgetExceeded
from chomp_mcp.messages import Usage
from chomp_mcp.policy.budget import Limits
from chomp_mcp.store import ledger as ledger_module
from chomp_mcp.store.kv.protocol import KV
from chomp_mcp.store.kv.sqlite import Sqlite
from chomp_mcp.store.ledger import HOLD_SECONDS, Hold, Ledger, Settled, Spend
from chomp_mcp.store.tally import NO_USAGE
from tests.store.other_process import go, kill, open_store, race, start
from tests.support.clock import NOON, Clock

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("utc")]
LIMITS = Limits(day_nano=1_000, month_nano=5_000)
WIDE = Limits(100_000, None)


async def settle(
    ledger: Ledger, hold: Hold | None, cost_nano: int | None, usage: Usage = NO_USAGE, router: str = "groq"
) -> None:
    ledger.note("owner", Settled(hold, cost_nano, usage, router))
    await ledger.written()


async def release(ledger: Ledger, hold: Hold) -> None:
    ledger.note("owner", Settled(hold))
    await ledger.written()


async def test_nothing_is_spent_at_first(ledger: Ledger):
    assert await ledger.spent("owner") == Spend()


async def test_a_settled_call_is_spent_and_its_reservation_gone(ledger: Ledger):
    hold = await ledger.reserve("owner", 400, LIMITS)
    assert await ledger.spent("owner") == Spend(held_nano=400)

    await settle(ledger, hold, 150, Usage(10, 20))

    spent = Spend(day_nano=150, month_nano=150, calls=1, input_tokens=10, output_tokens=20, by_router={"groq": 150})
    assert await ledger.spent("owner") == spent
    assert await ledger.spent("other") == Spend()


async def test_what_others_hold_cannot_be_reserved(ledger: Ledger):
    hold = await ledger.reserve("owner", 700, LIMITS)

    with pytest.raises(BudgetExceeded):
        await ledger.reserve("owner", 301, LIMITS)
    await ledger.reserve("owner", 300, LIMITS)
    await ledger.reserve("other", 1_000, LIMITS)
    with pytest.raises(BudgetExceeded):
        await ledger.reserve("owner", 1, LIMITS)

    await release(ledger, hold)
    await release(ledger, hold)
    assert (await ledger.spent("owner")).held_nano == 300
    await ledger.reserve("owner", 700, LIMITS)


async def test_what_costs_nothing_passes_an_exhausted_budget_and_writes_nothing(ledger: Ledger, kv: KV):
    await settle(ledger, None, 1_000)
    before = await kv.list("")

    await release(ledger, await ledger.reserve("owner", 0, LIMITS))

    assert await kv.list("") == before


async def test_without_limits_nothing_is_refused(ledger: Ledger):
    for amount in (10**12, 10**15):
        hold = await ledger.reserve("owner", amount, Limits())
        await settle(ledger, hold, amount)

    assert (await ledger.spent("owner")).day_nano == 10**12 + 10**15


async def test_who_cannot_tell_how_much_they_need_may_have_what_is_left_while_they_are_alone(ledger: Ledger):
    await settle(ledger, None, 700)

    alone = await ledger.reserve("owner", 900, LIMITS, least=200, likely=250)
    assert (alone.nano_usd, alone.likely_nano) == (300, 250)
    with pytest.raises(BudgetExceeded):
        await ledger.reserve("owner", 900, LIMITS, least=1)
    await release(ledger, alone)
    with pytest.raises(BudgetExceeded):
        await ledger.reserve("owner", 900, LIMITS, least=301)
    assert (await ledger.reserve("owner", 900, LIMITS, least=300)).nano_usd == 300


async def test_a_reservation_within_the_room_is_in_the_store_once_it_is_secured(ledger: Ledger, kv: KV, clock: Clock):
    await ledger.reserve("owner", 100, WIDE, likely=10)
    inside = await ledger.reserve("owner", 100, WIDE, likely=10)
    await ledger.secure(inside)
    clock.advance(HOLD_SECONDS)

    assert (await Ledger(kv, clock=clock).spent("owner")).estimated_nano == 20


async def test_reservations_that_are_secured_together_are_written_in_one_step_also_where_one_gives_up(
    sqlite: Sqlite, tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(ledger_module, "BATCH_SECONDS", 60)  # nothing is written but what is secured

    def commits() -> int:
        """WAL frames that end a transaction hold the file's size, which is not 0 (sqlite.org/fileformat2.html)."""
        log = (tmp_path / "home" / "state.db-wal").read_bytes()[32:]
        return sum(log[at + 4 : at + 8] != bytes(4) for at in range(0, len(log), 24 + 4096))

    ledger = Ledger(sqlite, clock=clock)
    await ledger.reserve("owner", 100, WIDE, likely=10)
    await ledger.written()
    inside = [await ledger.reserve("owner", 100, WIDE, likely=10) for _ in range(5)]
    before = commits()
    tasks = [asyncio.create_task(ledger.secure(hold)) for hold in inside]
    await asyncio.sleep(0)
    tasks[0].cancel()
    await asyncio.wait(tasks)
    assert [task.cancelled() for task in tasks] == [True, False, False, False, False]
    assert commits() == before + 1
    clock.advance(HOLD_SECONDS)
    assert (await Ledger(sqlite, clock=clock).spent("owner")).estimated_nano == 60


async def test_a_store_that_cannot_be_written_costs_nobody_an_answer_and_is_tried_again(
    sqlite: Sqlite, tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("chomp_mcp.store.kv.sqlite._PATIENCE_SECONDS", 0.05)
    monkeypatch.setattr(ledger_module, "AGAIN_SECONDS", (0.05, 0.05))
    await sqlite.put("open", {})
    ledger = Ledger(sqlite, clock=clock)
    with locked(tmp_path / "home" / "state.db"):
        hold = await ledger.reserve("owner", 100, LIMITS)
        ledger.note("owner", Settled(hold, 60, Usage(1, 1), "groq"))
        await ledger.written()
    with anyio.fail_after(5):
        while await sqlite.get("spend:owner:2026-06") is None:  # noqa: ASYNC110 - a store tells nobody
            await anyio.sleep(0.01)
    spent = await ledger.spent("owner")
    assert (spent.day_nano, spent.held_nano) == (60, 0)
    await ledger.close()


async def test_days_are_kept_for_40_days_and_months_for_400(ledger: Ledger, kv: KV, clock: Clock):
    await settle(ledger, None, 1)
    clock.advance(39 * 86_400)
    assert len(await kv.list("spend:owner:")) == 2
    clock.advance(86_400)
    assert [entry.key for entry in await kv.list("spend:owner:")] == ["spend:owner:2026-06"]
    clock.advance(360 * 86_400)
    assert await kv.list("") == []


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL")
async def test_processes_racing_for_the_last_cent_cannot_both_win(place: str):
    granted = race(*(start("spend", place, 30, 10, 300) for _ in range(2)))

    ledger = Ledger(kv := open_store(place))
    assert len(granted[0]) + len(granted[1]) == 30
    spent = await ledger.spent("owner")
    assert (spent.day_nano, spent.calls, spent.held_nano) == (300, 30, 0)
    await kv.close()


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL")
async def test_a_kill_between_reserve_and_settle_leaves_a_reservation_that_becomes_spend(
    place: str, ledger: Ledger, clock: Clock
):
    clock.now = time.time()
    await settle(ledger, None, 100)
    process = start("reserve", place, 900)
    go(process)
    assert process.stdout.readline() == "reserved\n"
    kill(process)

    with pytest.raises(BudgetExceeded):
        await ledger.reserve("owner", 1, LIMITS)
    # Past what the process's own clock said; and clear of a midnight.
    clock.advance(86_400)
    hold = await ledger.reserve("owner", 600, LIMITS)
    await settle(ledger, hold, 600)

    spent = await ledger.spent("owner")
    assert (spent.day_nano, spent.held_nano, spent.estimated_nano) == (900, 0, 300)


@contextmanager
def locked(path: Path) -> Iterator[Callable[[], object]]:
    """Another process holds the database, until it is told to let go."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield lambda: other.execute("COMMIT")


async def end_and_begin(ledger: Ledger, cost_nano: int) -> Hold:
    """A call ends, and the next one reserves before the writer has its turn: both are one step."""
    ledger.note("owner", Settled(None, cost_nano, Usage(1, 1), "groq"))
    return await ledger.reserve("owner", 5, LIMITS)


async def test_a_reservation_that_is_cancelled_while_it_is_written_settles_once_and_holds_nothing(
    sqlite: Sqlite, tmp_path: Path, clock: Clock
):
    await sqlite.put("open", {})
    ledger = Ledger(sqlite, clock=clock)
    with locked(tmp_path / "home" / "state.db") as let_go:
        reserving = asyncio.create_task(end_and_begin(ledger, 100))
        await anyio.wait_all_tasks_blocked()
        reserving.cancel()
        await anyio.wait_all_tasks_blocked()
        let_go()
        with anyio.fail_after(5), pytest.raises(asyncio.CancelledError):
            await reserving

    spent = await ledger.spent("owner")
    assert (spent.day_nano, spent.calls, spent.held_nano) == (100, 1, 0)


async def test_what_is_being_written_at_the_end_is_settled_once(sqlite: Sqlite, tmp_path: Path, clock: Clock):
    await sqlite.put("open", {})
    ledger = Ledger(sqlite, clock=clock)
    with locked(tmp_path / "home" / "state.db") as let_go:
        ledger.note("owner", Settled(None, 100, Usage(1, 1), "groq"))
        await anyio.wait_all_tasks_blocked()
        closing_it = asyncio.create_task(ledger.close())
        await anyio.wait_all_tasks_blocked()
        let_go()
        with anyio.fail_after(5):
            await closing_it

    assert (await ledger.spent("owner")).calls == 1


async def test_wherever_a_cancellation_hits_a_call_is_settled_once(ledger: Ledger):
    kept = 0
    for steps in range(1, 41):
        reserving = asyncio.create_task(end_and_begin(ledger, 1))
        for _ in range(steps):
            await asyncio.sleep(0)
        reserving.cancel()
        with anyio.fail_after(5):
            await asyncio.wait([reserving])
        kept += 0 if reserving.cancelled() else 5

    await ledger.written()
    spent = await ledger.spent("owner")
    assert (spent.day_nano, spent.calls, spent.held_nano) == (40, 40, kept)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("reserve"), st.integers(0, 600)),
        st.tuples(st.just("settle"), st.none() | st.integers(0, 600)),
        st.tuples(st.just("release"), st.none()),
        st.tuples(st.just("advance"), st.integers(0, 2 * HOLD_SECONDS)),
    ),
    max_size=30,
)


@given(steps=STEPS)
def test_money_is_conserved(steps):
    async def play() -> None:
        clock = Clock(NOON - 12 * 3600)
        with tempfile.TemporaryDirectory() as folder:
            kv = Sqlite(Path(folder) / "state.db", clock=clock)
            ledger, holds, spent = Ledger(kv, clock=clock), [], 0
            for step, amount in steps:
                if step == "advance":
                    clock.advance(amount)
                elif step == "reserve":
                    held = sum(hold.nano_usd for hold in holds)
                    fits = amount == 0 or spent + held + amount <= 1_000
                    try:
                        holds.append(await ledger.reserve("owner", amount, Limits(1_000, None)))
                    except BudgetExceeded:
                        assert not fits
                    else:
                        assert fits
                elif holds and step == "settle":
                    await settle(ledger, holds.pop(0), amount)
                    spent += amount or 0
                elif holds:
                    await release(ledger, holds.pop(0))
                now = await ledger.spent("owner")
                assert now.held_nano == sum(hold.nano_usd for hold in holds)
                assert now.month_nano == spent == sum(now.by_router.values())
            await ledger.close()
            await kv.close()

    asyncio.run(play())


async def told(kv: KV) -> int:
    """What the records say is spent this month and held by all processes."""
    record = await kv.get("hold:owner") or {"holds": {}}
    spent = [entry.value["nano_usd"] for entry in await kv.list("spend:owner:")]
    return max(spent, default=0) + sum(hold["nano_usd"] for hold in record["holds"].values())


WAYS = st.lists(
    st.tuples(
        st.sampled_from(["reserve", "reserve", "settle", "write", "advance"]),
        st.integers(0, 1),
        st.one_of(st.integers(1, 400), st.integers(1, 60_000)),
    ),
    max_size=40,
)


@settings(max_examples=settings().max_examples // 2)  # each is a store and forty steps
@given(ways=WAYS)
def test_whatever_two_processes_reserve_stays_within_the_budget_and_is_seen_by_both(ways):
    async def play() -> None:
        clock = Clock(NOON - 12 * 3600)
        with tempfile.TemporaryDirectory() as folder:
            kv = Sqlite(Path(folder) / "state.db", clock=clock)
            ledgers = Ledger(kv, clock=clock), Ledger(kv, clock=clock)
            holds: list[tuple[Ledger, Hold]] = []
            spent = 0
            given_back = [0, 0]  # what each has settled below its hold, and not yet written: the other cannot know
            for way, which, amount in ways:
                ledger = ledgers[which]
                held = sum(hold.nano_usd for _, hold in holds)
                if way == "reserve":
                    try:
                        holds.append((ledger, await ledger.reserve("owner", amount, WIDE)))
                        assert spent + held + amount <= 100_000
                    except BudgetExceeded:
                        unknown = given_back[1 - which]
                        assert spent + held + unknown + amount > 100_000 - 1_000, "another's room is a hundredth"
                elif way == "settle" and holds:
                    owner, hold = holds.pop(amount % len(holds))
                    cost = min(amount, hold.nano_usd)
                    owner.note("owner", Settled(hold, cost, router="groq"))
                    spent += cost
                    given_back[ledgers.index(owner)] += hold.nano_usd - cost
                elif way == "write":
                    await ledger.written()
                    given_back[which] = 0
                elif way == "advance":  # their writers had their turn by then
                    for each in ledgers:
                        await each.written()
                    given_back = [0, 0]
                    clock.advance(amount % 12)
                held = sum(hold.nano_usd for _, hold in holds)
                assert spent + held <= await told(kv) <= 100_000
            for ledger in ledgers:
                await ledger.close()
            await kv.close()

    asyncio.run(play())
