"""Figures and long runs of several replicas on one Redis: `python -m tests.cluster.measure WHAT [NUMBER]`.

    throughput   exchanges a second of 1, 2 and 3 replicas behind nginx, each with a fifth of a core (cgroup v1, root)
    exact        NUMBER (100,000) exchanges against one budget and one rate limit: exact counts
    killed       kill -9 of Redis again and again under load, and what is booked at the end
    latency      one call after another, on Redis and on the local files: the added time, and commands per exchange

All on one machine: a Redis with appendonly, real processes, real sockets, the mock router or a scripted one.
"""

from __future__ import annotations

import asyncio
import shutil
import signal
import socket
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import anyio
import httpx2
from redis import Redis as RedisClient
from redis import RedisError
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.cluster.balancer import balanced
from tests.cluster.replicas import MASTER_KEY
from tests.support.scripted import ScriptedRouter
from tests.support.serving import process, url_of

QUOTA = Path("/sys/fs/cgroup/cpu")
PERIOD_US, QUOTA_US = 50_000, 10_000
FREE = {"model": "mock/echo", "messages": [{"role": "user", "content": "hi"}]}
PAID = {"model": "groq/openai/gpt-oss-120b", "max_tokens": 100, "messages": [{"role": "user", "content": "hi"}]}
NANO = 16_350
"""Of a paid answer with 9 tokens in and 25 out, as genai-prices has it: 0.15 and 0.6 dollars a million."""


