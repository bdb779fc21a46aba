"""How quick routes are: measured of late, shared by processes, and not fooled by a stall or by a clock."""

from __future__ import annotations

from pathlib import Path

import pytest

from chomp_mcp.gateway.inabilities import REMEMBERED_SECONDS, Inabilities
from chomp_mcp.gateway.speeds import KEPT_SECONDS, Speed, Speeds
from chomp_mcp.messages import Route, Router
from chomp_mcp.store.kv.protocol import Write
from chomp_mcp.store.kv.sqlite import Sqlite
from tests.support.clock import Clock

pytestmark = pytest.mark.anyio
ROUTE = Route(Router("groq", "Groq", "https://groq.test/v1"), "m")


async def one(speeds: Speeds, *, stream: bool = True) -> Speed:
    [speed] = await speeds.of([ROUTE], stream=stream)
    return speed


async def test_first_tokens_whole_answers_and_tokens_a_second_are_kept_apart(tmp_path: Path, clock: Clock) -> None:
    here, there = (Sqlite(tmp_path / "state.db", clock=clock) for _ in range(2))
    speeds = Speeds(here, clock=clock)
    await speeds.measured(ROUTE, 0.5, stream=True)
    await speeds.measured(ROUTE, 4.0, stream=False)
    await speeds.generated(ROUTE, 200, 2.0)
    await speeds.generated(ROUTE, 3, 1.0)  # too short to say anything
    other = Speeds(there, clock=clock)  # another process
    assert await one(other) == Speed(0.5, 0.5, 100.0)
    assert await one(other, stream=False) == Speed(4.0, 4.0, 100.0)
    await here.close()
    await there.close()


async def test_what_is_old_counts_less_and_then_not_at_all(tmp_path: Path, clock: Clock) -> None:
    store = Sqlite(tmp_path / "state.db", clock=clock)
    speeds = Speeds(store, clock=clock)
    await speeds.measured(ROUTE, 1.0, stream=True)
    await speeds.measured(ROUTE, 2.0, stream=True)
    assert (await one(speeds)).seconds == pytest.approx(4 / 3)  # the newest counts for a third at least
    clock.advance(900)
    await speeds.measured(ROUTE, 2.0, stream=True)
    assert (await one(speeds)).seconds == pytest.approx(5 / 3)  # and for half after a quarter of an hour
    clock.advance(KEPT_SECONDS)
    assert await one(speeds) == Speed()
    await store.close()


async def test_a_stall_is_not_what_is_usual(tmp_path: Path, clock: Clock) -> None:
    store = Sqlite(tmp_path / "state.db", clock=clock)
    speeds = Speeds(store, clock=clock)
    await speeds.measured(ROUTE, 0.1, stream=True)
    await speeds.measured(ROUTE, 60.0, stream=True, is_least=True)
    stalled = await one(speeds)
    assert stalled.seconds is not None
    assert stalled.seconds > 20
    assert stalled.usual_seconds == pytest.approx(0.1 + 0.2 / 3)
    # Called off before it was late: that says nothing of it.
    await speeds.measured(ROUTE, 0.01, stream=True, is_least=True)
    assert await one(speeds) == stalled
    await store.close()


async def test_a_route_that_only_ever_stalled_has_no_usual(tmp_path: Path, clock: Clock) -> None:
    store = Sqlite(tmp_path / "state.db", clock=clock)
    speeds = Speeds(store, clock=clock)
    await speeds.measured(ROUTE, 6.0, stream=True, is_least=True)
    assert await one(speeds) == Speed(6.0, None)
    await speeds.measured(ROUTE, 0.3, stream=True)
    assert (await one(speeds)).usual_seconds == 0.3
    await store.close()


@pytest.mark.parametrize("ahead", [3600.0, 10 * 365 * 86_400.0])
async def test_a_clock_that_was_wrong_is_not_believed(tmp_path: Path, clock: Clock, ahead: float) -> None:
    store = Sqlite(tmp_path / "state.db", clock=clock)
    record = {"stream": [0.1, clock() + ahead], "rate": [9.0, clock() + ahead]}
    unable = {"refs": {ROUTE.ref: {"tools": clock() + REMEMBERED_SECONDS + ahead}}}
    await store.update([f"speed:{ROUTE.ref}", "unable"], lambda _: [Write(record, 9e6), Write(unable, 9e6)])
    assert await one(Speeds(store, clock=clock)) == Speed()
    assert await Inabilities(store, clock=clock).known() == {}
    await store.close()


async def test_what_an_older_version_wrote_is_read(tmp_path: Path, clock: Clock) -> None:
    store = Sqlite(tmp_path / "state.db", clock=clock)
    await store.update([f"speed:{ROUTE.ref}"], lambda _: [Write({"stream": [0.4, clock()]}, 900.0)])
    assert await one(Speeds(store, clock=clock)) == Speed(0.4, 0.4)
    await store.close()
