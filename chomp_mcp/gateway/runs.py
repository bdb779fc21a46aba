"""Exchanges in the background of this process: each one's text so far, its end, and what the store knows of it.

A run is owned by nobody's request. Once stored it tells its partial text once a second, so that any process on the
store can read it, and looks whether one of them has cancelled it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import anyio

from chomp_mcp import wire
from chomp_mcp.dialects.openai.collect import Folder
from chomp_mcp.errors import ChompError, StoreError
from chomp_mcp.gateway.pipeline import Exchange, Gateway
from chomp_mcp.gateway.reply import Reply
from chomp_mcp.messages import Caller, ChatRequest, Completion, Job, JobStatus, Plan, Receipt, ReceiptView
from chomp_mcp.policy import budget
from chomp_mcp.policy.takeover import STOPPED
from chomp_mcp.store.holds import Hold
from chomp_mcp.store.jobs import Jobs
from chomp_mcp.store.kv.finish import finished
from chomp_mcp.store.processes import Processes

TELL_SECONDS = 1.0
"""How often a stored job tells its partial text and looks whether it was cancelled."""
RENEW_SECONDS = 2.5
"""How often the process says that it is alive, while it has stored jobs; sooner where others wait less for it."""
MOST_TOLD = 256 * 1024
"""Characters: the partial text of a longer answer is told up to here, since each telling writes all of it anew."""

AGAIN_SECONDS = 0.5
"""The store did not take what must stand there before a router is called: how soon it is tried again."""

_log = logging.getLogger("chomp_mcp.jobs")

Progress = Callable[[int], Awaitable[None]]
"""Told how many characters of the answer are there."""


@dataclass(slots=True)
class Run:
    """An exchange in the background of this process."""

    caller: Caller
    job: Job
    exchange: Exchange
    size: int = 0
    """Bytes of its request."""
    task: asyncio.Task[None] | None = None
    parts: list[str] = field(default_factory=list)
    characters: int = 0
    served: str = ""
    """The route that answers."""
    error: ChompError | None = None
    stopping: str = STOPPED
    """Why it ends before its time, unless somebody cancels it: also where its event loop ends around it."""
    is_over: bool = False
    """It has ended, and its end is stored as far as it can be: before that, whoever waits must not go on."""
    is_to_begin_again: bool = False
    """The store was away before a router was called, and somebody sees to it that it is begun again."""
    moved: asyncio.Event = field(default_factory=asyncio.Event)
    """Set and replaced whenever text came in or the run ended."""

    @property
    def is_stored(self) -> bool:
        """Other processes know of it."""
        return self.exchange.is_job

    def add(self, text: str) -> None:
        if text:
            self.parts.append(text)
            self.characters += len(text)
            self.wake()

    def wake(self) -> None:
        self.moved.set()
        self.moved = asyncio.Event()

    def now(self, **ending: Any) -> Job:
        """The job as it stands, with the text so far, and with what its end adds to it."""
        if self.job.status.is_final:
            return replace(self.job, **ending) if ending else self.job
        ref = self.served or self.exchange.trying or self.job.model or self.exchange.planned
        return replace(self.job, text="".join(self.parts), model=ref, router=ref.partition("/")[0], **ending)

    async def watch(self, on_progress: Progress | None = None) -> None:
        """Until the run ends, telling how far it is."""
        reported = 0
        while not self.is_over:
            moved = self.moved  # taken before the look: what comes in between sets this one
            if on_progress and self.characters > reported:
                reported = self.characters
                await on_progress(reported)
            await moved.wait()


def size_of(request: ChatRequest) -> int:
    """Bytes of the request's body; 0 for one that is no JSON, and is refused for that."""
    try:
        return len(wire.dumps(request.body))
    except (TypeError, ValueError):
        return 0


