"""Stored jobs: who runs them, and what is told of those that nobody runs any more."""

from __future__ import annotations

import anyio
import pytest

from chomp_mcp.messages import OWNER, ChatRequest, JobStatus
from tests.gateway.conftest import Store
from tests.support.world import world

pytestmark = pytest.mark.anyio
ASKED = ChatRequest.from_prompt("hi", model="groq/m")


async def test_a_gateway_that_stops_says_so_in_its_jobs(home) -> None:
    async with world(home, "groq") as w:
        w.groq.hang(after=["partial"])
        job = await w.chomp.jobs.dispatch(OWNER, ASKED, prompt="hi")
        with anyio.fail_after(5):
            await w.groq.saw_request()
    async with world(home) as later:
        told = await later.chomp.jobs.result(OWNER, job.id)
    assert told.status is JobStatus.ERROR
    assert "stopped" in told.error


async def test_a_queued_job_is_run_once_by_whoever_takes_it_up(home, store: Store) -> None:
    async with world(home, "groq", **store) as w:
        job = await w.chomp.jobs.enqueue(OWNER, ASKED, prompt="hi")
        assert job.status is JobStatus.QUEUED
        with anyio.fail_after(5):
            done = await w.chomp.jobs.run_queued(OWNER, job.id)
            again = await w.chomp.jobs.run_queued(OWNER, job.id)
        assert (done.text, again.text) == ("hello", "hello")
        assert len(w.groq.chats) == 1
