"""`result`, `jobs`, `cancel`: what became of the dispatched ones."""

from __future__ import annotations

import argparse
import time

from chomp_mcp.app import Chomp
from chomp_mcp.doors.cli.output import answer, clock, plain, remark, show_json, table
from chomp_mcp.doors.cli.status_line import StatusLine
from chomp_mcp.doors.cli.words import spoken
from chomp_mcp.doors.files import saved
from chomp_mcp.doors.views import command_job
from chomp_mcp.messages import OWNER, JobStatus, receipt_line
from chomp_mcp.settings import Settings

WAIT_SECONDS = 30.0
"""How long one look waits; a longer --wait is several looks."""

EXIT_CODES = {JobStatus.ERROR: 4, JobStatus.CANCELLED: 2}


async def result(args: argparse.Namespace) -> int:
    """Print the job's answer; exit code 4 when it failed, 2 when it was cancelled."""
    ends_at = time.monotonic() + args.wait
    async with Chomp(Settings.load()) as chomp:
        with StatusLine(lambda: f"waiting for {args.id}"):
            while True:
                left = max(0.0, ends_at - time.monotonic())
                job = await chomp.result(args.id, wait_seconds=min(left, WAIT_SECONDS))
                if job.status.is_final or left <= WAIT_SECONDS:
                    break
        job = await saved(chomp, job)
    if args.json:
        show_json(command_job(job))
    else:
        if job.text:
            answer(job.text if job.text.endswith("\n") else job.text + "\n")
        if job.status is JobStatus.ERROR:
            remark(f"chomp-mcp: {spoken(job.error)}")
        elif job.status is JobStatus.DONE and job.receipt:
            remark(receipt_line(job.receipt))
        elif job.status is JobStatus.CANCELLED:
            remark(f"chomp-mcp: {job.id} was cancelled.")
        else:
            remark(f"{job.id} is {job.status}. Wait for it with: chomp-mcp result {job.id} --wait 60")
    return EXIT_CODES.get(job.status, 0)


async def jobs(args: argparse.Namespace) -> None:
    """A table of the newest jobs."""
    async with Chomp(Settings.load()) as chomp:
        recent = await chomp.jobs.recent(OWNER, limit=args.limit)
    if args.json:
        show_json([command_job(job) for job in recent])
    elif recent:
        rows = [(j.id, j.status, clock(j.created_at), j.model, plain(j.prompt)[:60]) for j in recent]
        table(("ID", "STATUS", "CREATED", "MODEL", "PROMPT"), rows, droppable=("PROMPT", "CREATED"))
    else:
        remark('No jobs. Start one with: chomp-mcp dispatch "…"')


async def cancel(args: argparse.Namespace) -> None:
    """Cancel the job, wherever it runs."""
    async with Chomp(Settings.load()) as chomp:
        job = await chomp.jobs.cancel(OWNER, args.id)
    if args.json:
        show_json(command_job(job))
    else:
        print(f"{job.id} {job.status}")