class Runs:
    """Starts runs, ends them, and keeps the stored ones told."""

    def __init__(self, gateway: Gateway, jobs: Jobs, processes: Processes, *, clock: Callable[[], float]) -> None:
        self.by_id: dict[str, Run] = {}
        """Those that have not ended, or whose end could not be stored yet."""
        self._gateway = gateway
        self._jobs = jobs
        self._processes = processes
        self._clock = clock
        self._teller: asyncio.Task[None] | None = None
        self._renew_seconds = min(RENEW_SECONDS, processes.still_seconds / 4)
        self.are_begun_again = False
        """Somebody begins stored jobs again whose start the store has spoilt."""

    def of(self, caller: Caller) -> list[Run]:
        return [run for run in self.by_id.values() if run.caller.id == caller.id]

    def start(self, caller: Caller, job: Job, request: ChatRequest, *, door: str, plan: Plan | None = None) -> Run:
        """Begin the exchange, whose caller the rate limit has let in already."""
        exchange = self._gateway.exchange(caller, request, door=door, plan=plan, is_let_in=True)
        run = self.by_id[job.id] = Run(caller, job, exchange, size_of(request))
        exchange.before_asking = partial(self._note_asked, run)
        run.task = asyncio.create_task(self._exchange(run))
        return run

    async def store(self, run: Run) -> None:
        """Make a job of it that other processes know. What nobody could ever collect must not go on spending."""
        try:
            process = await self._processes.announce()
            run.job = replace(run.job, process=process)
            run.exchange.is_job = True
            await self._jobs.save(run.now())
            if run.is_over:  # it ended while it was being saved as running
                run.job = await self._write_end(run, run.job)
            self.keep_told()
        except BaseException:
            await self.cancel(run)
            raise

    def keep_told(self) -> None:
        """Have the stored runs told from now on."""
        if self._teller is None or self._teller.done():
            self._teller = asyncio.create_task(self._tell())

    async def _note_asked(self, run: Run, hold: Hold | None) -> None:
        """From here on a router may have been called: who finds the job without us must know, and the ledger too."""
        run.job = replace(run.job, asked={"likely_nano": hold.likely_nano if hold else 0})
        if not run.is_stored:
            return
        while True:
            job = run.now()
            with suppress(StoreError):
                await self._gateway.settlement.secure(hold)
                await self._jobs.change(job.caller, job.id, partial(_if_under_way, job=job))
                return
            await asyncio.sleep(AGAIN_SECONDS)

    async def cancel(self, run: Run, *, stopping: str = "") -> None:
        """Stop it and wait until it has settled. `stopping`: why, where nobody asked for it."""
        if run.task is None:
            return
        run.stopping = stopping
        run.task.cancel()
        # Who is cancelled meanwhile leaves no run behind that nobody has ended.
        with anyio.CancelScope(shield=True):
            await asyncio.wait([run.task])
            if not run.is_over:  # cancelled before its first step
                await self._finish(run, JobStatus.ERROR if run.stopping else JobStatus.CANCELLED, None, run.stopping)

    async def quiet(self, seconds: float, *, stored_only: bool = True) -> None:
        """Wait until the runs have ended, at most so long."""
        tasks = [run.task for run in self.by_id.values() if run.task and (run.is_stored or not stored_only)]
        if tasks and seconds:
            await asyncio.wait(tasks, timeout=seconds)

    async def give_up(self) -> list[Run]:
        """Stop the stored runs without ending their jobs, which others are to run from the beginning."""
        given_up = [run for run in self.by_id.values() if run.is_stored and not run.is_over]
        for run in given_up:
            run.exchange.is_job = False  # so that nothing is written of its end
            await self.cancel(run)
        return given_up

    async def close(self) -> None:
        """Stop what runs, and say so in the stored jobs."""
        for run in list(self.by_id.values()):
            await self.cancel(run, stopping=STOPPED)
        if self._teller:
            self._teller.cancel()
            with suppress(asyncio.CancelledError):
                await self._teller

    async def _exchange(self, run: Run) -> None:
        """The exchange itself; whatever happens to it ends up in the job."""
        folder = Folder()
        reply: Reply | None = None
        try:
            async with run.exchange as reply:
                run.served = reply.route.ref
                async for batch in reply.batches():
                    run.add(folder.add(batch))
                # In the store before it is settled: should this process die now, nobody asks for what is there already.
                # A large one is stored once, at its end, where nobody would ask again.
                if run.is_stored and (run.characters <= MOST_TOLD or self.are_begun_again):
                    completion, told = Completion(folder.body()), _told(reply.receipt(), run.job)
                    text, images = completion.text, completion.images
                    job = replace(run.now(), text=text, images=images, receipt=told, is_answered=True)
                    with suppress(StoreError):  # its end is written again and again
                        await finished(self._jobs.change(job.caller, job.id, partial(_if_under_way, job=job)))
        except ChompError as error:
            receipt = reply.receipt() if reply else getattr(error, "receipt", None)
            await self._finish(run, JobStatus.ERROR, receipt, str(error), error)
        except asyncio.CancelledError:
            receipt = run.exchange.receipt() if run.exchange.trying else None
            status = JobStatus.ERROR if run.stopping else JobStatus.CANCELLED
            with anyio.CancelScope(shield=True):
                await self._finish(run, status, receipt, run.stopping)
        except Exception:  # noqa: BLE001 - told in the job and in the log; a task has nobody to raise to
            _log.exception("an exchange in the background failed")
            failure = ChompError("The gateway made a mistake.", hint="Its log tells which.")
            await self._finish(run, JobStatus.ERROR, None, str(failure), failure)
        else:
            completion = Completion(folder.body())
            run.parts = [completion.text]
            run.job = replace(run.job, images=completion.images)
            await self._finish(run, JobStatus.DONE, reply.receipt(), "")

    async def _finish(
        self, run: Run, status: JobStatus, receipt: Receipt | None, error: str, cause: ChompError | None = None
    ) -> None:
        told = _told(receipt, run.job)
        ended = run.now(status=status, error=error, receipt=told, finished_at=self._clock(), request=None)
        is_spoilt = isinstance(cause, StoreError) and run.job.asked is None
        run.is_to_begin_again = self.are_begun_again and run.is_stored and is_spoilt

        async def end() -> None:
            """Nobody sees the end before it is stored, and its cost before that."""
            nonlocal ended
            try:
                if run.is_stored and not run.is_to_begin_again:
                    await self._gateway.settlement.written()
                    ended = await self._write_end(run, ended)
            except StoreError as trouble:
                # It stays among the runs, where `result` finds it, until the teller can write it.
                _log.error("the end of job %s could not be stored yet: %s", run.job.id, trouble)
            else:
                self.by_id.pop(run.job.id, None)
            run.job, run.error, run.is_over = ended, cause, True
            run.wake()

        # A process that closes cancels its runs: one that has its answer must still get it stored.
        await finished(end())

    async def _write_end(self, run: Run, ended: Job) -> Job:
        """Store how it ended. What somebody has cancelled meanwhile stays so; what was deleted stays away."""

        def change(stored: Job) -> Job | None:
            if stored.process != ended.process:
                return None  # another one has taken it over, which heard nothing of this one for too long
            if stored.status is not JobStatus.CANCELLED:
                return ended
            return replace(ended, status=stored.status, error="", finished_at=stored.finished_at)

        return await self._jobs.change(run.caller.id, run.job.id, change) or ended

    async def _tell(self) -> None:
        """Once a second: partial text out, cancellations in. Ends when nothing is left to tell."""
        renewed_at = self._clock()
        while any(run.is_stored for run in self.by_id.values()):
            await asyncio.sleep(min(TELL_SECONDS, self._renew_seconds))
            with suppress(StoreError):
                if self._clock() - renewed_at >= self._renew_seconds:
                    renewed_at = self._clock()
                    await self._processes.renew()
                for run in [run for run in self.by_id.values() if run.is_stored]:
                    await self._tell_one(run)

    async def _tell_one(self, run: Run) -> None:
        if run.is_over:
            run.job = await self._write_end(run, run.job)
            self.by_id.pop(run.job.id, None)
            return
        job = run.now()
        job = replace(job, text=job.text[:MOST_TOLD])

        def change(stored: Job) -> Job | None:
            if not _is_under_way(stored, job) or stored.is_answered:
                return None
            return job if len(job.text) > len(stored.text) or job.model != stored.model else None

        stored = await self._jobs.change(run.caller.id, run.job.id, change)
        if stored is None or stored.status is JobStatus.CANCELLED or stored.process != job.process:
            await self.cancel(run)


def _is_under_way(stored: Job, job: Job) -> bool:
    """It runs, and this start of it."""
    return stored.status is JobStatus.RUNNING and (stored.process, stored.starts) == (job.process, job.starts)


def _if_under_way(stored: Job, job: Job) -> Job | None:
    return job if _is_under_way(stored, job) else None


def _told(receipt: Receipt | None, job: Job) -> ReceiptView | None:
    """The receipt, with what was tried, noted and spent by the starts before this one."""
    if job.earlier is None:
        return receipt.as_dict() if receipt else None
    view = (receipt or Receipt(asked=job.model)).as_dict()
    nano = job.earlier["nano_usd"]
    view["attempts"] = [*job.earlier["attempts"], *view["attempts"]]
    view["notes"] = list(dict.fromkeys([*job.earlier["notes"], *view.get("notes", ())]))
    if receipt is None or receipt.cost_usd is not None:
        cost = budget.usd(nano) + (receipt.cost_usd if receipt and receipt.cost_usd is not None else 0)
        view["cost_usd"] = Receipt(asked="", cost_usd=cost).cost
    return view
