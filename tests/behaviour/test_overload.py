"""More than there is room for (connections, callers, bytes, files, disk): what is answered is right.

`CHOMP_TEST_LONG=1 pytest -s` plays 5,000 idle connections, 500 callers and 300 bodies of 4 MiB.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import resource
import shutil
import sqlite3
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest

from chomp_mcp.store.kv.json_file import JsonFile
from chomp_mcp.store.kv.protocol import Write
from tests.behaviour.test_reconciled import tallies
from tests.bench.growth import token
from tests.support.scripted import Recorded, ScriptedRouter, Wire, completion
from tests.support.serving import process, url_of
from tests.support.world import environment

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="prlimit and /proc"),
]

LONG = bool(os.environ.get("CHOMP_TEST_LONG"))
IDLE, CALLERS, BODIES = (5_000, 500, 300) if LONG else (150, 40, 60)
MODEL = "openrouter/maker/told"
NANO_USD = 1_234_567
USAGE = {"prompt_tokens": 100, "completion_tokens": 50, "total_tokens": 150, "cost": f"{NANO_USD}e-9"}
HI = [{"role": "user", "content": "hi"}]


@dataclass
class Crowd:
    """A gateway as a process of its own, its router, and what it uses."""

    home: Path
    process: asyncio.subprocess.Process
    url: str
    router: ScriptedRouter
    http: httpx2.AsyncClient

    async def chat(self, token: str = "", **body: Any) -> httpx2.Response:
        headers = {"authorization": f"Bearer {token}"} if token else {}
        return await self.http.post(
            "/v1/chat/completions", json={"model": MODEL, "messages": HI, "max_tokens": 100, **body}, headers=headers
        )

    def resident_mib(self) -> float:
        return int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20

    def files(self) -> int:
        return len(list(Path(f"/proc/{self.process.pid}/fd").iterdir()))

    def limit(self, what: int, soft: int) -> None:
        """Of the running process; its hard limit stays."""
        resource.prlimit(self.process.pid, what, (soft, resource.prlimit(self.process.pid, what)[1]))

    async def said(self) -> str:
        """All that it wrote to stderr, once it has ended."""
        self.process.terminate()
        return (await self.process.stderr.read()).decode()


async def slowly(request: Recorded, wire: Wire) -> None:
    await asyncio.sleep(0.02)
    await wire.whole(200, json.dumps(completion("hello", request.model, usage=None) | {"usage": USAGE}).encode())


@asynccontextmanager
async def crowded(
    home: Path, *, router: ScriptedRouter | None = None, start: Sequence[str] = (), **settings: str
) -> AsyncIterator[Crowd]:
    """Where `router` is given, the settings know it already; `start` is what Python is to run."""
    async with AsyncExitStack() as stack:
        env = {"GATEWAY_RATE_RPS": "0", "CHOMP_LOG": "error", **settings}
        if router is None:
            router = await stack.enter_async_context(ScriptedRouter())
            router.models(["maker/told"])
            router.play(slowly)
            env = environment(home, {"openrouter": router}, **env)
        started = await stack.enter_async_context(process(home, "--port", "0", start=start, **env))
        url, limits = await url_of(started), httpx2.Limits(max_connections=2_000)
        client = httpx2.AsyncClient(base_url=url, timeout=120, trust_env=False, limits=limits)
        yield Crowd(home, started, url, router, await stack.enter_async_context(client))


def figure(text: str) -> None:
    print(f"\n{text}")  # noqa: T201 - with -s


async def test_connections_callers_and_bytes_beyond_all_measure_leave_it_well(home: Path) -> None:
    tokens = [token(number) for number in range(CALLERS)]
    keys = {"openrouter": "sk-or-v1-" + "a1" * 32}
    records = {f"user:{digest(each)}": {"keys": keys, "created": ""} for each in tokens}
    await JsonFile(home / "keys.json").update(list(records), lambda _: [Write(each) for each in records.values()])
    async with crowded(home, CHOMP_MAX_REQUEST_BYTES="67108864") as crowd:
        assert (await crowd.chat()).status_code == 200
        await idle_and_busy(crowd, tokens)
        await too_many_bytes(crowd)
        assert (await crowd.chat()).status_code == 200


async def idle_and_busy(crowd: Crowd, tokens: list[str]) -> None:
    before = crowd.resident_mib()
    port = int(crowd.url.rpartition(":")[2])
    idle = [await asyncio.open_connection("127.0.0.1", port) for _ in range(IDLE)]
    with_idle = crowd.resident_mib()
    started = time.monotonic()
    async with asyncio.TaskGroup() as tasks:
        asked = [tasks.create_task(crowd.chat(each)) for each in tokens for _ in range(4)]
    took = time.monotonic() - started
    told = Counter(each.result().status_code for each in asked)
    figure(
        f"{IDLE} idle connections: {with_idle - before:.0f} MiB more; {len(asked)} requests of {CALLERS} callers "
        f"at once beside them: {dict(told)} in {took:.1f} s, then {crowd.resident_mib():.0f} MiB"
    )
    assert set(told) <= {200, 503}
    assert told[200] >= min(len(asked), 900)
    assert all(each.result().headers["retry-after"] for each in asked if each.result().status_code == 503)
    assert with_idle - before < IDLE * 0.03 + 5
    for _, writer in idle:
        writer.close()


async def too_many_bytes(crowd: Crowd) -> None:
    before, peak = crowd.resident_mib(), 0.0
    body = json.dumps({"model": MODEL, "messages": [{"role": "user", "content": "x" * (4 << 20)}]}).encode()
    headers = {"content-type": "application/json"}

    async def big() -> int:
        answer = await crowd.http.post("/v1/chat/completions", content=body, headers=headers)
        assert answer.status_code != 503 or answer.headers["retry-after"]
        return answer.status_code

    async with asyncio.TaskGroup() as tasks:
        asked = [tasks.create_task(big()) for _ in range(BODIES)]
        while not all(each.done() for each in asked):
            peak = max(peak, crowd.resident_mib())
            await asyncio.sleep(0.02)
    told = Counter(each.result() for each in asked)
    figure(f"{BODIES} bodies of 4 MiB at once, 64 MiB allowed: {dict(told)}, {peak - before:.0f} MiB more at the most")
    assert told.keys() == {200, 503}
    assert peak - before < 8 * 64, "a request of this size costs some copies of itself, and of those let in alone"


async def test_a_state_that_cannot_be_written_and_files_that_run_out_cost_no_answer(home: Path) -> None:
    async with crowded(home) as crowd:
        assert (await crowd.chat()).status_code == 200
        crowd.limit(resource.RLIMIT_FSIZE, (home / "state.db-wal").stat().st_size)  # as a full disk
        assert [(await crowd.chat()).status_code for _ in range(3)] == [200] * 3
        refused = await crowd.http.post("/api/dispatch", json={"model": MODEL, "prompt": "hi"})
        assert refused.status_code == 500
        assert "Free some disk space" in refused.text
        crowd.limit(resource.RLIMIT_FSIZE, resource.RLIM_INFINITY)
        await booked(crowd, 5)
        figure("disk full: 3 of 3 answers; all 5 booked to the nano-dollar when there was room")

        if LONG:
            with closing(sqlite3.connect(home / "state.db", isolation_level=None)) as holder:
                holder.execute("BEGIN EXCLUSIVE")
                started = time.monotonic()
                assert [(await crowd.chat()).status_code for _ in range(5)] == [200] * 5
                figure(f"locked for {time.monotonic() - started:.0f} s: 5 of 5 answers")
            await booked(crowd, 11)

        files = resource.prlimit(crowd.process.pid, resource.RLIMIT_NOFILE)[0]
        crowd.limit(resource.RLIMIT_NOFILE, crowd.files() + 3)
        port = int(crowd.url.rpartition(":")[2])
        held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(20)]
        told = [(await crowd.chat()).status_code for _ in range(3)]  # on a connection that is there
        crowd.limit(resource.RLIMIT_NOFILE, files)
        for _, writer in held:
            writer.close()
        async with httpx2.AsyncClient(base_url=crowd.url, timeout=20, trust_env=False) as http:
            assert (await http.get("/readyz")).status_code == 200
            breaker = (await http.get("/v1/providers")).json()["providers"]["openrouter"]["breaker"]
        assert breaker == "closed", "what this machine lacks is not the router's failure"
        figure(f"no free file: {told} on what was open; ready again when there are some")

        shutil.rmtree(home)
        with anyio.fail_after(20):
            while not (home / "state.db").exists():
                assert (await crowd.chat()).status_code == 200
        before = tallies(home)["nano_usd"]
        assert (await crowd.chat()).status_code == 200
        with anyio.fail_after(20):
            while tallies(home)["nano_usd"] <= before:
                await crowd.http.get("/v1/providers")
        figure("home deleted while running: noticed, made anew, booked on")


async def booked(crowd: Crowd, calls: int) -> None:
    """One call more; and then all of them are in the ledger, exactly."""
    assert (await crowd.chat()).status_code == 200
    with anyio.fail_after(30):
        while tallies(crowd.home)["nano_usd"] != calls * NANO_USD:
            await crowd.http.get("/v1/providers")


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
