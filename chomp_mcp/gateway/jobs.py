"""The same pipeline in the background: ask, dispatch, result, cancel.

`ask` waits for a run of this process and, at its deadline, makes a stored job of it; `dispatch` stores it at once. A
stored job is found again from any process on the store, and is told as failed when the process that ran it has died.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import anyio

from chomp_mcp.errors import InvalidRequest, JobNotFound, Overloaded, StoreError
from chomp_mcp.gateway.engine import Engine
from chomp_mcp.gateway.pipeline import Gateway
from chomp_mcp.gateway.runs import Progress, Run, Runs, size_of
from chomp_mcp.messages import Caller, ChatRequest, Job, JobStatus, Plan
from chomp_mcp.policy.secrets import quoted
from chomp_mcp.store.jobs import Jobs, new_id
from chomp_mcp.store.processes import Processes

MAX_WAIT_SECONDS = 45.0
"""The longest `result` waits: hosts end calls after about a minute."""
POLL_SECONDS = 0.2
"""How often a job of another process is looked at while somebody waits for it."""

SaveTo = Mapping[str, Any]
"""`Job.save_to`."""


@dataclass(frozen=True, slots=True)
class Room:
    """How much one process runs in the background at once: a job goes on when the request that began it has ended."""

    jobs: int
    of_caller: int
    """Of one who is not the owner."""
    bytes: int
    """Of their requests together; of one caller, half."""

    def check(self, caller: Caller, size: int, runs: Collection[Run]) -> None:
        """Raises: Overloaded, where another run of this size has no room."""
        theirs = [run for run in runs if run.caller.id == caller.id] if not caller.is_owner else []
        if len(runs) >= self.jobs or len(theirs) >= self.of_caller:
            raise _no_room(f"{len(theirs) or len(runs):,} jobs", "CHOMP_MAX_REQUESTS, CHOMP_MAX_CALLER_REQUESTS")
        is_too_much = sum(run.size for run in runs) + size > self.bytes
        if is_too_much or sum(run.size for run in theirs) + size * bool(theirs) > self.bytes // 2:
            raise _no_room("jobs with requests of that size", "CHOMP_MAX_REQUEST_BYTES")


def _no_room(what: str, setting: str) -> Overloaded:
    why = f"{what[:1].upper()}{what[1:]} are under way, and that is the most."
    return Overloaded(why, hint=f"Dispatch it again when one has ended; the limit is {setting}.", retry_after=1.0)


@dataclass(eq=False, slots=True)
class JobRunner:
    """Runs exchanges in the background and finds them again, in this process or in another."""

    _gateway: Gateway
    store: Jobs
    _processes: Processes
    _runs: Runs
    engine: Engine
    _room: Room
    _clock: Callable[[], float]
    _closing: bool = False

    async def ask(
        self,
        caller: Caller,
        request: ChatRequest,
        *,
        prompt: str,
        system: str = "",
        deadline_seconds: float,
        on_progress: Progress | None = None,
        door: str = "",
        save_to: SaveTo | None = None,
    ) -> Job:
        """The finished job; or, at the deadline, a stored one that goes on running, with its text so far.

        Cancelling the call cancels the exchange. Raises what the exchange raised.
        """
        await self._let_in(caller, request)
        run = self._runs.start(caller, self._new_job(caller, prompt, system, save_to), request, door=door)
        try:
            with anyio.move_on_after(deadline_seconds):
                await run.watch(on_progress)
        except BaseException:
            await self._runs.cancel(run)
            raise
        if not run.is_over:
            await self.engine.adopt(run, door)
        if run.error is not None:
            raise run.error
        return run.now()

    async def dispatch(
        self,
        caller: Caller,
        request: ChatRequest,
        *,
        prompt: str,
        system: str = "",
        door: str = "",
        save_to: SaveTo | None = None,
    ) -> Job:
        """Have it run, and return at once: the stored job, with the route that is tried first."""
        await self._let_in(caller, request)
        plan = await self._storable_plan(caller, request)
        job = self._new_job(caller, prompt, system, save_to, plan)
        return await self.engine.submit(caller, job, request, plan, door)

    async def enqueue(
        self, caller: Caller, request: ChatRequest, *, prompt: str, system: str = "", save_to: SaveTo | None = None
    ) -> Job:
        """Store a job of the command line for another process to run, which `run_queued` does there."""
        plan = await self._storable_plan(caller, request)
        return await self.engine.enqueue(caller, self._new_job(caller, prompt, system, save_to, plan), request, "cli")

    def start(self) -> None:
        """Take up the jobs that wait in a shared store, from now on; elsewhere none wait."""
        self.engine.start()

    async def run_queued(self, caller: Caller, job_id: str) -> Job:
        """Run a queued job to its end, here. Nothing happens if somebody has taken it up already."""
        run = await self.engine.claim(caller, job_id)
        if run is None:
            return _found(await self.store.get(caller.id, job_id), job_id)
        await run.watch()
        return run.job

    async def hand_over(self, grace_seconds: float) -> list[Job]:
        """Leave the stored jobs that this process has not finished by then to others, which must begin them again.

        Those come back that no other process will find by itself.
        """
        await self.engine.stop()
        await self._runs.quiet(grace_seconds)
        return await self.engine.hand_back()

    async def result(
        self, caller: Caller, job_id: str, wait_seconds: float = 0.0, *, on_progress: Progress | None = None
    ) -> Job:
        """The job as it stands, after up to `wait_seconds` for its end, telling how far it is (`JobNotFound`)."""
        if not wait_seconds >= 0:
            raise InvalidRequest("wait_seconds is below 0.", hint="Give 0 to 45 seconds.", param="wait_seconds")
        job, told = await self._look(caller, job_id), 0
        if wait_seconds == 0 or job.status.is_final:
            return job
        with anyio.move_on_after(min(wait_seconds, MAX_WAIT_SECONDS)):
            while not job.status.is_final:
                run = self._runs.by_id.get(job_id)
                if run is None:
                    if on_progress and len(job.text) > told:
                        told = len(job.text)
                        await on_progress(told)
                    await asyncio.sleep(POLL_SECONDS)
                else:  # not a look at every piece: each puts the whole text together
                    await run.watch(on_progress)
                job = await self._look(caller, job_id)
        return await self._look(caller, job_id)

    async def cancel(self, caller: Caller, job_id: str) -> Job:
        """Stop the job, wherever it runs; a finished one stays as it is."""
        run = self._runs.by_id.get(job_id)
        if run and run.caller.id == caller.id:
            await self._runs.cancel(run)
            return run.job
        now = self._clock()

        def change(job: Job) -> Job | None:
            if job.status.is_final:
                return None
            return replace(job, status=JobStatus.CANCELLED, finished_at=now, request=None)

        return _found(await self.store.change(caller.id, job_id, change), job_id)

    async def recent(self, caller: Caller, limit: int = 50) -> list[Job]:
        jobs = await self.store.recent(caller.id, limit)
        return [await self._as_it_stands(caller, job) for job in jobs]

    async def forget(self, caller: Caller) -> None:
        """Cancel and delete everything that is this caller's."""
        for run in self._runs.of(caller):
            await self._runs.cancel(run)
        await self.store.delete_all(caller.id)

    def counts(self) -> Mapping[str, int]:
        """Jobs that this process runs now, by state."""
        return {JobStatus.RUNNING.value: len(self._runs.by_id)}

    async def close(self, grace_seconds: float = 0.0) -> None:
        """Let what runs finish for a while; then leave it to others, or stop it and say so in the stored jobs."""
        self._closing = True
        await self.engine.stop()
        await self._runs.quiet(grace_seconds, stored_only=False)
        with suppress(StoreError):  # then they are found as those of a process that is gone
            if self.engine.is_shared:
                await self.engine.hand_back()
        await self._runs.close()
        await self.engine.close()
        with suppress(StoreError):  # the lock on its file tells the others as well
            await self._processes.retire()

    async def _let_in(self, caller: Caller, request: ChatRequest) -> None:
        """The refusals that a caller meets at once, and not in the job."""
        self._room.check(caller, size_of(request), self._runs.by_id.values())
        await self._gateway.admission.let_in(caller)
        if self._closing:
            raise Overloaded("The gateway is shutting down.", hint="Ask again in a moment.", retry_after=1.0)

    async def _storable_plan(self, caller: Caller, request: ChatRequest) -> Plan:
        """The plan of a request that is to be stored: what may not be sent to any route is refused before that."""
        plan = await self._gateway.plan(caller, request)
        guard = await self._gateway.guards.of(caller)
        if guard is not None:
            guard.check_for_all(plan.routes, request.body)
        return plan

    def _new_job(
        self, caller: Caller, prompt: str, system: str, save_to: SaveTo | None, plan: Plan | None = None
    ) -> Job:
        first = plan.routes[0] if plan else None
        return Job(
            id=new_id(self._clock()),
            caller=caller.id,
            prompt=prompt,
            system=system,
            model=first.ref if first else "",
            router=first.router.id if first else "",
            status=JobStatus.RUNNING,
            created_at=self._clock(),
            save_to=save_to,
        )

    async def _look(self, caller: Caller, job_id: str) -> Job:
        run = self._runs.by_id.get(job_id)
        if run and run.is_stored and run.caller.id == caller.id:
            return run.now()
        return await self._as_it_stands(caller, _found(await self.store.get(caller.id, job_id), job_id))

    async def _as_it_stands(self, caller: Caller, job: Job) -> Job:
        """A job that says it runs, but whose process has died, has failed: never lost, never run twice."""
        run = self._runs.by_id.get(job.id)
        if run:
            return run.now()
        reason = "" if job.status.is_final or job.error else await self.engine.lost(job)
        if not reason:
            return job
        now = self._clock()

        def change(stored: Job) -> Job | None:
            if stored.status is not job.status or stored.process != job.process:
                return None
            if stored.is_answered:
                return replace(stored, status=JobStatus.DONE, finished_at=now, request=None)
            return replace(stored, status=JobStatus.ERROR, error=reason, finished_at=now, request=None)

        return await self.store.change(caller.id, job.id, change) or job


def _found(job: Job | None, job_id: str) -> Job:
    if job is None:
        hint = "Ids come from dispatch or ask, belong to one caller, and last 24 hours after the end."
        raise JobNotFound(f"There is no job {quoted(job_id)}.", hint=hint, param="job_id")
    return job
