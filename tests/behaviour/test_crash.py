"""Servers, workers and stdio processes that are killed under load: nothing that was spent is lost or booked twice.

Every exchange costs the same, so the ledger can be held to the nano-dollar: what it calls exact is that many times the
price, and whatever a kill cut off is booked once and marked as estimated. `CHOMP_TEST_EXCHANGES=10000 pytest -s`
plays 10,000 on all three; the short form kills a stdio server.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest

from chomp_mcp.app import Chomp
from chomp_mcp.settings import Settings
from tests.behaviour.test_reconciled import tallies
from tests.support.clock import Clock
from tests.support.scripted import Recorded, ScriptedRouter, Wire, chunk, completion, sse
from tests.support.serving import process, url_of
from tests.support.world import environment

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.slow,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="finds workers in /proc"),
]

EXCHANGES = int(os.environ.get("CHOMP_TEST_EXCHANGES", "60"))
LONG = EXCHANGES >= 1_000
KILLS = EXCHANGES // 160 if LONG else 1
AT_ONCE = 12
NANO_USD = 1_234_567
USAGE = {"prompt_tokens": 100, "completion_tokens": 50, "total_tokens": 150, "cost": f"{NANO_USD}e-9"}
ASK = {"model": "openrouter/maker/told", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 100}


@dataclass
class Target:
    """One way in, which is killed and started again."""

    start: Callable[[], Any]
    ask: Callable[[Any, int], Awaitable[None]]
    victim: Callable[[Any], int]
    """The process that is killed."""
    now: Any = None
    answered: int = 0
    broken: int = 0
    kills: int = 0
    ready: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self, ending: asyncio.Event) -> None:
        while not ending.is_set():
            async with self.start() as self.now:
                self.ready.set()
                over = [asyncio.ensure_future(each) for each in (self.now.wait(), ending.wait())]
                await asyncio.wait(over, return_when=asyncio.FIRST_COMPLETED)
                self.ready.clear()
                for each in over:
                    each.cancel()
                if ending.is_set():
                    await self.now.stop()

    def kill(self) -> None:
        if self.ready.is_set():
            with suppress(ProcessLookupError, IndexError):
                os.kill(self.victim(self.now), signal.SIGKILL)
                self.kills += 1


@dataclass
class Served:
    process: asyncio.subprocess.Process
    http: httpx2.AsyncClient

    async def wait(self) -> None:
        await self.process.wait()

    async def stop(self) -> None:
        self.process.terminate()
        await self.process.wait()

    def workers(self) -> list[int]:
        pids = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return [int(pid) for pid in pids if b"resource_tracker" not in Path(f"/proc/{pid}/cmdline").read_bytes()]


@asynccontextmanager
async def served(home: Path, env: dict[str, str], *options: str) -> AsyncIterator[Served]:
    async with process(home, "--port", "0", *options, **env) as started:
        limits = httpx2.Limits(max_keepalive_connections=0)
        async with httpx2.AsyncClient(
            base_url=await url_of(started), timeout=60, trust_env=False, limits=limits
        ) as http:
            yield Served(started, http)


async def over_http(target: Served, number: int) -> None:
    if number % 2:
        answer = await target.http.post("/v1/chat/completions", json=ASK)
        assert answer.status_code == 200, answer.text
        return
    async with target.http.stream("POST", "/v1/chat/completions", json={**ASK, "stream": True}) as answer:
        assert answer.status_code == 200
        text = "".join([piece async for piece in answer.aiter_text()])
        if not text.endswith("data: [DONE]\n\n"):
            raise httpx2.ReadError("cut")


class Stdio:
    """A server as a host starts it, asked in JSON-RPC."""

    def __init__(self, started: asyncio.subprocess.Process) -> None:
        self.process = started
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._reader = asyncio.create_task(self._read())
        self._id = 0

    async def call(self, method: str, params: Any) -> Any:
        if self._reader.done():
            raise httpx2.ConnectError("the server is gone")
        self._id += 1
        asked = self._waiting[self._id] = asyncio.get_running_loop().create_future()
        line = json.dumps({"jsonrpc": "2.0", "id": self._id, "method": method, "params": params})
        self.process.stdin.write(line.encode() + b"\n")
        return await asked

    async def _read(self) -> None:
        while line := await self.process.stdout.readline():
            told = json.loads(line)
            if "id" in told and told["id"] in self._waiting:
                self._waiting.pop(told["id"]).set_result(told)
        for waiting in self._waiting.values():
            waiting.set_exception(ConnectionError("the server is gone"))

    async def wait(self) -> None:
        await self._reader
        await self.process.wait()

    async def stop(self) -> None:
        self.process.stdin.close()
        await self.wait()


@asynccontextmanager
async def stdio(home: Path, env: dict[str, str]) -> AsyncIterator[Stdio]:
    pipe = asyncio.subprocess.PIPE
    started = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "chomp_mcp", env={**os.environ, **env}, stdin=pipe, stdout=pipe, limit=1 << 24
    )
    server = Stdio(started)
    try:
        hello = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
        await server.call("initialize", hello)
        started.stdin.write(b'{"jsonrpc": "2.0", "method": "notifications/initialized"}\n')
        yield server
    finally:
        with suppress(ProcessLookupError):
            started.kill()
        await started.wait()
        server._reader.cancel()


async def over_stdio(server: Stdio, _number: int) -> None:
    arguments = {"prompt": "hi", "model": ASK["model"], "options": {"max_tokens": 100}}
    told = await server.call("tools/call", {"name": "ask", "arguments": arguments})
    assert not told["result"].get("isError"), told


async def billing(request: Recorded, wire: Wire) -> None:
    await asyncio.sleep(random.random() / 100)
    if not request.wants_stream:
        whole = completion("hello", request.model, usage=None) | {"usage": USAGE}
        await wire.whole(200, json.dumps(whole).encode())
        return
    await wire.head(200, {"content-type": "text/event-stream"})
    await wire.send(sse(chunk("hel", request.model)))
    await asyncio.sleep(random.random() / 100)
    await wire.send(sse(chunk("lo", request.model, finish="stop") | {"usage": USAGE}) + sse("[DONE]"))
    await wire.end()


@pytest.mark.timeout(7200 if LONG else 120)
async def test_what_is_killed_under_load_loses_nothing_and_books_nothing_twice(home: Path) -> None:
    async with ScriptedRouter() as router, AsyncExitStack() as stack:
        router.models(["maker/told"])
        router.play(billing)
        env = environment(
            home, {"openrouter": router}, GATEWAY_RATE_RPS="0", CIRCUIT_FAILURE_THRESHOLD="1000000", CHOMP_LOG="off"
        )
        targets = {
            "server": Target(lambda: served(home, env), over_http, lambda now: now.process.pid),
            "workers": Target(lambda: served(home, env, "--workers", "2"), over_http, lambda now: now.workers()[-1]),
            "stdio": Target(lambda: stdio(home, env), over_stdio, lambda now: now.process.pid),
        }
        if not LONG:
            targets = {"stdio": targets["stdio"]}
        ending = asyncio.Event()
        async with asyncio.TaskGroup() as running:
            for target in targets.values():
                running.create_task(target.run(ending))
            for target in targets.values():
                await target.ready.wait()
            async with asyncio.TaskGroup() as load:
                for caller in range(AT_ONCE):
                    load.create_task(ask_on(list(targets.values()), caller))
                load.create_task(kill_on(list(targets.values())))
            ending.set()
        clock = Clock(time.time() + 20 * 60)  # what the dead held is spent by then
        chomp = await stack.enter_async_context(Chomp(Settings.load(env), clock=clock))
        assert (await chomp.status())["spend"]["reserved_usd"] == "0"
        seen = len(router.chats)
    told = tallies(home)
    answered, broken, kills = (
        sum(getattr(target, name) for target in targets.values()) for name in ("answered", "broken", "kills")
    )
    exact = told["calls"] - told["estimated"]
    print(  # noqa: T201 - the figures, with -s
        f"\n{answered + broken} exchanges, {broken} of them cut off by {kills} kills "
        f"({', '.join(f'{t.kills} of {name}' for name, t in targets.items())}): the router saw {seen}; "
        f"booked {exact} exactly, {told['estimated']} estimated"
    )
    assert kills >= KILLS
    assert told["nano_usd"] - told["estimated_nano"] == exact * NANO_USD, "to the nano-dollar"
    assert seen <= told["calls"] <= answered + broken, "each once: none lost, none twice"
    assert told["estimated"] <= broken + kills * AT_ONCE


async def ask_on(targets: list[Target], first: int) -> None:
    """Until all have been asked: a cut exchange is not asked again, and a server that is not there is waited for."""
    number = first
    while (done := sum(t.answered + t.broken for t in targets)) < EXCHANGES or any(not t.kills for t in targets):
        number += 1
        target = targets[number % len(targets)]
        if done > 20 * EXCHANGES:
            raise AssertionError("the kills do not come")
        with anyio.fail_after(60):
            await target.ready.wait()
        try:
            await target.ask(target.now, number)
        except httpx2.ConnectError:
            await asyncio.sleep(0.01)
        except (httpx2.TransportError, ConnectionError):
            target.broken += 1
        else:
            target.answered += 1


async def kill_on(targets: list[Target]) -> None:
    """One after another, while the load goes on."""
    for number in range(KILLS):
        before = sum(t.answered + t.broken for t in targets)
        while sum(t.answered + t.broken for t in targets) < before + EXCHANGES / (KILLS + 1):  # noqa: ASYNC110 - counters
            await asyncio.sleep(0.005)
        target = targets[number % len(targets)]
        await target.ready.wait()
        target.kill()
