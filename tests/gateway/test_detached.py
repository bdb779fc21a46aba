"""Jobs in processes of their own: what such a process runs, and what is told where none can be started."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import anyio
import pytest

from chomp_mcp.errors import Overloaded, StoreError
from chomp_mcp.gateway import detached
from chomp_mcp.gateway.detached import Launcher, queue_of, run_all
from chomp_mcp.messages import OWNER, ChatRequest, JobStatus
from chomp_mcp.routers import catalog
from chomp_mcp.settings import Settings
from chomp_mcp.store.processes import JobProcesses
from tests.support.clock import Clock
from tests.support.world import world

pytestmark = pytest.mark.anyio
ASKED = ChatRequest.from_prompt("hi", model="groq/m")
QUEUE = "a-queue"


async def test_processes_run_all_that_waits_side_by_side_until_nothing_is_left(home: Path) -> None:
    async with world(home, "groq") as w:
        jobs, go_on = w.chomp.jobs, anyio.Event()
        w.groq.stream(["so far ", go_on, "and the rest"])
        waiting = [await jobs.enqueue(OWNER, ASKED, prompt="hi") for _ in range(3)]
        for job in waiting:
            await jobs.store.line_up(QUEUE, job.id)

        async def run(job_id: str) -> None:
            await jobs.run_queued(OWNER, job_id)

        def process() -> asyncio.Task[None]:
            return asyncio.create_task(run_all(jobs, JobProcesses(home / "job-processes"), QUEUE, run))

        with anyio.fail_after(20):
            first = process()
            await w.groq.saw_request(3)
            second, third = process(), process()
            # Two look into the queue already or soon: one of these ends, the other finds nothing.
            await asyncio.wait({second, third})
            go_on.set()
            await first
        for job in waiting:
            done = await jobs.result(OWNER, job.id)
            assert (done.status, done.text) == (JobStatus.DONE, "so far and the rest")
        assert len(w.groq.chats) == 3
        assert JobProcesses(home / "job-processes").looked_into() == set()


async def test_what_is_lined_up_when_the_last_process_leaves_is_run_by_it(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever lines it up sees the places taken, and starts nobody."""
    async with world(home, "groq") as w:
        jobs, processes = w.chomp.jobs, JobProcesses(home / "job-processes", most=1)
        w.groq.answer("late, and answered")
        late = await jobs.enqueue(OWNER, ASKED, prompt="hi")
        leave, rooms = processes.leave, []

        def leave_when_it_is_lined_up() -> None:
            if not rooms:
                rooms.append(JobProcesses(home / "job-processes", most=1).has_room(QUEUE))
                lined_up.set()
            leave()

        async def run(job_id: str) -> None:
            await jobs.run_queued(OWNER, job_id)

        lined_up = asyncio.Event()
        look = jobs.store.count_in_line

        async def line_up_before_the_last_look(queue: str, limit: int) -> int:
            if lined_up.is_set():
                lined_up.clear()
                await jobs.store.line_up(QUEUE, late.id)
            return await look(queue, limit)

        monkeypatch.setattr(processes, "leave", leave_when_it_is_lined_up)
        monkeypatch.setattr(jobs.store, "count_in_line", line_up_before_the_last_look)
        with anyio.fail_after(20):
            await run_all(jobs, processes, QUEUE, run)
        assert rooms == [False]
        assert (await jobs.result(OWNER, late.id)).text == "late, and answered"


async def test_a_job_that_waits_in_a_queue_of_a_living_process_is_not_lost_however_long_it_waits(home: Path) -> None:
    clock = Clock(time.time())
    async with world(home, "groq", clock=clock) as w:
        jobs, processes = w.chomp.jobs, JobProcesses(home / "job-processes")
        waits, stranded = [await jobs.enqueue(OWNER, ASKED, prompt="hi") for _ in range(2)]
        await jobs.store.line_up(QUEUE, waits.id)
        await jobs.store.line_up("nobodys", stranded.id)
        assert await processes.enter(QUEUE)
        clock.advance(3600)
        assert (await jobs.result(OWNER, waits.id)).status is JobStatus.QUEUED
        assert (await jobs.result(OWNER, stranded.id)).status is JobStatus.ERROR
        processes.leave()
        assert (await jobs.result(OWNER, waits.id)).status is JobStatus.ERROR


def test_a_job_goes_to_a_process_that_would_run_it_alike(home: Path) -> None:
    """Of the same keys, settings and rows; whatever else differs between two shells."""

    def queue(config: str = "", **environ: str) -> str:
        home.mkdir(exist_ok=True)
        (home / "config.toml").write_text(config, encoding="utf-8")
        settings = Settings.load({"CHOMP_HOME": str(home), "GROQ_API_KEY": "gsk_one", **environ})
        return queue_of(settings, catalog.load(settings))

    plain = queue()
    assert plain == queue(PWD="/elsewhere", SHLVL="3", TERM_SESSION_ID="7") == queue()
    row = '[routers.lab]\nurl = "https://{LAB_PLACE}/v1"\nkey = "LAB_SECRET"\n'
    others = [
        queue(GROQ_API_KEY="gsk_two"),
        queue(https_proxy="http://proxy"),
        queue(CHOMP_SECRETS="block"),
        queue(row),
        queue(row, LAB_SECRET="x"),
        queue(row, LAB_PLACE="a"),
    ]
    assert len({plain, *others}) == 1 + len(others)
    assert "gsk" not in plain


async def test_a_process_that_cannot_be_started_leaves_no_job_that_waits_for_ever(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.executable", str(tmp_path / "gone"))
    async with world(home, "groq") as w:
        with pytest.raises(StoreError, match="could not be started"):
            await Launcher(w.chomp.jobs, w.chomp.job_processes, QUEUE).dispatch(OWNER, ASKED, prompt="hi")
        assert [job.status for job in await w.chomp.jobs.recent(OWNER)] == [JobStatus.CANCELLED]


async def test_more_than_may_wait_is_told_to_come_back(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detached, "MOST_WAITING", 2)
    async with world(home, "groq") as w:
        launcher = Launcher(w.chomp.jobs, w.chomp.job_processes, QUEUE)
        waiting = [await w.chomp.jobs.enqueue(OWNER, ASKED, prompt="hi") for _ in range(2)]
        for job in waiting:
            await w.chomp.jobs.store.line_up(QUEUE, job.id)
        with pytest.raises(Overloaded) as refused:
            await launcher.dispatch(OWNER, ASKED, prompt="hi")
        assert refused.value.retry_after
        assert len(await w.chomp.jobs.recent(OWNER)) == 2
