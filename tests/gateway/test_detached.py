"""Jobs in processes of their own: what such a process runs, and what is told where none can be started."""

from __future__ import annotations

import asyncio
from pathlib import Path

import anyio
import pytest

from chomp_mcp.errors import Overloaded, StoreError
from chomp_mcp.gateway import detached
from chomp_mcp.gateway.detached import NO_JOB, Launcher, run_all
from chomp_mcp.messages import OWNER, ChatRequest, JobStatus
from tests.support.world import world

pytestmark = pytest.mark.anyio
ASKED = ChatRequest.from_prompt("hi", model="groq/m")
QUEUE = "a-queue"


async def test_a_process_runs_its_job_and_all_that_waits_side_by_side_until_nothing_is_left(home: Path) -> None:
    async with world(home, "groq") as w:
        jobs, go_on = w.chomp.jobs, anyio.Event()
        w.groq.stream(["so far ", go_on, "and the rest"])
        first, *waiting = [await jobs.enqueue(OWNER, ASKED, prompt="hi") for _ in range(3)]
        for job in waiting:
            await jobs.line_up(QUEUE, job)

        async def run(job_id: str) -> None:
            await jobs.run_queued(OWNER, job_id)

        with anyio.fail_after(20):
            process = asyncio.create_task(run_all(jobs, first.id, QUEUE, run))
            await w.groq.saw_request(3)
            go_on.set()
            await process
        for job in (first, *waiting):
            done = await jobs.result(OWNER, job.id)
            assert (done.status, done.text) == (JobStatus.DONE, "so far and the rest")
        with anyio.fail_after(5):
            await run_all(jobs, NO_JOB, QUEUE, run)
        assert len(w.groq.chats) == 3


async def test_a_process_that_cannot_be_started_leaves_no_job_that_waits_for_ever(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.executable", str(tmp_path / "gone"))
    async with world(home, "groq") as w:
        with pytest.raises(StoreError, match="could not be started"):
            await Launcher(w.chomp.jobs).dispatch(OWNER, ASKED, prompt="hi")
        assert [job.status for job in await w.chomp.jobs.recent(OWNER)] == [JobStatus.CANCELLED]


async def test_more_than_may_wait_is_told_to_come_back(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detached, "MOST_WAITING", 0)
    async with world(home, "groq") as w:
        with pytest.raises(Overloaded) as refused:
            await Launcher(w.chomp.jobs).dispatch(OWNER, ASKED, prompt="hi")
        assert refused.value.retry_after
        assert await w.chomp.jobs.recent(OWNER) == []
