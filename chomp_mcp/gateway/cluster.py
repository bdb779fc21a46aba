"""Jobs that any replica on one Redis may run: docket delivers them, and again when a replica is gone.

docket (Redis Streams) carries nothing but the job's name. What is asked, how far it is and what came of it stand in the
job's record, where any replica reads it; what may be asked again is decided in policy/takeover.py.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

from chomp_mcp.errors import InvalidSetting, NewerRecord, StoreError
from chomp_mcp.gateway.engine import Engine
from chomp_mcp.gateway.runs import Run, Runs
from chomp_mcp.messages import OWNER, Caller, ChatRequest, Job, JobStatus, Plan
from chomp_mcp.policy.takeover import NOT_KEPT, failed, handed_back, taken_up
from chomp_mcp.store.jobs import Jobs
from chomp_mcp.store.kv.finish import finished
from chomp_mcp.store.processes import Processes

if TYPE_CHECKING:
    from chomp_mcp.gateway.docket_queue import Queue


_log = logging.getLogger("chomp_mcp.jobs")

LOOK_SECONDS: Final = 1.0
"""How often a replica looks after a job that another one runs, and tries again what the store refused; more often where
replicas are given up sooner."""
NEWER_SECONDS: Final = 30.0
"""A job of a newer version is left to others for so long before it is delivered again."""
WAITED_SECONDS: Final = 60.0
"""A job that waits longer is put into the queue again, where it is if nothing was lost."""


@dataclass(eq=False, repr=False)  # its URL may hold a password
class Cluster(Engine):
    """Jobs are accepted by any replica and run by any."""

    is_shared = True
    _url: str
    _runs: Runs
    _jobs: Jobs
    _processes: Processes
    _retries: int
    _runs_jobs: bool
    _clock: Callable[[], float]
    _opened: Queue | None = None
    _put_back_at: float = 0.0

    def __post_init__(self) -> None:
        if find_spec("docket") is None:
            why = "CHOMP_STORE names a Redis, and docket, which brings jobs to the processes on it, is not installed."
            raise InvalidSetting(why, hint="Run: pip install 'chomp-mcp[redis]'")
        self._runs.are_begun_again = True

    @property
    def _queue(self) -> Queue:
        if self._opened is None:
            from chomp_mcp.gateway.docket_queue import Queue

            self._opened = Queue(self._url, self._see_to, silence_seconds=self._processes.still_seconds)
        return self._opened

    async def submit(self, caller: Caller, job: Job, request: ChatRequest, plan: Plan, door: str) -> Job:  # noqa: ARG002
        """The plan may be another one by the time that somebody runs it: keys, prices and health are then's."""
        self.start()
        return await self.enqueue(caller, job, request, door)

    async def enqueue(self, caller: Caller, job: Job, request: ChatRequest, door: str) -> Job:
        job = replace(job, status=JobStatus.QUEUED)
        await self._keep_request(caller, job, request, door)
        await self._jobs.save(job)
        await self._queue.add(_name(job))
        return job

    async def adopt(self, run: Run, door: str) -> None:
        """It goes on here; in the queue it is for whoever is to see to it when this process is gone."""
        try:
            await self._keep_request(run.caller, run.job, run.exchange.request, door)
        except BaseException:
            await self._runs.cancel(run)
            raise
        await self._runs.store(run)
        try:
            await self._queue.add_later(_name(run.job), self._processes.still_seconds)
        except StoreError as error:
            _log.error("job %s will not be taken over if this process ends: %s", run.job.id, error)

    async def _keep_request(self, caller: Caller, job: Job, request: ChatRequest, door: str) -> None:
        await self._jobs.keep_request(job, {"request": request.as_dict(), "is_owner": caller.is_owner, "door": door})

    async def claim(self, caller: Caller, job_id: str) -> Run | None:
        job = await self._jobs.get(caller.id, job_id)
        return await self._taken(job) if job and job.status is JobStatus.QUEUED else None

    async def _taken(self, seen: Job) -> Run | None:
        """Take it up as it was seen; None where somebody else was faster, or nothing is left to do."""
        kept = await self._jobs.request_of(seen.caller, seen.id)
        process = await self._processes.announce()
        now = self._clock()
        if kept is None and seen.request is not None:  # as a version before this one left it
            kept = {"request": seen.request, "is_owner": seen.caller == OWNER.id, "door": "cli"}

        def take(job: Job) -> Job | None:
            if job.status.is_final or (job.status, job.process, job.starts) != (seen.status, seen.process, seen.starts):
                return None
            if kept is None and not job.is_answered:
                return failed(job, NOT_KEPT, now)
            return taken_up(job, process, self._retries, now)

        job = await self._jobs.change(seen.caller, seen.id, take)
        if job is None or job.status.is_final:
            await self._jobs.drop_request(seen.caller, seen.id)
            return None
        if kept is None or (job.process, job.starts) != (process, seen.starts + 1):
            return None
        caller = Caller(job.caller, is_owner=bool(kept["is_owner"]))
        run = self._runs.start(caller, job, ChatRequest.from_dict(kept["request"]), door=kept["door"])
        run.exchange.is_job = True
        self._runs.keep_told()
        return run

    async def _see_to(self, name: str) -> None:
        """A delivered job: run it here; one that another replica runs is looked at again, while that one lives."""
        # It raises nothing but its cancellation, after which the job is delivered again.
        caller_id, _, job_id = name.rpartition(":")
        while True:
            try:
                if await self._is_done(caller_id, job_id):
                    return
            except NewerRecord as error:
                _log.warning("%s", error)
                await self._queue.add_later(name, NEWER_SECONDS)
                return
            except StoreError:
                _log.warning("the store does not answer; job %s waits for it", job_id)
            await asyncio.sleep(min(LOOK_SECONDS, self._processes.still_seconds / 4))

    async def _is_done(self, caller_id: str, job_id: str) -> bool:
        """This delivery has come to its end."""
        run = self._runs.by_id.get(job_id)
        if run is None:
            job = await self._jobs.get(caller_id, job_id)
            if job is None or job.status.is_final:
                await self._jobs.drop_request(caller_id, job_id)
                return True
            is_ours = job.process == self._processes.id
            if job.status is JobStatus.RUNNING and not is_ours and await self._processes.is_alive(job.process):
                if not self._processes.was_seen_alive(job.process):
                    return False
                await self._queue.add_later(_name(job), self._processes.still_seconds)
                return True
            # To its end, whoever is cancelled meanwhile: a job that was taken up must run.
            run = await finished(self._taken(job))
        if run is None:
            return False
        await run.watch()
        if not run.job.status.is_final or run.is_to_begin_again or job_id in self._runs.by_id:
            return False
        await self._jobs.drop_request(caller_id, job_id)
        return True

    async def lost(self, job: Job) -> str:
        """Nothing is: whatever ended without an end is delivered again. What waits long may have lost its place."""
        now, since = self._clock(), max(job.created_at, job.queued_at)
        if job.status is JobStatus.QUEUED and now - since > WAITED_SECONDS and now - self._put_back_at > LOOK_SECONDS:
            self._put_back_at = now  # many may wait, and many may look
            with suppress(StoreError):
                await self._queue.add(_name(job))
        return ""

    async def hand_back(self) -> list[Job]:
        left = []
        for run in await self._runs.give_up():
            change = partial(handed_back, told=run.job, retries=self._retries, now=self._clock())
            job = await self._jobs.change(run.caller.id, run.job.id, change)
            if job is not None and job.status is JobStatus.QUEUED:
                await self._queue.add_again(_name(job))
                left.append(job)
        return [] if not left or await self.has_runners() else left

    async def has_runners(self) -> bool:
        try:
            return await self._queue.has_workers()
        except StoreError:
            return True  # they may be there, and find it when the store is

    def start(self) -> None:
        if self._runs_jobs:
            self._queue.start()

    async def stop(self) -> None:
        if self._opened is not None:
            await self._opened.stop()

    async def close(self) -> None:
        if self._opened is not None:
            await self._opened.close()


def _name(job: Job) -> str:
    return f"{job.caller}:{job.id}"
