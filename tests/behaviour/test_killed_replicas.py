"""Replicas on one Redis that are killed at random: every job is done or truthfully told, and each answer billed once.

`CHOMP_TEST_JOBS=1000` makes it as long as one likes; without it a few jobs see one kill.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Self

import anyio
import httpx2
import pytest

from chomp_mcp.app import Chomp
from chomp_mcp.messages import OWNER, Job, JobStatus
from chomp_mcp.policy import budget
from chomp_mcp.settings import Settings
from chomp_mcp.store.holds import HOLD_SECONDS, SKEW_SECONDS
from chomp_mcp.store.ledger import Spend
from tests.support.scripted import Recorded, ScriptedRouter, Wire, chunk, sse
from tests.support.serving import process, url_of
from tests.support.world import environment

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL"),
    pytest.mark.timeout(3600),
]

JOBS = int(os.environ.get("CHOMP_TEST_JOBS", "0"))
IS_LONG = JOBS > 0
REPLICAS = 3 if IS_LONG else 2
SLOWEST_SECONDS = 4.0
FEW_JOBS = 8
"""Of the short form."""
COST_NANO = 123_457
"""Of an answer, as the router tells it."""
RNG = random.Random(os.environ.get("CHOMP_TEST_SEED", "7"))
UNSEEN = {"unknown", "hung_up"}
"""Outcomes of attempts whose answer nobody of us has."""


class Books:
    """What the router was asked, and what it has answered to its end: by the job's prompt."""

    def __init__(self) -> None:
        self.killed = anyio.Event()
        """In the short form, half of the answers end when a replica has died, and the others as soon as they can."""
        self.are_asked = anyio.Event()
        """In the short form: every job has reached the router, so that none is killed on its way there."""
        self.asked: Counter[str] = Counter()
        self.answers: defaultdict[str, list[str]] = defaultdict(list)

    async def play(self, request: Recorded, wire: Wire) -> None:
        prompt = request.json["messages"][-1]["content"]
        self.asked[prompt] += 1
        if len(self.asked) == FEW_JOBS:
            self.are_asked.set()
        text = f"answer {self.asked[prompt]} to {prompt}"
        await wire.head(200, {"content-type": "text/event-stream"})
        await wire.send(sse(chunk(text[:8], request.model)))
        if IS_LONG:
            await anyio.sleep(RNG.uniform(0.05, SLOWEST_SECONDS))
        elif prompt.endswith(("0", "2", "4", "6", "8")):
            await self.killed.wait()
        usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15, "cost": f"{COST_NANO}e-9"}
        await wire.send(sse(chunk(text[8:], request.model)))
        await wire.send(sse({**chunk(model=request.model, finish="stop"), "usage": usage}) + sse("[DONE]"))
        await wire.end()
        self.answers[prompt].append(text)


class Replicas:
    """Processes of the same gateway, any of which may die and be started again."""

    def __init__(self, home: Path, settings: dict[str, str]) -> None:
        self._home = home
        self._settings = settings
        self._stack = AsyncExitStack()
        self._processes: list[asyncio.subprocess.Process] = []
        self.urls: list[str] = []
        self.kills = 0

    async def __aenter__(self) -> Self:
        await self._stack.__aenter__()
        self._processes = [await self._start() for _ in range(REPLICAS)]
        self.urls = [await url_of(each) for each in self._processes]
        return self

    async def __aexit__(self, *error: object) -> None:
        """As an operator ends them."""
        for each in self._processes:
            if each.returncode is None:
                each.terminate()
        for each in self._processes:
            await each.wait()
        await self._stack.__aexit__(None, None, None)

    async def _start(self) -> asyncio.subprocess.Process:
        started = process(self._home, "--port", "0", **self._settings)
        return await self._stack.enter_async_context(started)

    async def kill_one(self) -> None:
        """And, in the long form, start another one in its place."""
        place = RNG.randrange(REPLICAS)
        self._processes[place].send_signal(signal.SIGKILL)
        self.kills += 1
        await self._processes[place].wait()
        if not IS_LONG:
            return
        self._processes[place] = fresh = await self._start()
        self.urls[place] = await url_of(fresh)


async def dispatched(replicas: Replicas, count: int) -> dict[str, str]:
    """Job id -> prompt, of the jobs that a replica has accepted; one that died before it said so may have, too."""
    prompts: dict[str, str] = {}
    async with httpx2.AsyncClient(timeout=10) as http:
        n = 0
        while len(prompts) < count:
            n += 1
            body = {"prompt": f"job {n}", "model": "openrouter/maker/m"}
            try:
                answer = await http.post(f"{RNG.choice(replicas.urls)}/api/dispatch", json=body)
            except httpx2.HTTPError:
                await anyio.sleep(0.05)
                continue
            if answer.status_code == 503:  # a machine that has too much to do
                await anyio.sleep(float(answer.headers["retry-after"]))
                continue
            assert answer.status_code == 200, answer.text
            prompts[answer.json()["id"]] = body["prompt"]
            if IS_LONG:
                await anyio.sleep(0.02)
    return prompts


