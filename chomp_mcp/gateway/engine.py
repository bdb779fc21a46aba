"""What runs stored jobs: this process alone, or any replica on the store (cluster.py); one small interface for both."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

from chomp_mcp.gateway.runs import Run, Runs
from chomp_mcp.messages import Caller, ChatRequest, Job, JobStatus, Plan
from chomp_mcp.policy.takeover import ASKED_AGAIN
from chomp_mcp.store.jobs import Jobs
from chomp_mcp.store.processes import JobProcesses, Processes

CLAIM_SECONDS = 60.0
"""A queued job that no process has taken up by then, and that stands in no queue of one, was lost on the way."""

DIED = "The process that ran this job ended before the answer did. Dispatch it again."
NEVER_STARTED = "No process took this job up. Dispatch it again."


class Engine(Protocol):
    """All raise `StoreError` where the store is away, and leave the job as it was."""

    is_shared: bool = False
    """Other processes run what this one leaves."""

    async def submit(self, caller: Caller, job: Job, request: ChatRequest, plan: Plan, door: str) -> Job:
        """Store a new job and have it run; the job as it is then."""

    async def enqueue(self, caller: Caller, job: Job, request: ChatRequest, door: str) -> Job:
        """Store a job that another process is to run."""

    async def adopt(self, run: Run, door: str) -> None:
        """Make a stored job of what runs here already."""

    async def claim(self, caller: Caller, job_id: str) -> Run | None:
        """Begin a job that waits; None where it does not, because it runs or has ended."""

    async def lost(self, job: Job) -> str:
        """Why nobody runs this unfinished job any more; empty: somebody does, or will."""

    async def hand_back(self) -> list[Job]:
        """Leave what runs here to other processes; those jobs that none of them will find by itself."""

    async def has_runners(self) -> bool:
        """Some process takes up by itself what is left to others."""
        return False

    def start(self) -> None:
        """Take up jobs of others from now on, where there are any."""

    async def stop(self) -> None:
        """Take up nothing more. What runs here, when the process closes, is `hand_back`'s where others may have it."""

    async def close(self) -> None: ...


@dataclass(eq=False)
class Embedded(Engine):
    """Jobs run in the process that accepted them, or in one of its own (detached.py), and end with it."""

    _runs: Runs
    _jobs: Jobs
    _processes: Processes
    _job_processes: JobProcesses
    _clock: Callable[[], float]

    async def submit(self, caller: Caller, job: Job, request: ChatRequest, plan: Plan, door: str) -> Job:
        run = self._runs.start(caller, job, request, door=door, plan=plan)
        await self._runs.store(run)
        return run.now()

    async def enqueue(self, caller: Caller, job: Job, request: ChatRequest, door: str) -> Job:  # noqa: ARG002
        job = replace(job, status=JobStatus.QUEUED, request=request.as_dict())
        await self._jobs.save(job)
        return job

    async def adopt(self, run: Run, door: str) -> None:  # noqa: ARG002
        await self._runs.store(run)

    async def claim(self, caller: Caller, job_id: str) -> Run | None:
        process = await self._processes.announce()
        request: ChatRequest | None = None

        def claim(job: Job) -> Job | None:
            nonlocal request
            # The store may call this again, when somebody else was faster: only its last word counts.
            is_free = job.status is JobStatus.QUEUED and job.request is not None
            request = ChatRequest.from_dict(job.request) if is_free and job.request else None
            return replace(job, status=JobStatus.RUNNING, process=process, request=None) if is_free else None

        job = await self._jobs.change(caller.id, job_id, claim)
        if job is None or request is None:
            return None
        run = self._runs.start(caller, job, request, door="cli")
        run.exchange.is_job = True
        self._runs.keep_told()
        return run

    async def lost(self, job: Job) -> str:
        if job.status is not JobStatus.QUEUED:
            return "" if await self._processes.is_alive(job.process) else DIED
        if self._clock() - max(job.created_at, job.queued_at) <= CLAIM_SECONDS:
            return ""
        queues = self._job_processes.looked_into()
        return "" if any([await self._jobs.is_in_line(queue, job.id) for queue in queues]) else NEVER_STARTED

    async def hand_back(self) -> list[Job]:
        """They begin again: as queued jobs, with what they ask in them."""

        def queued(job: Job, *, request: ChatRequest) -> Job | None:
            if job.status.is_final:
                return None
            now = self._clock()
            return replace(job, status=JobStatus.QUEUED, process="", text="", request=request.as_dict(), queued_at=now)

        left = []
        for run in await self._runs.give_up():
            request = replace(run.exchange.request, notes=(*run.exchange.request.notes, ASKED_AGAIN))
            job = await self._jobs.change(run.caller.id, run.job.id, partial(queued, request=request))
            if job is not None and job.status is JobStatus.QUEUED:
                left.append(job)
        return left

    def start(self) -> None:
        """There are no others."""

    async def stop(self) -> None:
        """What runs here is stopped with the process, and its jobs say so."""

    async def close(self) -> None:
        """It holds nothing open."""
