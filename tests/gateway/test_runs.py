"""Exchanges in the background of this process: their text so far, their end, what is stored."""

from __future__ import annotations

import os
import resource
import sqlite3
from pathlib import Path

import anyio
import pytest

from chomp_mcp.errors import StoreError
from chomp_mcp.gateway import runs
from chomp_mcp.messages import OWNER, ChatRequest, JobStatus
from tests.gateway.conftest import Store
from tests.support.world import world

pytestmark = pytest.mark.anyio
LONG = bool(os.environ.get("CHOMP_TEST_LONG"))
ASKED = ChatRequest.from_prompt("hi", model="groq/m")


async def test_ask_tells_how_far_it_is(home, store: Store) -> None:
    go_on = anyio.Event()
    told = []

    async def progress(characters: int) -> None:
        told.append(characters)
        go_on.set()

    async with world(home, "groq", **store) as w:
        w.groq.stream(["12345", go_on, "67890"])
        with anyio.fail_after(5):
            await w.chomp.jobs.ask(OWNER, ASKED, prompt="hi", deadline_seconds=5, on_progress=progress)
    assert told[0] == 5
    assert told == sorted(told)


async def test_a_cancelled_ask_stops_the_router(home, store: Store) -> None:
    async with world(home, "groq", **store) as w:
        w.groq.hang(after=["x"])
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lambda: w.chomp.jobs.ask(OWNER, ASKED, prompt="hi", deadline_seconds=30))
            with anyio.fail_after(5):
                await w.groq.saw_request()
                tasks.cancel_scope.cancel()
        with anyio.fail_after(5):
            await w.groq.saw_disconnect()


async def test_an_answer_is_not_lost_when_its_end_cannot_be_stored_at_once(home) -> None:
    go_on = anyio.Event()
    async with world(home, "groq") as w:
        w.groq.stream(["hello", go_on])
        job = await w.chomp.jobs.dispatch(OWNER, ASKED, prompt="hi")
        with anyio.fail_after(5):
            while (await w.chomp.jobs.result(OWNER, job.id)).text != "hello":
                await w.chomp.jobs.result(OWNER, job.id, 0.1)
        with sqlite3.connect(home / "state.db", isolation_level=None) as broken:
            broken.execute("ALTER TABLE kv RENAME TO elsewhere")
            go_on.set()
            with anyio.fail_after(5):
                while (told := await w.chomp.jobs.result(OWNER, job.id, 0.2)).status is JobStatus.RUNNING:
                    pass
            assert (told.status, told.text) == (JobStatus.DONE, "hello")
            broken.execute("ALTER TABLE elsewhere RENAME TO kv")
        broken.close()
        with anyio.fail_after(5):
            while (await w.chomp.jobs.recent(OWNER))[0].status is not JobStatus.DONE or w.chomp.jobs.counts()[
                "running"
            ]:
                await anyio.lowlevel.checkpoint()


@pytest.mark.parametrize("call", ["dispatch", "ask"])
async def test_a_run_that_cannot_be_stored_is_stopped_and_told(home, call: str) -> None:
    """Nobody could ever collect it, and so it must not go on spending."""
    async with world(home, "groq") as w:
        w.groq.hang(after=["partial"])
        await w.chomp.jobs.recent(OWNER)  # the store is open, and was whole
        with sqlite3.connect(home / "state.db", isolation_level=None) as broken:
            broken.execute("ALTER TABLE kv RENAME TO elsewhere")
            with anyio.fail_after(10), pytest.raises(StoreError):
                if call == "dispatch":
                    await w.chomp.jobs.dispatch(OWNER, ASKED, prompt="hi")
                else:
                    await w.chomp.jobs.ask(OWNER, ASKED, prompt="hi", deadline_seconds=0.3)
            broken.execute("ALTER TABLE elsewhere RENAME TO kv")
        broken.close()
        assert w.chomp.jobs.counts()["running"] == 0
        if w.groq.chats:
            with anyio.fail_after(5):
                await w.groq.saw_disconnect()
        assert await w.chomp.jobs.recent(OWNER) == []


async def test_a_long_answer_is_not_written_whole_at_every_telling(home: Path, monkeypatch) -> None:
    """`CHOMP_TEST_LONG=1` plays the longest that is taken."""
    monkeypatch.setattr(runs, "TELL_SECONDS", 0.01)
    pieces = 60 if LONG else 8
    async with world(home, "groq") as w:
        w.groq.stream(["x" * 1_000_000, 0.05] * pieces)
        await w.chomp.jobs.recent(OWNER)
        before, memory = written(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        job = await w.chomp.dispatch("hi", model="groq/m")
        done = await w.chomp.result(job.id, wait_seconds=40)
        size = pieces * 1_000_000
        assert len(done.text) == size
        log = (home / "state.db-wal").stat().st_size
        on_disk = size_of_files(home)
        more = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory
        told = f"{(written() - before) / size:.1f} times the text, log {log / size:.1f}, files {on_disk / size:.1f}"
        print(f"\n{pieces} MB of text: written {told}, {more // 1024} MiB more at the most")  # noqa: T201
        assert log < 4 * size
        assert on_disk < 4 * size
        assert written() - before < 4 * size


def size_of_files(home: Path) -> int:
    return sum(path.stat().st_size for path in home.rglob("*") if path.is_file())


def written() -> int:
    """Bytes that this process has written to files; 0 where nobody counts them. What sockets send is not in it."""
    counts = Path("/proc/self/io")
    told = dict(line.split(": ") for line in counts.read_text().splitlines()) if counts.exists() else {}
    return int(told.get("wchar", 0))
