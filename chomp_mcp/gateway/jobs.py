"""The same pipeline in the background: ask, dispatch, result, cancel.

Every exchange that may outlast its call runs as a task of this process, owned by nobody's request. `ask` waits for it
and, at its deadline, makes a stored job of it; `dispatch` stores it at once. A stored job tells its partial text once a
second, so that any process on the store can read it, and is told as failed when the process that ran it has died.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import anyio

from chomp_mcp.dialects.openai.collect import Folder
from chomp_mcp.errors import ChompError, InvalidRequest, JobNotFound, Overloaded, StoreError
from chomp_mcp.gateway.pipeline import Gateway
from chomp_mcp.gateway.reply import Reply
from chomp_mcp.messages import Caller, ChatRequest, Completion, Job, JobStatus, Receipt
from chomp_mcp.store.jobs import Jobs
from chomp_mcp.store.processes import Processes

__all__ = ["MAX_WAIT_SECONDS", "JobRunner", "Progress"]

MAX_WAIT_SECONDS = 45.0
"""The longest `result` waits: hosts end calls after about a minute."""
TELL_SECONDS = 1.0
"""How often a stored job tells its partial text and looks whether it was cancelled."""
POLL_SECONDS = 0.2
"""How often a job of another process is looked at while somebody waits for it."""
CLAIM_SECONDS = 60.0
"""A queued job that no process has taken up by then was lost on the way."""
RENEW_SECONDS = 5.0

_log = logging.getLogger("chomp_mcp.jobs")

Progress = Callable[[int], Awaitable[None]]
"""Told how many characters of the answer are there."""

DIED = "The process that ran this job ended before the answer did. Dispatch it again."
STOPPED = "The gateway was stopped before the answer was complete. Dispatch it again."
NEVER_STARTED = "No process took this job up. Dispatch it again."


@dataclass(slots=True)
class _Run:
    """An exchange in the background of this process."""

    caller: Caller
    job: Job
    request: ChatRequest
    is_stored: bool = False
    parts: list[str] = field(default_factory=list)
    characters: int = 0
    error: ChompError | None = None
    task: asyncio.Task[None] | None = None
    moved: asyncio.Event = field(default_factory=asyncio.Event)
    """Set and replaced whenever text came in or the run ended."""
    planned: Callable[[], str] = str
    """The route that is tried first, as long as none has answered."""
    served: str = ""
    """The route that answers."""
    stopping: str = ""
    """Why it is being cancelled, when nobody asked for it."""

    @property
    def text(self) -> str:
        return "".join(self.parts)

    def add(self, text: str) -> None:
        if text:
            self.parts.append(text)
            self.characters += len(text)
            self.wake()

    def is_over(self) -> bool:
        return self.job.status.is_final

    def wake(self) -> None:
        self.moved.set()
        self.moved = asyncio.Event()

    def now(self, **ending: Any) -> Job:
        """The job as it stands, with the text so far, and with what its end adds to it."""
        if self.job.status.is_final:
            return replace(self.job, **ending) if ending else self.job
        ref = self.served or self.job.model or self.planned()
        return replace(self.job, text=self.text, model=ref, router=ref.partition("/")[0], **ending)


class JobRunner:
    """Runs exchanges in the background and finds them again, in this process or in another."""

    def __init__(self, gateway: Gateway, jobs: Jobs, processes: Processes, *, clock: Callable[[], float]) -> None:
        self._gateway = gateway
        self._jobs = jobs
        self._processes = processes
        self._clock = clock
        self._runs: dict[str, _Run] = {}
        self._teller: asyncio.Task[None] | None = None
        self._closing = False

    # What the doors call

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
    ) -> Job:
        """The finished job; or, at the deadline, a stored one that goes on running, with its text so far.

        Cancelling the call cancels the exchange. Raises what the exchange raised.
        """
        run = self._begin(caller, request, prompt, system, door)
        try:
            with anyio.move_on_after(deadline_seconds):
                await self._watch(run, on_progress)
        except BaseException:
            await self._cancel(run)
            raise
        if not run.is_over():
            await self._store_or_stop(run)
        return self._outcome(run)

    async def dispatch(
        self, caller: Caller, request: ChatRequest, *, prompt: str, system: str = "", door: str = ""
    ) -> Job:
        """Start it and return at once: the stored job, with the route that is tried first."""
        plan = await self._gateway.plan(caller, request)
        run = self._begin(caller, request, prompt, system, door, ref=plan.routes[0].ref)
        await self._store_or_stop(run)
        return run.now()

    async def enqueue(self, caller: Caller, request: ChatRequest, *, prompt: str, system: str = "") -> Job:
        """Store a job for another process to run, which `run_queued` does there."""
        plan = await self._gateway.plan(caller, request)
        job = replace(
            self._new_job(caller, prompt, system, plan.routes[0].ref),
            status=JobStatus.QUEUED,
            request=_request_value(request),
        )
        await self._jobs.save(job)
        return job

    async def run_queued(self, caller: Caller, job_id: str) -> Job:
        """Run a queued job to its end, here. Nothing happens if somebody has taken it up already."""
        process = await self._processes.announce()
        claimed: list[Job] = []

        def claim(job: Job) -> Job | None:
            claimed.clear()
            if job.status is not JobStatus.QUEUED or job.request is None:
                return None
            claimed.append(job)
            return replace(job, status=JobStatus.RUNNING, process=process, request=None)

        job = await self._jobs.change(caller.id, job_id, claim)
        if job is None:
            raise _not_found(job_id)
        if not claimed or claimed[0].request is None:
            return job
        run = self._launch(_Run(caller, job, _request_from(claimed[0].request), is_stored=True), "cli")
        self._start_telling()
        await self._watch(run, None)
        return run.job

    async def result(self, caller: Caller, job_id: str, wait_seconds: float = 0.0) -> Job:
        """The job as it stands, after waiting up to `wait_seconds` for its end. `JobNotFound` if it is not theirs."""
        if not wait_seconds >= 0:
            raise InvalidRequest("wait_seconds is below 0.", hint="Give 0 to 45 seconds.", param="wait_seconds")
        job = await self._look(caller, job_id)
        if wait_seconds == 0 or job.status.is_final:
            return job
        with anyio.move_on_after(min(wait_seconds, MAX_WAIT_SECONDS)):
            while not job.status.is_final:
                await self._wait_for_news(job_id)
                job = await self._look(caller, job_id)
        return job

    async def cancel(self, caller: Caller, job_id: str) -> Job:
        """Stop the job, wherever it runs; a finished one stays as it is."""
        run = self._runs.get(job_id)
        if run and run.caller.id == caller.id:
            await self._cancel(run)
            return run.job
        now = self._clock()

        def change(job: Job) -> Job | None:
            if job.status.is_final:
                return None
            return replace(job, status=JobStatus.CANCELLED, finished_at=now, request=None)

        job = await self._jobs.change(caller.id, job_id, change)
        if job is None:
            raise _not_found(job_id)
        return job

    async def recent(self, caller: Caller, limit: int = 50) -> list[Job]:
        """The newest jobs first."""
        jobs = await self._jobs.recent(caller.id, limit)
        return [await self._as_it_stands(caller, job) for job in jobs]

    async def forget(self, caller: Caller) -> None:
        """Cancel and delete everything that is this caller's."""
        for run in [run for run in self._runs.values() if run.caller.id == caller.id]:
            await self._cancel(run)
        await self._jobs.delete_all(caller.id)

    def counts(self) -> Mapping[str, int]:
        """Jobs that this process runs now, by state."""
        return {JobStatus.RUNNING.value: len(self._runs)}

    async def close(self, grace_seconds: float = 0.0) -> None:
        """Let what runs finish for a while; then stop it, and say so in the stored jobs."""
        self._closing = True
        tasks = [run.task for run in self._runs.values() if run.task]
        if tasks and grace_seconds:
            await asyncio.wait(tasks, timeout=grace_seconds)
        for run in list(self._runs.values()):
            run.stopping = STOPPED
            await self._cancel(run)
        if self._teller:
            self._teller.cancel()
            with suppress(asyncio.CancelledError):
                await self._teller
        with suppress(StoreError):  # the lock on its file tells the others as well
            await self._processes.retire()

    # One run

    def _begin(self, caller: Caller, request: ChatRequest, prompt: str, system: str, door: str, ref: str = "") -> _Run:
        self._gateway.admission.check_rate(caller)
        if self._closing:
            raise Overloaded("The gateway is shutting down.", hint="Ask again in a moment.", retry_after=1.0)
        job = self._new_job(caller, prompt, system, ref)
        return self._launch(_Run(caller, job, request), door)

    def _new_job(self, caller: Caller, prompt: str, system: str, ref: str) -> Job:
        return Job(
            id=self._jobs.new_id(),
            caller=caller.id,
            prompt=prompt,
            system=system,
            model=ref,
            router=ref.partition("/")[0],
            status=JobStatus.RUNNING,
            created_at=self._clock(),
        )

    def _launch(self, run: _Run, door: str) -> _Run:
        self._runs[run.job.id] = run
        run.task = asyncio.create_task(self._exchange(run, door))
        return run

    async def _exchange(self, run: _Run, door: str) -> None:
        """The exchange itself; whatever happens to it ends up in the job."""
        folder = Folder()
        reply: Reply | None = None
        try:
            exchange = self._gateway.exchange(run.caller, run.request, door=door, is_job=lambda: run.is_stored)
            run.planned = lambda: exchange.planned
            async with exchange as reply:
                run.served = reply.route.ref
                async for batch in reply.batches():
                    run.add(folder.add(batch))
        except ChompError as error:
            receipt = reply.receipt() if reply else getattr(error, "receipt", None)
            await self._finish(run, JobStatus.ERROR, receipt, str(error), error)
        except asyncio.CancelledError:
            receipt = reply.receipt() if reply else None
            status = JobStatus.ERROR if run.stopping else JobStatus.CANCELLED
            with anyio.CancelScope(shield=True):
                await self._finish(run, status, receipt, run.stopping)
        except Exception:  # noqa: BLE001 - told in the job and in the log; a task has nobody to raise to
            _log.exception("an exchange in the background failed")
            failure = ChompError("The gateway made a mistake.", hint="Its log tells which.")
            await self._finish(run, JobStatus.ERROR, None, str(failure), failure)
        else:
            text = Completion(folder.body()).text
            run.parts = [text]
            await self._finish(run, JobStatus.DONE, reply.receipt(), "")

    async def _finish(
        self, run: _Run, status: JobStatus, receipt: Receipt | None, error: str, cause: ChompError | None = None
    ) -> None:
        run.error = cause
        run.job = run.now(
            status=status,
            error=error,
            receipt=receipt.as_dict() if receipt else None,
            finished_at=self._clock(),
            request=None,
        )
        try:
            if run.is_stored:
                await self._write_end(run)
        except StoreError:
            # It stays among the runs, where `result` finds it, until the teller can write it.
            _log.exception("the end of job %s could not be stored yet", run.job.id)
        else:
            self._runs.pop(run.job.id, None)
        run.wake()

    async def _write_end(self, run: _Run) -> None:
        """Store how it ended. What somebody has cancelled meanwhile stays so; what was deleted stays away."""

        def change(stored: Job) -> Job | None:
            if stored.status is not JobStatus.CANCELLED:
                return run.job
            return replace(run.job, status=stored.status, error="", finished_at=stored.finished_at)

        stored = await self._jobs.change(run.caller.id, run.job.id, change)
        if stored is not None:
            run.job = stored

    async def _cancel(self, run: _Run) -> None:
        """Stop it and wait until it has settled."""
        if run.task is None:
            return
        run.task.cancel()
        with anyio.CancelScope(shield=True):
            await asyncio.wait([run.task])
            if not run.is_over():  # cancelled before its first step
                await self._finish(run, JobStatus.ERROR if run.stopping else JobStatus.CANCELLED, None, run.stopping)

    async def _watch(self, run: _Run, on_progress: Progress | None) -> None:
        """Until the run ends, telling how far it is."""
        told = 0
        while not run.is_over():
            moved = run.moved
            if on_progress and run.characters > told:
                told = run.characters
                await on_progress(told)
            await moved.wait()

    def _outcome(self, run: _Run) -> Job:
        """The job as it stands, or what the exchange raised."""
        if run.error is not None:
            raise run.error
        return run.now()

    # Stored jobs

    async def _store_or_stop(self, run: _Run) -> None:
        """A run that nobody could ever collect must not go on spending."""
        try:
            await self._store(run)
        except BaseException:
            await self._cancel(run)
            raise

    async def _store(self, run: _Run) -> None:
        """From now on other processes know of it."""
        process = await self._processes.announce()
        run.job = replace(run.job, process=process)
        run.is_stored = True
        await self._jobs.save(run.now())
        if run.is_over():
            await self._write_end(run)
        self._start_telling()

    def _start_telling(self) -> None:
        if self._teller is None or self._teller.done():
            self._teller = asyncio.create_task(self._tell())

    async def _tell(self) -> None:
        """Once a second: partial text out, cancellations in. Ends when nothing is left to tell."""
        renewed_at = self._clock()
        while any(run.is_stored for run in self._runs.values()):
            await asyncio.sleep(TELL_SECONDS)
            with suppress(StoreError):
                if self._clock() - renewed_at >= RENEW_SECONDS:
                    renewed_at = self._clock()
                    await self._processes.renew()
                for run in [run for run in self._runs.values() if run.is_stored]:
                    await self._tell_one(run)

    async def _tell_one(self, run: _Run) -> None:
        if run.is_over():
            await self._write_end(run)
            self._runs.pop(run.job.id, None)
            return
        job = run.now()

        def change(stored: Job) -> Job | None:
            if stored.status.is_final:
                return None
            return job if len(job.text) > len(stored.text) or job.model != stored.model else None

        stored = await self._jobs.change(run.caller.id, run.job.id, change)
        if stored is None or stored.status is JobStatus.CANCELLED:
            await self._cancel(run)

    async def _look(self, caller: Caller, job_id: str) -> Job:
        run = self._runs.get(job_id)
        if run and run.is_stored and run.caller.id == caller.id:
            return run.now()
        job = await self._jobs.get(caller.id, job_id)
        if job is None:
            raise _not_found(job_id)
        return await self._as_it_stands(caller, job)

    async def _wait_for_news(self, job_id: str) -> None:
        run = self._runs.get(job_id)
        if run:
            await run.moved.wait()
        else:
            await asyncio.sleep(POLL_SECONDS)

    async def _as_it_stands(self, caller: Caller, job: Job) -> Job:
        """A job that says it runs, but whose process has died, has failed: never lost, never run twice."""
        if job.status.is_final or job.id in self._runs:
            return self._runs[job.id].now() if job.id in self._runs else job
        reason = await self._lost(job)
        if not reason:
            return job
        now = self._clock()

        def change(stored: Job) -> Job | None:
            if stored.status is not job.status or stored.process != job.process:
                return None
            return replace(stored, status=JobStatus.ERROR, error=reason, finished_at=now, request=None)

        return await self._jobs.change(caller.id, job.id, change) or job

    async def _lost(self, job: Job) -> str:
        if job.status is JobStatus.QUEUED:
            return NEVER_STARTED if self._clock() - job.created_at > CLAIM_SECONDS else ""
        return "" if await self._processes.is_alive(job.process) else DIED


def _not_found(job_id: str) -> JobNotFound:
    return JobNotFound(
        f"There is no job {job_id[:64]!r}.",
        hint="Ids come from dispatch or ask, belong to one caller, and last 24 hours after the end.",
        param="job_id",
    )


def _request_value(request: ChatRequest) -> dict[str, Any]:
    return {**asdict(request), "body": dict(request.body)}


def _request_from(value: Mapping[str, Any]) -> ChatRequest:
    return ChatRequest(**value)
