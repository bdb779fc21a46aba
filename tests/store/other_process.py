"""What other processes do to a store: `python -m tests.store.other_process ROLE PLACE …`."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from chomp_mcp.errors import BudgetExceeded, StoreError
from chomp_mcp.policy.budget import Limits
from chomp_mcp.store.kv.json_file import JsonFile
from chomp_mcp.store.kv.protocol import KV, Value, Write
from chomp_mcp.store.kv.redis import Redis
from chomp_mcp.store.kv.sqlite import Sqlite
from chomp_mcp.store.ledger import Ledger, Settled
from chomp_mcp.store.processes import Processes

ROOT = Path(__file__).parents[2]


def open_store(place: str, clock: Callable[[], float] = time.time) -> KV:
    """The store at `json:PATH`, `sqlite:PATH` or `redis://…`."""
    kind, _, rest = place.partition(":")
    if kind == "redis":
        return Redis(place, clock=clock)
    return {"json": JsonFile, "sqlite": Sqlite}[kind](Path(rest), clock=clock)


def start(role: str, place: str, *arguments: object) -> subprocess.Popen[str]:
    """A process that prints `ready`, waits for a line, and plays its role."""
    command = [sys.executable, "-m", "tests.store.other_process", role, place, *map(str, arguments)]
    return subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def go(*processes: subprocess.Popen[str]) -> None:
    """Let them run, all at the same moment."""
    for process in processes:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin
        process.stdin.write("go\n")
        process.stdin.flush()


def race(*processes: subprocess.Popen[str]) -> list[list[str]]:
    """What each of them printed."""
    go(*processes)
    printed = [process.communicate(timeout=30)[0].split() for process in processes]
    assert [process.returncode for process in processes] == [0] * len(processes)
    return printed


def kill(process: subprocess.Popen[str]) -> None:
    """As `kill -9` does."""
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=30)


def say(word: object) -> None:
    print(word, flush=True)  # noqa: T201 - the pipe to the test


def increased(old: Sequence[Value | None]) -> list[Write]:
    return [Write({"n": (value or {"n": 0})["n"] + 1}) for value in old]


async def count(kv: KV, times: str, *keys: str) -> None:
    for _ in range(int(times)):
        await kv.update(keys, increased)


async def count_aloud(kv: KV, *keys: str) -> None:
    n = 0
    while True:
        await kv.update(keys, increased)
        n += 1
        say(n)


async def delete(kv: KV, *keys: str) -> None:
    for key in keys:
        if await kv.delete(key):
            say(key)


async def die_inside(kv: KV, *keys: str) -> None:
    def change(old: Sequence[Value | None]) -> list[Write]:
        os.kill(os.getpid(), signal.SIGKILL)
        return increased(old)

    await kv.update(keys, change)


async def fill(kv: KV, size: str) -> None:
    """Write until the disk is full, which a limit on the size of files looks like."""
    import resource

    await kv.put("first", {"n": 1})
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(size), resource.RLIM_INFINITY))
    for n in range(1_000):
        try:
            await kv.put(f"many:{n}", {"text": "x" * 10_000})
        except StoreError as error:
            assert await kv.get("first") == {"n": 1}
            assert len(await kv.list("many:")) == n
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            await kv.put("last", {"n": n})
            say(error.hint.split()[0])
            return


async def spend(kv: KV, times: str, amount: str, limit: str) -> None:
    ledger = Ledger(kv)
    for n in range(int(times)):
        try:
            hold = await ledger.reserve("owner", int(amount), Limits(day_nano=int(limit)))
        except BudgetExceeded:
            continue
        say(n)
        ledger.note("owner", Settled(hold, int(amount), router="groq"))
    await ledger.close()


async def reserve(kv: KV, amount: str) -> None:
    await Ledger(kv).reserve("owner", int(amount), Limits(day_nano=10**9), likely=int(amount) // 3)
    say("reserved")
    await asyncio.to_thread(sys.stdin.readline)


async def live(kv: KV, folder: str) -> None:
    processes = Processes(kv, Path(folder) if folder else None)
    say(await processes.announce())
    await asyncio.to_thread(sys.stdin.readline)


ROLES = {role.__name__: role for role in (count, count_aloud, delete, die_inside, fill, spend, reserve, live)}


async def main(role: str, place: str, *arguments: str) -> None:
    kv = open_store(place)
    say("ready")
    sys.stdin.readline()
    await ROLES[role](kv, *arguments)
    await kv.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
