"""Jobs in a process of their own, which outlives the one that dispatched them."""

from __future__ import annotations

import asyncio
import secrets
import subprocess
import sys
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from chomp_mcp.errors import Overloaded, StoreError
from chomp_mcp.gateway import RUN_JOB

if TYPE_CHECKING:
    from chomp_mcp.gateway.jobs import JobRunner
    from chomp_mcp.messages import Caller, ChatRequest, Job

__all__ = ["NO_JOB", "Launcher", "detached", "run_all"]

MOST_PROCESSES: Final = 4
"""Of one server. Each runs as many jobs as come, side by side: what they do is to wait for routers."""
MOST_WAITING: Final = 1000
"""In the queue of one server."""
LOOK_SECONDS: Final = 0.5
"""How often such a process looks into its server's queue, and the server whether somebody still does."""


class Launcher:
    """Starts the jobs of one server in processes of their own, a bounded number of them."""

    def __init__(self, jobs: JobRunner) -> None:
        self._jobs = jobs
        self._queue = secrets.token_hex(8)
        self._children: list[subprocess.Popen[bytes]] = []
        self._waiting: dict[str, Job] = {}
        """In the queue, as far as we know."""
        self._looking: asyncio.Task[None] | None = None

    async def dispatch(
        self,
        caller: Caller,
        request: ChatRequest,
        *,
        prompt: str,
        system: str = "",
        save_to: Mapping[str, Any] | None = None,
    ) -> Job:
        """Store a job and have a process run it, which outlives this one: another replica, where there is one.

        Raises:
            ChompError: what `JobRunner.enqueue` raises.
            Overloaded: too many wait already.
            StoreError: the process could not be started; the job is cancelled then.
        """
        if len(self._waiting) >= MOST_WAITING:
            raise Overloaded(
                f"{MOST_WAITING:,} jobs wait for their turn, and that is the most.",
                hint="Dispatch it again when some have ended.",
                retry_after=5.0,
            )
        job = await self._jobs.enqueue(caller, request, prompt=prompt, system=system, save_to=save_to)
        if await self._jobs.engine.has_runners():
            return job
        try:
            await self._start(job)
        except OSError as error:
            await self._jobs.cancel(caller, job.id)
            raise StoreError(f"The job's process could not be started: {error.strerror}.", hint="Try again.") from None
        return job

    async def leave(self, grace_seconds: float) -> None:
        """Let what runs here finish for a moment; then leave it, and all that waits, to other processes."""
        for job in await self._jobs.hand_over(grace_seconds):
            await self._start(job)
        if self._looking:
            self._looking.cancel()
        if self._waiting:  # whoever looks into the queue may end at this very moment
            detached([RUN_JOB, NO_JOB, self._queue])

    async def _start(self, job: Job) -> None:
        self._children = [child for child in self._children if child.poll() is None]
        if len(self._children) < MOST_PROCESSES:
            self._children.append(detached([RUN_JOB, job.id, self._queue]))
            return
        self._waiting[job.id] = job
        await self._jobs.line_up(self._queue, job)
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look())

    async def _look(self) -> None:
        """Until nothing waits: a process more wherever one has ended."""
        while self._waiting:
            await asyncio.sleep(LOOK_SECONDS)
            with suppress(StoreError):
                for job in list(self._waiting.values()):
                    if (await self._jobs.stored(job)).status != "queued":
                        del self._waiting[job.id]
            self._children = [child for child in self._children if child.poll() is None]
            if self._waiting and len(self._children) < MOST_PROCESSES:
                self._children.append(detached([RUN_JOB, NO_JOB, self._queue]))


NO_JOB: Final = "-"
"""In place of an ID: whatever waits in the queue."""


async def run_all(jobs: JobRunner, first: str, queue: str, run: Callable[[str], Coroutine[Any, Any, None]]) -> None:
    """Run `first`, and all that comes into the queue meanwhile, side by side, until nothing is left."""
    running: set[asyncio.Task[None]] = set()
    next_id = None if first == NO_JOB else first
    while True:
        if next_id is None and queue and len(running) < MOST_JOBS:
            with suppress(StoreError):
                next_id = await jobs.next_in_line(queue)
        if next_id is not None:
            running.add(asyncio.create_task(run(next_id)))
            next_id = None
        elif running:
            _, running = await asyncio.wait(running, timeout=LOOK_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        else:
            return


MOST_JOBS: Final = 100
"""Of one process at a time."""


def detached(arguments: Sequence[str]) -> subprocess.Popen[bytes]:
    """Start `python -m chomp_mcp …` as a process of its own that outlives this one and its terminal.

    `-P` keeps files of the working directory from shadowing modules.

    Raises:
        OSError: the process could not be started.
    """
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "chomp_mcp", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        creationflags=getattr(subprocess, "DETACHED_PROCESS", 0) | getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
    )
