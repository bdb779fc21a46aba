"""What other processes do with a Chomp: `python -m tests.behaviour.other_process ROLE …`.

The settings are in the environment. Each prints `ready`, waits for a line, plays its role and prints what came of it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

import anyio

from chomp_mcp.app import Chomp
from chomp_mcp.errors import BudgetExceeded
from chomp_mcp.messages import Caller
from tests.support.clock import Clock
from tests.support.commands import finished

ROOT = Path(__file__).parents[2]


def start(role: str, *arguments: object, env: Mapping[str, str]) -> subprocess.Popen[str]:
    """A process of that role, with these variables."""
    line = [sys.executable, "-m", "tests.behaviour.other_process", role, *map(str, arguments)]
    return subprocess.Popen(
        line, cwd=ROOT, env={**needed(), **env}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def command(arguments: Sequence[str], env: Mapping[str, str], *, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """The finished command `chomp-mcp …`."""
    return finished(*arguments, stdin=stdin, env={**needed(), **env})


def needed() -> dict[str, str]:
    """The variables that any program needs to run."""
    return {name: os.environ[name] for name in ("PATH", "HOME", "SYSTEMROOT") if name in os.environ}


def go(*processes: subprocess.Popen[str]) -> None:
    """Let them run, all at the same moment."""
    for process in processes:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin
        process.stdin.write("go\n")
        process.stdin.flush()


def ended(process: subprocess.Popen[str]) -> list[str]:
    """What it printed, once it has ended well."""
    printed = process.communicate(timeout=30)[0].split("\n")
    assert process.returncode == 0
    return [line for line in printed if line]


def kill(process: subprocess.Popen[str]) -> None:
    """As `kill -9` does."""
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=30)


def say(*words: object) -> None:
    print(*words, flush=True)  # noqa: T201 - the pipe to the test


async def ask_for_each(model: str, tokens: str, *callers: str) -> None:
    """One call for each caller, all at once; prints who was refused by their budget, and who was answered."""
    async with Chomp() as chomp, anyio.create_task_group() as tasks:

        async def ask(caller: str) -> None:
            try:
                await chomp.ask(
                    "hi", model=model, options={"max_tokens": int(tokens)}, caller=Caller(caller, is_owner=True)
                )
            except BudgetExceeded:
                say("refused", caller)
            else:
                say("answered", caller)

        for caller in callers:
            tasks.start_soon(ask, caller)


async def ask_at(model: str, *moments: str) -> None:
    """One call at each moment (ISO 8601, local time); prints the spend that the status tells, or the refusal's hint."""
    clock = Clock()
    async with Chomp(clock=clock) as chomp:
        for moment in moments:
            clock.now = datetime.fromisoformat(moment).timestamp()
            try:
                await chomp.ask("hi", model=model)
            except BudgetExceeded as error:
                say(error.hint)
            else:
                spend = (await chomp.status())["spend"]
                say(spend["today_usd"], spend["month_usd"])


ROLES = {role.__name__: role for role in (ask_for_each, ask_at)}


async def main(role: str, *arguments: str) -> None:
    say("ready")
    await anyio.to_thread.run_sync(sys.stdin.readline)
    await ROLES[role](*arguments)


if __name__ == "__main__":
    anyio.run(main, *sys.argv[1:])