async def all_ended(chomp: Chomp) -> list[Job]:
    while True:
        jobs = await chomp.jobs.recent(OWNER, limit=10 * JOBS + 100)
        if not (left := [job for job in jobs if not job.status.is_final]):
            return jobs
        await chomp.jobs.result(OWNER, left[0].id, 30)


async def killing(replicas: Replicas, until: anyio.Event) -> None:
    while not until.is_set():
        await anyio.sleep(RNG.uniform(1, 4))
        if not until.is_set():
            await replicas.kill_one()


async def test_every_job_is_done_or_told_and_each_answer_is_billed_once(home: Path, redis_url: str) -> None:
    """Processes have to die for it."""
    books = Books()
    async with AsyncExitStack() as stack:
        router = await stack.enter_async_context(ScriptedRouter())
        prices = {"prompt": "0.000001", "completion": "0.000002"}
        router.models([{"id": "maker/m", "pricing": prices}])
        router.on(path="/chat/completions").play(books.play)
        settings = environment(
            home,
            {"openrouter": router},
            CHOMP_STORE=redis_url,
            CHOMP_MASTER_KEY="m" * 32,
            CHOMP_JOB_TAKEOVER_SECONDS="4" if IS_LONG else "2",
            GATEWAY_RATE_RPS="0",
            LLM_DAILY_BUDGET_USD="1000",
        )
        looking = await stack.enter_async_context(Chomp(Settings.load(settings)))
        began = time.monotonic()
        async with Replicas(home, {**settings, "GATEWAY_PORT": "0"}) as replicas:
            enough = anyio.Event()
            with anyio.fail_after(3000):
                if IS_LONG:
                    async with anyio.create_task_group() as tasks:
                        tasks.start_soon(killing, replicas, enough)
                        prompts = await dispatched(replicas, JOBS)
                        await _mostly_ended(looking)
                        enough.set()
                else:
                    prompts = await dispatched(replicas, FEW_JOBS)
                    await books.are_asked.wait()
                    await replicas.kill_one()
                    books.killed.set()
                jobs = await all_ended(looking)
        seconds = time.monotonic() - began
        spend = await _booked(settings)

    by_id = {job.id: job for job in jobs}
    assert by_id.keys() >= prompts.keys(), "no accepted job is lost"
    told = Counter(word for job in jobs for word in _judged(job, books))
    exact = spend.calls - spend.estimated
    calls, answered = sum(books.asked.values()), sum(map(len, books.answers.values()))
    figures = {
        "jobs": len(jobs),
        "accepted": len(prompts),
        "kills": replicas.kills,
        "seconds": round(seconds, 1),
        **told,
        "calls at the router": calls,
        "answers at the router": answered,
        "booked exactly": exact,
        "booked as estimated": spend.estimated,
        "spent_usd": str(budget.usd(spend.day_nano)),
        "estimated_usd": str(budget.usd(spend.estimated_nano)),
    }
    print(json.dumps(figures))  # noqa: T201 - what a long run has shown
    assert spend.day_nano - spend.estimated_nano == exact * COST_NANO, "each at its price, to the nano-dollar"
    assert exact <= answered, "nothing is billed that was not answered"
    assert told["done"] <= spend.calls
    assert calls <= spend.calls, "nothing that was asked is unaccounted for"
    assert spend.calls - calls <= told["reserved, and not asked"] + replicas.kills, "and nothing counts twice"


def _judged(job: Job, books: Books) -> Iterator[str]:
    """What became of it, and that it says so."""
    attempts = job.receipt["attempts"] if job.receipt else []
    unseen = sum(attempt["outcome"] in UNSEEN for attempt in attempts)
    asked = books.asked[job.prompt]
    assert asked <= len(attempts), f"every call is an attempt that is told: {attempts}"
    yield from ["reserved, and not asked"] * (unseen + (job.status is JobStatus.DONE) - asked)
    if job.status is JobStatus.DONE:
        assert job.text in books.answers[job.prompt], "it is an answer that the router gave"
        assert unseen <= 1, "asked again once at most"
        yield "done"
        if unseen:
            yield "done, and told that it was asked before"
    else:
        assert "CHOMP_JOB_RETRIES" in job.error, job
        assert unseen == 2
        yield "told as failed"


async def _booked(settings: Mapping[str, str]) -> Spend:
    """When all that the dead had reserved is booked; that may be on the next day."""
    now = time.time()
    spent = []
    for at in (now, now + HOLD_SECONDS + 2 * SKEW_SECONDS):
        async with Chomp(Settings.load(settings), clock=lambda at=at: at) as chomp:
            spent.append(await chomp.ledger.spent(OWNER.id))
    first, last = spent
    if time.localtime(now).tm_yday == time.localtime(at).tm_yday:
        return last
    names = ("day_nano", "calls", "estimated", "estimated_nano")
    return Spend(**{name: getattr(first, name) + getattr(last, name) for name in names})


async def _mostly_ended(chomp: Chomp) -> None:
    """The kills go on until nine in ten have ended: a queue that is killed for ever ends never."""
    while True:
        jobs = await chomp.jobs.recent(OWNER, limit=10 * JOBS)
        left = [job for job in jobs if not job.status.is_final]
        if len(left) <= 0.1 * len(jobs):
            return
        await chomp.jobs.result(OWNER, left[0].id, 30)
