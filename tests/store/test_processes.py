# ruff: noqa: ASYNC240 - a test may wait for its disk
from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from chomp_mcp.errors import StoreError
from chomp_mcp.store.kv.protocol import Value
from chomp_mcp.store.kv.sqlite import Sqlite
from chomp_mcp.store.processes import LEASE_SECONDS, STILL_SECONDS, Processes
from tests.store.other_process import go, kill, start
from tests.support.clock import Clock

pytestmark = [pytest.mark.anyio, pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL")]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "home" / "processes"


@pytest.fixture
def here(sqlite: Sqlite, folder: Path, clock: Clock) -> Processes:
    return Processes(sqlite, folder, clock=clock)


@pytest.fixture
def elsewhere(sqlite: Sqlite, tmp_path: Path, clock: Clock) -> Processes:
    """Another machine: the same store, no common folder."""
    return Processes(sqlite, tmp_path / "other machine", clock=clock)


async def test_a_process_announces_itself_once_and_is_alive(here: Processes, elsewhere: Processes, folder: Path):
    own = await here.announce()

    assert await here.announce() == own
    assert await here.is_alive(own)
    assert await elsewhere.is_alive(own)
    assert len(list(folder.iterdir())) == 1


async def test_a_retired_process_is_gone_and_leaves_nothing(
    here: Processes, elsewhere: Processes, folder: Path, sqlite: Sqlite
):
    own = await here.announce()
    await here.retire()
    await here.retire()

    assert not await here.is_alive(own)
    assert not await elsewhere.is_alive(own)
    assert list(folder.iterdir()) == []
    assert await sqlite.list("process:") == []
    assert await here.announce() != own
    await here.retire()


@pytest.mark.parametrize("unknown", ["", "0123456789abcdef", "../../etc/passwd", "a/b", "*"])
async def test_a_process_that_nobody_announced_is_not_alive(here: Processes, unknown: str):
    assert not await here.is_alive(unknown)
    await here.announce()
    assert not await here.is_alive(unknown)


async def test_another_machine_trusts_the_lease_until_it_runs_out(here: Processes, elsewhere: Processes, clock: Clock):
    own = await here.announce()
    clock.advance(LEASE_SECONDS - 1)
    await here.renew()
    clock.advance(LEASE_SECONDS - 1)
    assert await elsewhere.is_alive(own)

    clock.advance(1)

    assert not await elsewhere.is_alive(own)
    assert await here.is_alive(own)


async def test_whoever_begins_something_after_an_idle_time_is_alive_elsewhere(
    here: Processes, elsewhere: Processes, clock: Clock
):
    await here.announce()
    clock.advance(LEASE_SECONDS * 10)

    assert await elsewhere.is_alive(await here.announce())


async def test_a_lock_says_more_than_a_lease_that_ran_out(here: Processes, sqlite: Sqlite, folder: Path, clock: Clock):
    own = await here.announce()
    clock.advance(LEASE_SECONDS * 10)

    assert await Processes(sqlite, folder, clock=clock).is_alive(own)


async def test_a_killed_process_is_noticed_at_once(tmp_path: Path, folder: Path, sqlite: Sqlite):
    here = Processes(sqlite, folder)
    process = start("live", f"sqlite:{tmp_path / 'home' / 'state.db'}", folder)
    go(process)
    other = process.stdout.readline().strip()
    assert await here.is_alive(other)

    kill(process)

    assert not await here.is_alive(other)
    assert not await here.is_alive(other)
    assert list(folder.iterdir()) == []


async def test_what_killed_processes_left_long_ago_is_removed(here: Processes, folder: Path, sqlite: Sqlite):
    other = Processes(sqlite, folder)
    held = await other.announce()
    for name in ("stale", "young"):
        (folder / f"{name}.lock").touch()
    for name in ("stale", held):
        os.utime(folder / f"{name}.lock", (0, 0))

    own = await here.announce()

    assert {path.stem for path in folder.iterdir()} == {held, "young", own}


@pytest.mark.parametrize("apart", [-30, 0, 30])
async def test_without_a_folder_a_process_lives_while_its_record_moves_whatever_its_clock_says(
    sqlite: Sqlite, clock: Clock, apart: float
):
    watch = Clock()
    one = Processes(sqlite, None, clock=lambda: clock() + apart)
    other = Processes(sqlite, None, clock=clock, monotonic=watch)
    own = await one.announce()
    assert await other.is_alive(own)

    for _ in range(3):
        clock.advance(STILL_SECONDS - 1)
        watch.advance(STILL_SECONDS - 1)
        await one.renew()
        assert await other.is_alive(own)

    watch.advance(STILL_SECONDS - 1)
    assert await other.is_alive(own)
    watch.advance(1)
    assert not await other.is_alive(own)

    await one.announce()
    assert await other.is_alive(own)
    watch.advance(STILL_SECONDS + 1)
    assert await other.is_alive(own), "nobody looked, which says nothing of it"
    watch.advance(STILL_SECONDS)
    assert not await other.is_alive(own)


class Away(Sqlite):
    """A store that is away now and then."""

    is_away = False

    async def get(self, key: str) -> Value | None:
        if self.is_away:
            raise StoreError("away")
        return await super().get(key)


async def test_without_a_folder_the_time_in_which_the_store_was_away_is_not_counted(tmp_path: Path, clock: Clock):
    watch, store = Clock(), Away(tmp_path / "state.db", clock=clock)
    one, other = Processes(store, None, clock=clock), Processes(store, None, clock=clock, monotonic=watch)
    own = await one.announce()
    assert await other.is_alive(own)
    watch.advance(STILL_SECONDS - 1)
    store.is_away = True
    with pytest.raises(StoreError):
        await other.is_alive(own)
    store.is_away = False
    watch.advance(1)
    assert await other.is_alive(own)
    watch.advance(STILL_SECONDS)
    assert not await other.is_alive(own)
    await store.close()


async def test_without_a_folder_a_record_that_the_store_has_lost_is_waited_for(sqlite: Sqlite, clock: Clock):
    watch = Clock()
    one, other = Processes(sqlite, None, clock=clock), Processes(sqlite, None, clock=clock, monotonic=watch)
    own = await one.announce()
    assert await other.is_alive(own)
    await sqlite.delete(f"process:{own}")
    watch.advance(STILL_SECONDS - 1)
    assert await other.is_alive(own)
    await one.renew()
    watch.advance(STILL_SECONDS - 1)
    assert await other.is_alive(own)
    await one.retire()
    await other.is_alive(own)
    watch.advance(STILL_SECONDS)
    assert not await other.is_alive(own)


async def test_a_folder_that_cannot_be_written_is_an_error_with_a_next_step(sqlite: Sqlite, tmp_path: Path):
    (tmp_path / "file").write_text("")
    processes = Processes(sqlite, tmp_path / "file" / "processes")

    with pytest.raises(StoreError, match="CHOMP_HOME"):
        await processes.announce()
    assert not await processes.is_alive("abc")
