"""Exchanges in the background: they outlive the call, and are never lost."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest

from chomp_mcp.errors import JobNotFound, NoRouterKey, Overloaded, RateLimited, UpstreamError
from chomp_mcp.messages import OWNER, Caller, ChatRequest, JobStatus
from tests.gateway.conftest import Store
from tests.support.world import world

pytestmark = pytest.mark.anyio
ASKED = ChatRequest.from_prompt("hi", model="groq/m")


async def test_ask_gives_the_answer_when_it_comes_in_time_and_stores_no_job(home, store: Store) -> None:
    async with world(home, "groq", **store) as w:
        job = await w.chomp.jobs.ask(OWNER, ASKED, prompt="hi", deadline_seconds=5)
        assert (job.status, job.text) == (JobStatus.DONE, "hello")
        assert job.receipt["served"] == "groq/m"
        assert await w.chomp.jobs.recent(OWNER) == []


async def test_ask_hands_over_a_running_job_at_the_deadline_with_the_text_so_far(home, store: Store) -> None:
    go_on = anyio.Event()
    async with world(home, "groq", **store) as w:
        w.groq.stream(["first ", go_on, "second"])
        with anyio.fail_after(5):
            job = await w.chomp.jobs.ask(OWNER, ASKED, prompt="hi", deadline_seconds=0.3)
            assert (job.status, job.text) == (JobStatus.RUNNING, "first ")
            go_on.set()
            done = await w.chomp.jobs.result(OWNER, job.id, 5)
        assert (done.status, done.text) == (JobStatus.DONE, "first second")
        assert len(w.groq.chats) == 1


async def test_dispatch_returns_at_once_and_the_result_waits(home, store: Store) -> None:
    go_on = anyio.Event()
    async with world(home, "groq", **store) as w:
        w.groq.answer("later", before=go_on)
        with anyio.fail_after(5):
            job = await w.chomp.jobs.dispatch(OWNER, ASKED, prompt="hi")
            assert not job.status.is_final
            assert (job.model, job.router) == ("groq/m", "groq")
            assert not (await w.chomp.jobs.result(OWNER, job.id)).status.is_final
            go_on.set()
            done = await w.chomp.jobs.result(OWNER, job.id, 5)
        assert (done.text, done.error) == ("later", "")


async def test_a_job_that_failed_says_why_and_what_was_tried(home, store: Store) -> None:
    async with world(home, "groq", **store) as w:
        w.groq.fail(400, {"error": {"message": "no such thing", "type": "invalid_request_error"}})
        job = await w.chomp.jobs.dispatch(OWNER, ASKED, prompt="hi")
        with anyio.fail_after(5):
            done = await w.chomp.jobs.result(OWNER, job.id, 5)
        assert done.status is JobStatus.ERROR
        assert "no such thing" in done.error
        assert done.receipt["attempts"][0]["status"] == 400


async def test_what_cannot_be_planned_is_no_job(home, store: Store) -> None:
    async with world(home, **store) as w:
        with pytest.raises(NoRouterKey):
            await w.chomp.jobs.dispatch(OWNER, ASKED, prompt="hi")
        with pytest.raises(NoRouterKey):
            await w.chomp.jobs.ask(OWNER, ASKED, prompt="hi", deadline_seconds=5)
        assert await w.chomp.jobs.recent(OWNER) == []


async def test_an_error_of_ask_is_raised_with_its_receipt(home, store: Store) -> None:
    async with world(home, "groq", **store) as w:
        w.groq.fail(503)
        with pytest.raises(UpstreamError) as caught:
            await w.chomp.jobs.ask(OWNER, ASKED, prompt="hi", deadline_seconds=5)
        assert len(caught.value.receipt.attempts) == 2


async def test_a_job_is_read_and_cancelled_by_another_process_on_the_same_home(home, store: Store) -> None:
    async with world(home, "groq", **store) as w, world(home, **store) as other:
        w.groq.hang(after=["partial"])
        job = await w.chomp.jobs.dispatch(OWNER, ASKED, prompt="hi")
        with anyio.fail_after(5):
            while (await other.chomp.jobs.result(OWNER, job.id)).text != "partial":
                await other.chomp.jobs.result(OWNER, job.id, 0.2)
            await other.chomp.jobs.cancel(OWNER, job.id)
            await w.groq.saw_disconnect()
            assert (await w.chomp.jobs.result(OWNER, job.id, 5)).status is JobStatus.CANCELLED


async def test_jobs_belong_to_their_caller(home, store: Store) -> None:
    async with world(home, "groq", **store) as w:
        job = await w.chomp.jobs.dispatch(OWNER, ASKED, prompt="hi")
        for stranger_asks in (w.chomp.jobs.result, w.chomp.jobs.cancel):
            with pytest.raises(JobNotFound):
                await stranger_asks(Caller("stranger"), job.id)
        with pytest.raises(JobNotFound):
            await w.chomp.jobs.result(OWNER, "../../etc/passwd")


async def test_a_job_that_was_deleted_with_its_caller_does_not_come_back(home, store: Store) -> None:
    async with world(home, "groq", **store) as w, world(home, **store) as other:
        w.groq.hang(after=["partial"])
        caller = Caller("somebody")
        await w.chomp.keyring._kv.put("user:somebody", {"keys": {"groq": "key-groq"}, "created": ""})
        await w.chomp.jobs.dispatch(caller, ASKED, prompt="hi")
        with anyio.fail_after(5):
            await w.groq.saw_request()
            await other.chomp.forget(caller)
            await w.groq.saw_disconnect()
        assert await other.chomp.jobs.recent(caller) == []


async def test_a_dispatch_over_the_rate_limit_is_refused_and_no_job(home, store: Store) -> None:
    async with world(home, "groq", **store, GATEWAY_RATE_RPS="0.01", GATEWAY_RATE_BURST="1") as w:
        hasty = Caller("owner", is_owner=True, limited=True)
        first = await w.chomp.jobs.dispatch(hasty, ASKED, prompt="hi")
        with pytest.raises(RateLimited):
            await w.chomp.jobs.dispatch(hasty, ASKED, prompt="hi")
        with anyio.fail_after(5):
            assert (await w.chomp.jobs.result(hasty, first.id, 5)).status is JobStatus.DONE
        assert len(await w.chomp.jobs.recent(hasty)) == 1


async def test_more_jobs_than_may_run_at_once_are_told_to_come_back(home: Path) -> None:
    async with world(home, "groq", CHOMP_MAX_REQUESTS="4", CHOMP_MAX_REQUEST_BYTES="100000") as w:
        w.groq.hang()
        other = Caller("f" * 64)
        await w.chomp.keyring._kv.put("user:" + other.id, {"keys": {"groq": "gsk_of_another_caller_0"}})
        for _ in range(2):
            await w.chomp.dispatch("hi", model="groq/m", caller=other)
        with pytest.raises(Overloaded, match="2 jobs are under way") as refused:
            await w.chomp.dispatch("hi", model="groq/m", caller=other)
        assert refused.value.retry_after == 1.0
        with pytest.raises(Overloaded, match="requests of that size"):
            await w.chomp.dispatch("x" * 100_000, model="groq/m")
        jobs = [await w.chomp.dispatch("hi", model="groq/m") for _ in range(2)]
        with pytest.raises(Overloaded, match="4 jobs are under way"):
            await w.chomp.dispatch("hi", model="groq/m")
        await w.chomp.jobs.cancel(OWNER, jobs[0].id)
        await w.chomp.dispatch("hi", model="groq/m")
