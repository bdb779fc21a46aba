from __future__ import annotations

from dataclasses import replace

import pytest

from chomp_mcp.messages import Job, JobStatus
from chomp_mcp.store.jobs import FINISHED_SECONDS, UNFINISHED_SECONDS, Jobs, new_id
from chomp_mcp.store.kv.protocol import KV
from tests.support.clock import NOON, Clock

pytestmark = pytest.mark.anyio

WRONG_IDS = [
    "",
    "job_",
    "job_1",
    "x",
    "job_" + "g" * 21,
    "job_" + "0" * 22,
    "job_" + "0" * 21 + "\n",
    "job_%",
    "../a",
    "é",
]


@pytest.fixture
def jobs(kv: KV, clock: Clock) -> Jobs:
    return Jobs(kv, clock=clock)


def job(caller: str = "owner", *, at: float = NOON, **fields) -> Job:
    return Job(
        **{
            "id": new_id(at),
            "caller": caller,
            "prompt": "Say hello.",
            "system": "",
            "model": "groq/auto",
            "router": "groq",
            "status": JobStatus.RUNNING,
            "created_at": at,
            **fields,
        }
    )


def test_ids_sort_by_time():
    ids = [new_id(now) for now in (0, 1, NOON, NOON + 0.001, NOON + 3600, 8e9)]

    assert sorted(ids) == ids
    assert {len(job_id) for job_id in ids} == {25}
    assert new_id(NOON) != new_id(NOON)


async def test_a_job_comes_back_as_it_was_saved(jobs: Jobs):
    saved = job(
        text="half an emoji \ud83d",
        receipt={"served": "groq/x", "attempts": []},
        request={"messages": [{"role": "user", "content": "hi"}]},
        process="abc",
        status=JobStatus.DONE,
        finished_at=NOON + 1.5,
    )
    await jobs.save(saved)

    assert await jobs.get("owner", saved.id) == saved


async def test_a_job_is_its_callers_alone(jobs: Jobs):
    mine = job("alice")
    await jobs.save(mine)

    assert await jobs.get("bob", mine.id) is None
    assert await jobs.recent("bob", 10) == []
    assert await jobs.change("bob", mine.id, lambda old: replace(old, text="stolen")) is None
    await jobs.delete_all("bob")
    assert await jobs.get("alice", mine.id) == mine


@pytest.mark.parametrize("wrong", WRONG_IDS)
async def test_an_id_of_a_wrong_shape_is_not_found(jobs: Jobs, wrong: str):
    await jobs.save(job())

    assert await jobs.get("owner", wrong) is None
    assert await jobs.change("owner", wrong, lambda old: replace(old, text="x")) is None


async def test_a_finished_job_stays_for_24_hours_and_an_unfinished_one_for_48(jobs: Jobs, clock: Clock):
    running, done = job(), job(status=JobStatus.DONE)
    await jobs.save(running)
    await jobs.save(done)

    clock.advance(FINISHED_SECONDS - 1)
    assert await jobs.get("owner", done.id) == done
    clock.advance(1)
    assert await jobs.get("owner", done.id) is None
    clock.advance(UNFINISHED_SECONDS - FINISHED_SECONDS - 1)
    assert await jobs.get("owner", running.id) == running
    clock.advance(1)
    assert await jobs.get("owner", running.id) is None


async def test_recent_jobs_come_newest_first(jobs: Jobs):
    saved = [job(at=NOON + n) for n in (3, 1, 2)]
    for each in saved:
        await jobs.save(each)

    assert [found.created_at - NOON for found in await jobs.recent("owner", 2)] == [3, 2]


async def test_a_change_returns_the_job_as_it_is_afterwards(jobs: Jobs):
    running = job()
    await jobs.save(running)

    cancelled = await jobs.change("owner", running.id, lambda old: replace(old, status=JobStatus.CANCELLED))
    left = await jobs.change("owner", running.id, lambda old: None if old.status.is_final else replace(old, text="no"))

    assert cancelled == left == await jobs.get("owner", running.id) == replace(running, status=JobStatus.CANCELLED)


async def test_a_change_of_a_job_that_is_gone_does_not_bring_it_back(jobs: Jobs):
    assert await jobs.change("owner", new_id(NOON), lambda old: replace(old, text="x")) is None
    assert await jobs.recent("owner", 5) == []


async def test_all_jobs_of_a_caller_can_be_forgotten(jobs: Jobs):
    for n in range(5):
        await jobs.save(job(at=NOON + n))
    kept = job("other")
    await jobs.save(kept)

    await jobs.delete_all("owner")

    assert await jobs.recent("owner", 5) == []
    assert await jobs.recent("other", 5) == [kept]


async def test_a_record_of_another_version_is_read(jobs: Jobs, kv: KV):
    saved = job()
    await jobs.save(saved)
    [entry] = await kv.list("job:")
    await kv.put(entry.key, {**{k: v for k, v in entry.value.items() if k != "process"}, "colour": "red"})

    assert await jobs.get("owner", saved.id) == saved
