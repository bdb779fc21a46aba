"""`ask`, `dispatch`, and the hidden `run-job` that does a dispatched job's work."""

from __future__ import annotations

import argparse
import sys
from contextlib import suppress
from math import inf
from pathlib import Path

import anyio

from chomp_mcp.app import Chomp
from chomp_mcp.dialects.openai.collect import Folder
from chomp_mcp.doors.cli.output import answer, remark, show_json
from chomp_mcp.doors.files import Folders, folders_for, saved, target_for, with_files
from chomp_mcp.doors.views import job_head
from chomp_mcp.errors import InvalidRequest, JobNotFound
from chomp_mcp.gateway import detached
from chomp_mcp.messages import OWNER, ChatRequest, receipt_line
from chomp_mcp.settings import Settings

__all__ = ["ask", "dispatch", "run_job"]


def ask(args: argparse.Namespace) -> int:
    """Stream the answer to stdout and the receipt's line to stderr; with --json, one object with both."""
    return anyio.run(_saved if args.save_to else _whole if args.json else _streamed, args)


def dispatch(args: argparse.Namespace) -> int:
    """Store the job, start the process that runs it, print its id."""
    return anyio.run(_dispatch, args)


def run_job(args: argparse.Namespace) -> int:
    """Run one stored job to its end, in this process."""
    return anyio.run(_run_job, args.id, args.queue)


async def _request(chomp: Chomp, args: argparse.Namespace, prompt: str) -> ChatRequest:
    request = ChatRequest.from_prompt(prompt, model=args.model, router=args.router, system=args.system)
    return await with_files(chomp, OWNER, request, prompt, args.files, _folders(chomp)) if args.files else request


def _folders(chomp: Chomp) -> Folders:
    """Without CHOMP_FILES, any: whoever types a path has chosen it."""
    here = Path.cwd()
    return folders_for(chomp.settings.files or (here, Path(here.anchor)), (), "", chomp.settings.home)


def _prompt(args: argparse.Namespace) -> str:
    if args.prompt != ["-"]:
        return " ".join(args.prompt)
    try:
        return sys.stdin.buffer.read().decode("utf-8")
    except UnicodeDecodeError:
        raise InvalidRequest("stdin is not UTF-8 text.", hint="Convert it first.", param="prompt") from None


async def _streamed(args: argparse.Namespace) -> int:
    last, prompt = "\n", _prompt(args)
    async with Chomp(Settings.load()) as chomp:
        request = await _request(chomp, args, prompt)
        try:
            async with chomp.gateway.exchange(OWNER, request, door="cli") as reply:
                folder = Folder()
                async for batch in reply.batches():
                    if text := folder.add(batch):
                        answer(text)
                        last = text
                if rest := folder.rest():
                    answer(rest)
                    last = rest
        finally:
            if not last.endswith("\n"):
                answer("\n")
        remark(reply.receipt().line())
    return 0


async def _whole(args: argparse.Namespace) -> int:
    prompt = _prompt(args)
    async with Chomp(Settings.load()) as chomp:
        request = await _request(chomp, args, prompt)
        async with chomp.gateway.exchange(OWNER, request.with_stream(False), door="cli") as reply:
            completion = await reply.completion()
        show_json({"status": "done", "text": completion.text, "job_id": "", "receipt": reply.receipt().as_dict()})
    return 0


async def _saved(args: argparse.Namespace) -> int:
    """The answer goes into its file, and how it begins to stdout."""
    prompt = _prompt(args)
    async with Chomp(Settings.load()) as chomp:
        target = (await target_for(chomp, args.save_to, _folders(chomp))).as_json()
        request = await _request(chomp, args, prompt)
        job = await saved(
            chomp,
            await chomp.jobs.ask(
                OWNER, request, prompt=prompt, system=args.system, deadline_seconds=inf, door="cli", save_to=target
            ),
        )
    if args.json:
        show_json({"status": "done", "text": job.text, "job_id": "", "receipt": job.receipt})
    else:
        answer(f"{job.text}\n")
        remark(receipt_line(job.receipt) if job.receipt else "")
    return 0


async def _dispatch(args: argparse.Namespace) -> int:
    prompt = _prompt(args)
    async with Chomp(Settings.load()) as chomp:
        target = (await target_for(chomp, args.save_to, _folders(chomp))).as_json() if args.save_to else None
        request = await _request(chomp, args, prompt)
        job = await detached.Launcher(chomp.jobs).dispatch(
            OWNER, request, prompt=prompt, system=args.system, save_to=target
        )
    if args.json:
        show_json(job_head(job))
    else:
        print(job.id)
        remark(f"{job.model or 'the first model that answers'} · collect it with: chomp-mcp result {job.id} --wait 60")
    return 0


async def _run_job(first: str, queue: str) -> int:
    async with Chomp(Settings.load()) as chomp:

        async def run(job_id: str) -> None:
            with suppress(JobNotFound):  # deleted meanwhile
                await saved(chomp, await chomp.jobs.run_queued(OWNER, job_id))

        await detached.run_all(chomp.jobs, first, queue, run)
    return 0
