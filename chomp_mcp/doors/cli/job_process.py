"""The hidden `run-job`: a process of its own that does the work of dispatched jobs."""

from __future__ import annotations

import argparse
import contextlib

from chomp_mcp.settings import Settings
from chomp_mcp.store.processes import JobProcesses


async def run_job(args: argparse.Namespace) -> None:
    """Run the stored jobs of a queue to their end."""
    settings = Settings.load()
    processes = JobProcesses.of(settings.home)
    # Whoever dispatches eight jobs at once starts eight: those that are too many end before anything large is loaded.
    if not await processes.enter(args.queue):
        return
    from chomp_mcp.app import Chomp
    from chomp_mcp.doors.files import saved
    from chomp_mcp.errors import JobNotFound
    from chomp_mcp.gateway.detached import run_all
    from chomp_mcp.messages import OWNER

    async with Chomp(settings) as chomp:

        async def run(job_id: str) -> None:
            with contextlib.suppress(JobNotFound):  # deleted meanwhile
                await saved(chomp, await chomp.jobs.run_queued(OWNER, job_id))

        await run_all(chomp.jobs, processes, args.queue, run)