class RedisServer:
    """A server that keeps its file, and comes back on its port."""

    def __init__(self, folder: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = int(free.getsockname()[1])
        self._folder = folder
        folder.mkdir()
        self._process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    async def start(self) -> None:
        options = {"port": self.port, "bind": "127.0.0.1", "dir": self._folder, "save": "", "appendonly": "yes"}
        named = [text for name, value in options.items() for text in (f"--{name}", str(value))]
        self._process = await asyncio.create_subprocess_exec("redis-server", *named, stdout=asyncio.subprocess.DEVNULL)
        with self.client() as client:
            while True:
                with suppress(RedisError):
                    if client.ping():
                        return
                await asyncio.sleep(0.02)

    async def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        await self._process.wait()

    def client(self) -> RedisClient:
        return RedisClient(port=self.port, decode_responses=True, retry=Retry(NoBackoff(), 0))

    def spent(self) -> tuple[int, int]:
        """Nano-USD and calls of the owner's day, as they stand in the store; and what is held."""
        import json

        with self.client() as client:
            names = [name for name in client.keys("chomp:value:spend:owner:*") if name.count("-") == 2]
            days = [json.loads(text)["value"] for name in names if (text := client.get(name))]
        return sum(day["nano_usd"] for day in days), sum(day["calls"] for day in days)


@asynccontextmanager
async def cluster(
    count: int, *, is_quoted: bool = False, redis: RedisServer | None = None, **environ: str
) -> AsyncIterator[Any]:
    """`count` replicas behind nginx: their URL, and the processes."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="chomp-cluster-")))
        store = {"CHOMP_STORE": redis.url, "CHOMP_MASTER_KEY": MASTER_KEY} if redis else {}
        common = {"GATEWAY_PORT": "0", "GATEWAY_RATE_RPS": "0", "OLLAMA_BASE_URL": "http://127.0.0.1:9", **store}
        started = [
            await stack.enter_async_context(process(folder / str(n), **{**common, **environ})) for n in range(count)
        ]
        urls = [await url_of(each) for each in started]
        # What they log is read: a full pipe would stop them.
        readers = [asyncio.create_task(each.stderr.read()) for each in started if each.stderr]
        stack.callback(lambda: [reader.cancel() for reader in readers])
        if is_quoted:
            for n, each in enumerate(started):
                _quota(stack, f"chomp-{n}", each.pid)
        yield await stack.enter_async_context(balanced(folder / "nginx", urls)), started


def _quota(stack: AsyncExitStack, name: str, pid: int) -> None:
    group = QUOTA / name
    group.mkdir(exist_ok=True)
    (group / "cpu.cfs_period_us").write_text(str(PERIOD_US))
    (group / "cpu.cfs_quota_us").write_text(str(QUOTA_US))
    (group / "cgroup.procs").write_text(str(pid))

    def back() -> None:
        with suppress(OSError):
            (QUOTA / "cgroup.procs").write_text(str(pid))
        with suppress(OSError):
            group.rmdir()

    stack.callback(back)


def tell(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def client(url: str) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(base_url=url, timeout=60, trust_env=False, limits=httpx2.Limits(max_connections=200))


async def asked(http: httpx2.AsyncClient, body: Any, seen: Counter[str]) -> None:
    try:
        answer = await http.post("/v1/chat/completions", json=body)
        seen[str(answer.status_code)] += 1
    except httpx2.HTTPError as error:
        seen[type(error).__name__] += 1


async def throughput(_number: int) -> None:
    if shutil.which("wrk") is None:
        raise SystemExit("needs wrk")
    rates: list[float] = []
    async with AsyncExitStack() as stack:
        redis = RedisServer(Path(stack.enter_context(tempfile.TemporaryDirectory())) / "redis")
        await redis.start()
        stack.push_async_callback(redis.kill)
        script = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "post.lua"
        script.write_text(
            'wrk.method = "POST"\nwrk.headers["content-type"] = "application/json"\n'
            'wrk.body = [[{"model": "mock/echo", "messages": [{"role": "user", "content": "hi"}]}]]\n'
        )
        for count in (1, 2, 3):
            async with cluster(count, is_quoted=True, redis=redis) as (url, _):
                for seconds in (3, 10):  # the first warms up
                    command = ["wrk", "-t1", f"-c{12 * count}", f"-d{seconds}s", "--timeout", "10s", "-s", str(script)]
                    run = await anyio.run_process([*command, f"{url}/v1/chat/completions"])
                    said = run.stdout.decode()
                if "Non-2xx" in said:
                    tell(said)
                rates.append(float(said.partition("Requests/sec:")[2].split()[0]))
                tell(f"{count} replicas: {rates[-1]:.1f} exchanges a second, {rates[-1] / rates[0]:.2f} times one")


async def exact(number: int) -> None:
    """Two budgets' worth of calls, of which exactly one budget's worth is answered; then one rate limit."""
    async with AsyncExitStack() as stack:
        redis = RedisServer(Path(stack.enter_context(tempfile.TemporaryDirectory())) / "redis")
        await redis.start()
        stack.push_async_callback(redis.kill)
        upstream = await stack.enter_async_context(ScriptedRouter())
        upstream.answer("hello", usage=(9, 25))
        budget = {"LLM_DAILY_BUDGET_USD": str(number * NANO / 1e9), "LLM_MONTHLY_BUDGET_USD": "0"}
        environ = {"GROQ_API_KEY": "gsk_1234567890123456", "CHOMP_ROUTER_GROQ_URL": upstream.url, **budget}
        async with cluster(3, redis=redis, **environ) as (url, _):
            seen, began = await burst(url, PAID, number + number // 10)
            nano, calls = redis.spent()
        answered = seen["200"]
        tell(f"budget: {dict(seen)} in {time.monotonic() - began:.0f} s; booked {calls} calls, {nano} nano-USD")
        tell(f"  every answer is booked once: {calls == answered and nano == answered * NANO}")
        tell(f"  never above the budget: {nano <= number * NANO}; left of it {number * NANO - nano} nano-USD")
        rate = {"GATEWAY_RATE_RPS": "0.0001", "GATEWAY_RATE_BURST": str(number // 2)}
        async with cluster(3, redis=redis, **rate) as (url, _):
            seen, began = await burst(url, FREE, number)
        tell(f"rate limit, burst {number // 2}: {dict(seen)} in {time.monotonic() - began:.0f} s")


async def burst(url: str, body: Any, number: int) -> tuple[Counter[str], float]:
    seen: Counter[str] = Counter()
    left, began = iter(range(number)), time.monotonic()
    async with client(url) as http, anyio.create_task_group() as tasks:

        async def caller() -> None:
            for _ in left:
                await asked(http, body, seen)

        for _ in range(60):
            tasks.start_soon(caller)
    return seen, began


async def killed(number: int) -> None:
    """Redis dies and comes back; what callers were answered is booked, once."""
    async with AsyncExitStack() as stack:
        redis = RedisServer(Path(stack.enter_context(tempfile.TemporaryDirectory())) / "redis")
        await redis.start()
        stack.push_async_callback(redis.kill)
        upstream = await stack.enter_async_context(ScriptedRouter())
        upstream.answer("hello", usage=(9, 25))
        environ = {
            "LLM_MONTHLY_BUDGET_USD": "0",
            "GROQ_API_KEY": "gsk_1234567890123456",
            "CHOMP_ROUTER_GROQ_URL": upstream.url,
            "CHOMP_AWAY_BUDGET_USD": "0.001",
        }
        seen: Counter[str] = Counter()
        slowest: list[float] = []
        async with cluster(3, redis=redis, **environ) as (url, replicas), client(url) as http:
            is_over = False
            await burst(url, PAID, 60)  # all modules and lists are there
            await asyncio.sleep(1)
            before = redis.spent()[1]

            async def caller() -> None:
                while not is_over:
                    began = time.monotonic()
                    await asked(http, PAID, seen)
                    slowest.append(time.monotonic() - began)

            async with anyio.create_task_group() as tasks:
                for _ in range(20):
                    tasks.start_soon(caller)
                for _ in range(number):
                    await asyncio.sleep(2)
                    await redis.kill()
                    await asyncio.sleep(1.5)
                    await redis.start()
                await asyncio.sleep(2)
                is_over = True
            for replica in replicas:
                replica.send_signal(signal.SIGTERM)
            for replica in replicas:
                await replica.wait()
        nano, calls = redis.spent()
        answered = before + seen["200"]
        tell(f"{number} kills: {dict(seen)}; slowest {max(slowest):.2f} s")
        tell(f"  callers were answered {answered} times, booked are {calls} calls and {nano} nano-USD")
        tell(f"  every answer booked, and once: {calls == answered and nano == NANO * calls}")


async def latency(number: int) -> None:
    async with AsyncExitStack() as stack:
        redis = RedisServer(Path(stack.enter_context(tempfile.TemporaryDirectory())) / "redis")
        await redis.start()
        stack.push_async_callback(redis.kill)
        upstream = await stack.enter_async_context(ScriptedRouter())
        upstream.answer("hello", usage=(9, 25))
        environ = {"GROQ_API_KEY": "gsk_1234567890123456", "CHOMP_ROUTER_GROQ_URL": upstream.url}
        limited = {**environ, "GATEWAY_RATE_RPS": "100000", "GATEWAY_RATE_BURST": "100000"}
        (url, _), (local, _) = [
            await stack.enter_async_context(cluster(1, redis=each, **limited)) for each in (redis, None)
        ]
        http, beside = [await stack.enter_async_context(client(each)) for each in (url, local)]
        times: dict[str, list[float]] = {}
        for body, name in ((FREE, "free"), (PAID, "paid")):
            for _ in range(50):
                await http.post("/v1/chat/completions", json=body)
                await beside.post("/v1/chat/completions", json=body)
            await asyncio.sleep(1.5)
            with redis.client() as asked_of:
                asked_of.config_resetstat()
                for _ in range(number):  # side by side, in turn
                    for place, each in (("Redis", http), ("files", beside)):
                        began = time.perf_counter()
                        (await each.post("/v1/chat/completions", json=body)).raise_for_status()
                        times.setdefault(f"{name} on {place}", []).append(time.perf_counter() - began)
                await asyncio.sleep(1.5)
                stats = asked_of.info("commandstats")
            told = {each.removeprefix("cmdstat_"): row["calls"] / number for each, row in stats.items()}
            sent = {each: calls for each, calls in told.items() if each in {"evalsha", "mget", "zrangebylex", "xread"}}
            tell(f"{name}: sent per exchange { ({k: round(v, 2) for k, v in sent.items()}) }")
            tell(f"  run inside Redis, scripts' own included: {sum(told.values()):.1f}")
            on, off = (statistics.median(times[f"{name} on {place}"]) for place in ("Redis", "files"))
            tell(f"  median {on * 1000:.2f} ms on Redis, {off * 1000:.2f} ms on the local files: {on / off:.2f} times")


WHAT = {"throughput": (throughput, 0), "exact": (exact, 100_000), "killed": (killed, 10), "latency": (latency, 500)}


def main(arguments: Sequence[str]) -> None:
    if not arguments or arguments[0] not in WHAT:
        raise SystemExit(__doc__)
    run, number = WHAT[arguments[0]]
    asyncio.run(run(int(arguments[1]) if len(arguments) > 1 else number))


if __name__ == "__main__":
    main(sys.argv[1:])
