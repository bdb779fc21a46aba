"""Jobs in a process of their own, which outlives the one that dispatched them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from chomp_mcp.errors import StoreError

if TYPE_CHECKING:
    from chomp_mcp.gateway.jobs import JobRunner
    from chomp_mcp.messages import Caller, ChatRequest, Job

__all__ = ["RUN_JOB", "detached", "dispatch"]

RUN_JOB = "run-job"
"""The command line of such a process: `chomp-mcp run-job ID`; a person has no use for it."""


async def dispatch(
    jobs: JobRunner,
    caller: Caller,
    request: ChatRequest,
    *,
    prompt: str,
    system: str = "",
    save_to: Mapping[str, Any] | None = None,
) -> Job:
    """Store a job and start the process that runs it, which outlives this one.

    Raises:
        ChompError: what `JobRunner.enqueue` raises.
        StoreError: the process could not be started; the job is cancelled then.
    """
    job = await jobs.enqueue(caller, request, prompt=prompt, system=system, save_to=save_to)
    try:
        detached([RUN_JOB, job.id])
    except OSError as error:
        await jobs.cancel(caller, job.id)
        raise StoreError(f"The job's process could not be started: {error.strerror}.", hint="Try again.") from None
    return job


def detached(arguments: Sequence[str]) -> None:
    """Start `python -m chomp_mcp …` as a process of its own that outlives this one and its terminal.

    `-P` keeps files of the working directory from shadowing modules.

    Raises:
        OSError: the process could not be started.
    """
    subprocess.Popen(
        [sys.executable, "-P", "-m", "chomp_mcp", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        creationflags=getattr(subprocess, "DETACHED_PROCESS", 0) | getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
    )
