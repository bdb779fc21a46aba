"""Jobs in a process of their own, which outlives the one that dispatched them."""

from __future__ import annotations

import asyncio
import platform
import re
import subprocess
import sys
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import fields
from hashlib import scrypt
from typing import TYPE_CHECKING, Any, Final

from chomp_mcp.errors import Overloaded, StoreError
from chomp_mcp.gateway import RUN_JOB
from chomp_mcp.store.processes import JobProcesses

if TYPE_CHECKING:
    from chomp_mcp.gateway.jobs import JobRunner, SaveTo
    from chomp_mcp.messages import Caller, ChatRequest, Job, Router
    from chomp_mcp.settings import Settings


MOST_JOBS: Final = 100
"""Of one process at a time: what they do is to wait for routers."""
MOST_WAITING: Final = 1000
"""In the queue."""
LOOK_SECONDS: Final = 0.5
"""How often such a process looks into the queue, and a server whether somebody still does."""
_READ_BY_JOBS = re.compile(
    r"(CHOMP|LLM|GATEWAY|CIRCUIT|OTEL|SSL|OLLAMA|CURSOR)_.*|.*(_KEY|_TOKEN|_URL)|HOME|XDG_.*|DBUS_.*|.*_proxy",
    re.IGNORECASE,
)
"""Variables that a job may go by; a shell's others change with every prompt."""


def queue_of(settings: Settings, routers: Mapping[str, Router]) -> str:
    """The name of the queue that the processes look into which would run a job as this one would.

    Two shells may hold two keys for one router, and config.toml may have changed since a process read it: a job goes
    only to a process of the same home, settings, program and machine.
    """
    variables = {router.key_variable for router in routers.values()}
    environment = settings.environment.items()
    read = sorted(pair for pair in environment if pair[0] in variables or _READ_BY_JOBS.fullmatch(pair[0]))
    chosen = [getattr(settings, field.name) for field in fields(settings) if field.name != "environment"]
    urls = [router.url for router in routers.values()]  # with what their variables say, whatever those are called
    read_by_jobs = repr((platform.node(), sys.executable, chosen, urls, read)).encode()
    # Keys are in it, and other users of the machine see the name in the list of processes: a guess has to cost them.
    return scrypt(read_by_jobs, salt=str(settings.home).encode(), n=1 << 13, r=8, p=1, dklen=8).hex()


class Launcher:
    """Has stored jobs run by processes of their own, a bounded number of them."""

    def __init__(self, jobs: JobRunner, processes: JobProcesses, queue: str) -> None:
        """`queue`: `queue_of` what this process runs on."""
        self._jobs = jobs
        self._queue = queue
        self._processes = processes
        self._children: list[subprocess.Popen[bytes]] = []
        self._waiting: dict[str, Job] = {}
        """In the queue, as far as we know, and lined up here."""
        self._looking: asyncio.Task[None] | None = None

    async def dispatch(
        self, caller: Caller, request: ChatRequest, *, prompt: str, system: str = "", save_to: SaveTo | None = None
    ) -> Job:
        """Store a job and have a process run it, which outlives this one: another replica, where there is one.

        Raises:
            ChompError: what `JobRunner.enqueue` raises.
            Overloaded: too many wait already.
            StoreError: the process could not be started; the job is cancelled then.
        """
        if await self._jobs.store.count_in_line(self._queue, MOST_WAITING) >= MOST_WAITING:
            why = f"{MOST_WAITING:,} jobs wait for their turn, and that is the most."
            raise Overloaded(why, hint="Dispatch it again when some have ended.", retry_after=5.0)
        job = await self._jobs.enqueue(caller, request, prompt=prompt, system=system, save_to=save_to)
        if await self._jobs.engine.has_runners():
            return job
        try:
            await self._line_up(job)
        except OSError as error:
            await self._jobs.cancel(caller, job.id)
            raise StoreError(f"The job's process could not be started: {error.strerror}.", hint="Try again.") from None
        return job

    async def leave(self, grace_seconds: float) -> None:
        """Let what runs here finish for a moment; then leave it to other processes."""
        for job in await self._jobs.hand_over(grace_seconds):
            await self._line_up(job)
        if self._looking:
            self._looking.cancel()

    async def _line_up(self, job: Job) -> None:
        # First into the queue: a process that leaves looks once more when its place is free.
        await self._jobs.store.line_up(self._queue, job.id)
        self._start()
        self._waiting[job.id] = job
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look())

    def _start(self) -> None:
        """One process more, where there is room; what finds none when it is up ends at once."""
        self._children = [child for child in self._children if child.poll() is None]
        if len(self._children) < self._processes.most and self._processes.has_room(self._queue):
            self._children.append(detached([RUN_JOB, self._queue]))

    async def _look(self) -> None:
        """Until nothing waits: another process, where those that looked into the queue were killed."""
        while self._waiting:
            await asyncio.sleep(LOOK_SECONDS)
            with suppress(StoreError):
                for job in list(self._waiting.values()):
                    stored = await self._jobs.store.get(job.caller, job.id)
                    if stored is None or stored.status != "queued":
                        del self._waiting[job.id]
            if self._waiting and all(child.poll() is not None for child in self._children):
                with suppress(OSError):
                    self._start()


async def run_all(
    jobs: JobRunner, processes: JobProcesses, queue: str, run: Callable[[str], Coroutine[Any, Any, None]]
) -> None:
    """Run all that waits in the queue, and what comes meanwhile, side by side, until nothing is left.

    Nothing happens where enough other processes do so already.
    """
    running: set[asyncio.Task[None]] = set()
    job_id = None
    while await processes.enter(queue):
        while True:
            if job_id is None and len(running) < MOST_JOBS:
                with suppress(StoreError):
                    job_id = await jobs.store.next_in_line(queue)
            if job_id is not None:
                running.add(asyncio.create_task(run(job_id)))
                job_id = None
            elif running:
                _, running = await asyncio.wait(running, timeout=LOOK_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            else:
                break
        processes.leave()
        # Whoever lined something up before this moment may have seen our place taken.
        if not await jobs.store.count_in_line(queue, 1):
            return


def detached(arguments: Sequence[str]) -> subprocess.Popen[bytes]:
    """Start `python -m chomp_mcp …` as a process of its own that outlives this one and its terminal (`OSError`)."""
    return subprocess.Popen(
        # -P keeps files of the working directory from shadowing modules.
        [sys.executable, "-P", "-m", "chomp_mcp", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        # Ctrl-C on the terminal, and its end, are for those that were started there.
        start_new_session=True,
        creationflags=getattr(subprocess, "DETACHED_PROCESS", 0) | getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
    )
