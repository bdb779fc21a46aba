"""A home that cannot be written, and one that another process keeps busy: answers go on, and no money is lost.

`CHOMP_TEST_LONG=1 pytest -s` asks more at once.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, closing, contextmanager
from pathlib import Path

import anyio
import pytest

from chomp_mcp import Chomp, Settings
from tests.behaviour.test_overload import LONG, MODEL, NANO_USD, USAGE, crowded, figure
from tests.behaviour.test_reconciled import tallies
from tests.support.scripted import Recorded, ScriptedRouter, Wire, completion
from tests.support.world import environment

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="mounts, capabilities and /proc of Linux"),
]

OBEYS_MODES = """\
import ctypes, os, sys
for right in (1, 2):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH: without them the modes of files bind root, too
    ctypes.CDLL(None).prctl(24, right, 0, 0, 0)  # PR_CAPBSET_DROP
os.execv(sys.executable, [sys.executable, "-m", "chomp_mcp", "serve", *sys.argv[1:]])
"""
STORED_KEY = "gsk_" + "a1" * 24


@contextmanager
def modes(home: Path) -> Iterator[None]:
    """Nobody may write there."""
    paths = [home, *home.rglob("*")]
    before = {path: path.stat().st_mode for path in paths}
    for path, mode in before.items():
        path.chmod(mode & ~0o222)
    try:
        yield
    finally:
        for path, mode in before.items():
            path.chmod(mode)


@contextmanager
def mounted(home: Path) -> Iterator[None]:
    """A file system that takes no writes."""
    subprocess.run(["mount", "--bind", home, home], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", home], check=True)
        yield
    finally:
        subprocess.run(["umount", home], check=True)


def may_mount() -> bool:
    """In a namespace of its own, so that nothing is left behind."""
    return (
        subprocess.run(
            ["unshare", "-m", "mount", "--bind", "/tmp", "/tmp"], capture_output=True, check=False
        ).returncode
        == 0
    )


READ_ONLY = [
    pytest.param(modes, id="modes"),
    pytest.param(
        mounted,
        id="mount",
        marks=pytest.mark.skipif(not may_mount(), reason="only root may mount; `modes` is the same"),
    ),
]


@pytest.mark.parametrize("read_only", READ_ONLY)
async def test_a_home_that_cannot_be_written_costs_no_answer_and_the_budget_holds(home: Path, read_only) -> None:
    async with ScriptedRouter() as router, AsyncExitStack() as stack:
        router.models([{"id": "maker/told", "pricing": {"prompt": "0.001", "completion": "0.003"}}])
        router.play(billing)
        env = environment(home, {"openrouter": router}, LLM_DAILY_BUDGET_USD="1")
        async with Chomp(Settings.load(env)) as chomp:  # there is something to lose
            await chomp.register_keys({"groq": STORED_KEY})
            await chomp.ask("hi", model=MODEL)
        before = tallies(home)["nano_usd"]
        keys = (home / "keys.json").read_bytes()
        settings = {**env, "CHOMP_ROUTER_GROQ_URL": router.url}
        with read_only(home):
            start = ("-c", OBEYS_MODES)
            crowd = await stack.enter_async_context(crowded(home, router=router, start=start, **settings))
            first = await crowd.chat()
            assert first.status_code == 200, first.text
            assert "state.db cannot be used" in first.headers["x-chomp-notes"]
            assert "Make its folder writable" in first.headers["x-chomp-notes"]
            stored = await crowd.chat(model="groq/maker/told")
            assert stored.status_code == 200
            assert router.chats[-1].key == STORED_KEY
            answers = [await crowd.chat() for _ in range(10)]
            good = 2 + sum(answer.status_code == 200 for answer in answers)
            figure(f"read-only ({read_only.__name__}): {good} answers at $0.25, then {answers[-1].status_code}")
            assert 2 <= good <= 4, "a dollar is not spent twice where nobody can write it down"
            assert (answers[-1].status_code, answers[-1].json()["error"]["code"]) == (429, "insufficient_quota")
            for path, body in (
                ("/api/dispatch", {"model": MODEL, "prompt": "hi"}),
                ("/api/keys", {"keys": {"groq": "gsk_" + "b2" * 24}}),
            ):
                refused = await crowd.http.post(path, json=body)
                assert (refused.status_code, refused.json()["error"]["code"]) == (500, "store_error"), refused.text
                assert "Make its folder writable, or set CHOMP_HOME" in refused.text
            told = [(await crowd.http.get(path)).status_code for path in ("/healthz", "/metrics", "/readyz")]
            assert told == [200, 200, 503]
        assert (home / "keys.json").read_bytes() == keys
        with anyio.fail_after(60):  # writable again: what was kept in memory is booked
            while tallies(home)["nano_usd"] != before + good * COST_NANO:
                await crowd.http.get("/v1/providers")
        said = await crowd.said()
        assert "cannot be used" in said
        assert "Traceback" not in said


COST_NANO = 250_000_000


async def billing(request: Recorded, wire: Wire) -> None:
    usage = {**USAGE, "cost": "0.25"}
    await wire.whole(200, json.dumps(completion("hello", request.model, usage=None) | {"usage": usage}).encode())


async def test_a_disk_that_is_slow_holds_up_nobody_who_does_not_need_it(home: Path) -> None:
    """Another process holds the write lock for 0.3 s of every 0.31, as a disk does on which each flush takes that."""
    at_once = 200 if LONG else 40
    async with crowded(home) as crowd:
        assert (await crowd.chat()).status_code == 200
        before, ending, held = crowd.resident_mib(), anyio.Event(), 0

        async def hold() -> None:
            nonlocal held
            with closing(sqlite3.connect(home / "state.db", isolation_level=None)) as holder:
                while not ending.is_set():
                    try:
                        holder.execute("BEGIN IMMEDIATE")
                    except sqlite3.OperationalError:
                        continue
                    held += 1
                    await asyncio.sleep(0.3)
                    holder.execute("ROLLBACK")
                    await asyncio.sleep(0.01)

        holding = asyncio.create_task(hold())
        asked = [asyncio.create_task(crowd.chat()) for _ in range(at_once)]
        longest, looks = 0.0, 0
        with anyio.fail_after(120):
            while not all(each.done() for each in asked):
                started = time.monotonic()
                assert (await crowd.http.get("/healthz")).status_code == 200
                longest, looks = max(longest, time.monotonic() - started), looks + 1
        more = crowd.resident_mib() - before
        ending.set()
        await holding
        assert [each.result().status_code for each in asked] == [200] * at_once
        with anyio.fail_after(60):
            while tallies(home)["nano_usd"] != (at_once + 1) * NANO_USD:
                await crowd.http.get("/v1/providers")
        figure(
            f"slow disk: {at_once} of {at_once} answers while it was held {held} times; "
            f"{looks} others answered meanwhile, the slowest in {longest:.2f} s; {more:.0f} MiB more"
        )
        assert looks > held, "others had their turn while the disk had its own"
        assert more < 64
