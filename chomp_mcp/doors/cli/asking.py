"""`ask`, `chat` and `dispatch`."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from math import inf
from typing import Any

import anyio

from chomp_mcp.app import Chomp
from chomp_mcp.dialects.openai.collect import Folder
from chomp_mcp.doors.cli import exit_code
from chomp_mcp.doors.cli.markdown import MarkdownAnswer, PlainAnswer, is_wanted
from chomp_mcp.doors.cli.output import answer, remark, show_json
from chomp_mcp.doors.cli.prompting import folders_of, prompt_of, request_of, thread_of
from chomp_mcp.doors.cli.status_line import StatusLine
from chomp_mcp.doors.cli.words import error_json, error_line
from chomp_mcp.doors.files import saved, target_for
from chomp_mcp.doors.views import job_head
from chomp_mcp.errors import ChompError, StoreError
from chomp_mcp.gateway import detached
from chomp_mcp.messages import OWNER, ChatRequest, Completion, Job, receipt_line
from chomp_mcp.settings import Settings
from chomp_mcp.store.threads import Thread


def ask(args: argparse.Namespace) -> None:
    """Stream the answer to stdout and the receipt's line to stderr; with --json, one object with both."""
    # Stdin is read before there is an event loop: inside one, Ctrl-C would only be noted until the reading ends.
    prompt = prompt_of(args.prompt)

    async def asked() -> dict[str, Any]:
        """What is to be told when all is over: nothing where the answer was streamed."""
        async with Chomp(Settings.load()) as chomp:
            target = await target_for(chomp, args.save_to, folders_of(chomp)) if args.save_to else None
            thread = await thread_of(chomp, args)
            if target is None and args.json:
                return (await _at_once(chomp, args, prompt, thread))[0]
            if target is None:
                await _converse(chomp, args, prompt, thread)
                return {}
            request = await request_of(chomp, args, prompt, thread)
            with StatusLine(lambda: f"writing {args.save_to}"):
                answered = await chomp.jobs.ask(
                    OWNER, request, prompt=prompt, system=args.system, deadline_seconds=inf, door="cli", save_to=target
                )
            await _kept(chomp, request, answered.text, thread)
            job = await saved(chomp, answered)
            return {"status": "done", "text": job.text, "job_id": "", "receipt": job.receipt}

    told = anyio.run(asked)
    if args.json:
        show_json(told)
    elif told:  # the answer is in its file: how it begins, and the receipt
        answer(f"{told['text']}\n")
        remark(receipt_line(told["receipt"]) if told["receipt"] else "")


def dispatch(args: argparse.Namespace) -> None:
    """Store the job, start the process that runs it, print its id."""
    prompt = prompt_of(args.prompt)  # before there is an event loop, as above

    async def dispatched() -> Job:
        async with Chomp(Settings.load()) as chomp:
            target = await target_for(chomp, args.save_to, folders_of(chomp)) if args.save_to else None
            request = await request_of(chomp, args, prompt)
            queue = detached.queue_of(chomp.settings, chomp.routers)
            launcher = detached.Launcher(chomp.jobs, chomp.job_processes, queue)
            return await launcher.dispatch(OWNER, request, prompt=prompt, system=args.system, save_to=target)

    job = anyio.run(dispatched)
    if args.json:
        show_json(job_head(job))
    else:
        print(job.id)
        remark(f"{job.model or 'the first model that answers'} · collect it with: chomp-mcp result {job.id} --wait 60")


async def chat(args: argparse.Namespace) -> int:
    """Line after line is asked in one conversation, until Ctrl-D; at a prompt, and from a pipe."""
    # Ctrl-C ends an answer that is on its way, and at the prompt the conversation.
    is_typed = sys.stdin.isatty() and not args.json

    def next_line() -> str | None:
        try:
            if not is_typed:
                line = sys.stdin.readline()
                return line.rstrip("\r\n") if line else None
            with contextlib.suppress(ImportError):
                import readline  # noqa: F401 - from now on input() has a history and can be edited
            return input("> ")
        except EOFError:
            remark("")
            return None

    async with Chomp(Settings.load()) as chomp:
        thread = await thread_of(chomp, args)
        if is_typed:
            asked = sum(message.get("role") == "user" for message in thread.messages) if thread else 0
            goes_on = f"The conversation goes on after {asked} question{'s' * (asked != 1)}."
            remark(f"{goes_on if thread and thread.messages else 'A new conversation.'} End it with Ctrl-D.")
        code = 0
        while (prompt := await anyio.to_thread.run_sync(next_line, abandon_on_cancel=True)) is not None:
            if not prompt.strip():
                continue
            try:
                if args.json:  # what `ask --json` prints, on one line
                    told, thread = await _at_once(chomp, args, prompt, thread)
                    print(json.dumps(told, ensure_ascii=False), flush=True)
                else:
                    thread = await _converse(chomp, args, prompt, thread)
            except ChompError as error:
                code = exit_code(error)
                remark(error_json(error, code) if args.json else error_line(error))
            args.files = []  # they belong to the first question
    return code


async def _converse(chomp: Chomp, args: argparse.Namespace, prompt: str, thread: Thread | None) -> Thread:
    """Ask, stream the answer to stdout, tell the receipt; the conversation as it stands then, kept for `-c`."""
    shown = MarkdownAnswer() if is_wanted() and not args.raw else PlainAnswer()
    request = await request_of(chomp, args, prompt, thread)
    exchange = chomp.gateway.exchange(OWNER, request, door="cli")
    folder = Folder()
    with StatusLine(lambda: exchange.doing) as line:
        try:
            async with exchange as reply:
                async for batch in reply.batches():
                    if text := folder.add(batch):
                        line.clear()
                        shown.add(text)
                line.clear()
                shown.add(folder.rest())
        finally:
            line.clear()
            shown.close()
    remark(reply.receipt().line())
    return await _kept(chomp, request, Completion(folder.body()).text, thread)


async def _kept(chomp: Chomp, request: ChatRequest, text: str, thread: Thread | None) -> Thread:
    """The conversation with its newest answer, in the store. That it cannot be kept costs nobody the answer."""
    messages = [*request.body["messages"], {"role": "assistant", "content": text}]
    now = Thread(thread.name if thread else "", messages, request.model, request.router)
    try:
        await chomp.threads.save(OWNER.id, now)
    except StoreError as error:
        remark(f"chomp-mcp: the conversation cannot be continued: {error}")
    return now


async def _at_once(
    chomp: Chomp, args: argparse.Namespace, prompt: str, thread: Thread | None
) -> tuple[dict[str, Any], Thread]:
    """The whole answer with its receipt, as JSON, and the conversation as it stands then."""
    request = await request_of(chomp, args, prompt, thread)
    exchange = chomp.gateway.exchange(OWNER, request.with_stream(False), door="cli")
    with StatusLine(lambda: exchange.doing):
        async with exchange as reply:
            completion = await reply.completion()
    thread = await _kept(chomp, request, completion.text, thread)
    return {"status": "done", "text": completion.text, "job_id": "", "receipt": reply.receipt().as_dict()}, thread
