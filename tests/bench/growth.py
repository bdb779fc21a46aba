"""What a request costs as there is more of everything: callers, jobs, routers, models."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from chomp_mcp.store.jobs import new_id
from chomp_mcp.store.kv.json_file import JsonFile
from chomp_mcp.store.kv.protocol import KV, Value, Write
from chomp_mcp.store.kv.sqlite import Sqlite
from tests.bench.load import chat, load, request
from tests.bench.servers import Server, chomp

__all__ = ["DIMENSIONS", "costs", "curve"]

OWNER = "bench-token"
CONNECTIONS = 4
BARS = "▁▂▃▄▅▆▇█"
JOB = {"caller": "owner", "prompt": "p" * 200, "system": "", "text": "t" * 800, "model": "r0/m0", "router": "r0"}
JOB |= {"status": "done", "created_at": 1.0, "finished_at": 2.0}


@dataclass(frozen=True)
class Dimension:
    """`prepare` fills a home with so much and returns its config; `kinds` are the requests that are measured then."""

    name: str
    sizes: Sequence[int]
    prepare: Callable[[Path, int, str], str]
    kinds: Mapping[str, Callable[[int], list[bytes]]]


def token(number: int) -> str:
    return f"chomp_{number:064x}"


def callers(home: Path, count: int, base: str) -> str:
    names = (f"user:{hashlib.sha256(token(number).encode()).hexdigest()}" for number in range(count))
    write(JsonFile(home / "keys.json"), ((name, {"keys": {}, "created": "2026-01-01T00:00:00"}) for name in names))
    return routers(home, 1, base)


def jobs(home: Path, count: int, base: str) -> str:
    ids = (new_id(time.time() - number) for number in range(count))
    write(Sqlite(home / "state.db"), ((f"job:owner:{job_id}", {"id": job_id, **JOB}) for job_id in ids))
    return routers(home, 1, base)


def routers(_home: Path, count: int, base: str, keys: str = "") -> str:
    return "".join(f'[routers.r{number}]\nurl = "{base}/v1"\n{keys if number else ""}' for number in range(count))


def keyless(home: Path, count: int, base: str) -> str:
    return routers(home, count, base, 'key = "NOBODYS_KEY"\n')


def models(_home: Path, count: int, base: str) -> str:
    return f'[routers.r0]\nurl = "{base}/models-{count}/v1"\n'


def write(kv: KV, records: Iterator[tuple[str, Value]]) -> None:
    rows = dict(records)

    async def at_once() -> None:
        await kv.update(list(rows), lambda _: [Write(value, 86_400.0) for value in rows.values()])
        await kv.close()

    asyncio.run(at_once())


def asking(model: str) -> Callable[[int], list[bytes]]:
    return lambda count: [chat(model.format(last=count - 1), token=OWNER)]


def of_each(count: int) -> list[bytes]:
    return [chat("r0/m0", token=token(number)) for number in range(count)]


DIMENSIONS = (
    Dimension("callers", (1, 10, 100, 1_000), callers, {"chat, each in turn": of_each}),
    Dimension(
        "jobs in the store",
        (1, 1_000, 10_000, 100_000),
        jobs,
        {
            "chat": asking("r0/m0"),
            "dispatch": lambda _: [request("POST", "/api/dispatch", {"prompt": "hi", "model": "mock/echo"}, OWNER)],
            "list 20 jobs": lambda _: [request("GET", "/api/jobs?limit=20", token=OWNER)],
        },
    ),
    Dimension(
        "routers, one of them with a key",
        (1, 10, 100, 1_000),
        keyless,
        {"r/m": asking("r0/m0"), "m, a bare name": asking("m0"), "auto": asking("auto")},
    ),
    Dimension(
        "routers, all with a key",
        (1, 10, 100, 1_000),
        routers,
        {"r/m, the last": asking("r{last}/m0"), "m, a bare name": asking("m0"), "auto": asking("auto")},
    ),
    Dimension(
        "models in the list",
        (1, 100, 1_000, 10_000),
        models,
        {"r/m, the last": asking("r0/m{last}"), "m, a bare name": asking("m{last}"), "r/auto": asking("r0/auto")},
    ),
)


def costs(dimension: Dimension, size: int, upstream: int, seconds: float) -> dict[str, float]:
    """Kind of request -> microseconds of the gateway's CPU for each, or of its time."""
    with TemporaryDirectory() as folder:
        home = Path(folder)
        server = chomp(home, upstream, dimension.prepare(home, size, f"http://127.0.0.1:{upstream}"))
        server.model = "r0/m0"
        with server.running():
            return {name: cost(server, made(size), seconds) for name, made in dimension.kinds.items()}


def cost(server: Server, requests: list[bytes], seconds: float) -> float:
    load(server.port, requests[-1:], 1, 0)  # lists are read, once
    load(server.port, requests, CONNECTIONS, seconds / 4)
    before = server.cpu_seconds()
    done = load(server.port, requests, CONNECTIONS, seconds)
    return (server.cpu_seconds() - before) / done.requests * 1e6


def curve(values: Sequence[float]) -> str:
    """A bar for each value; the lowest stands for nothing, the highest for the largest, or for twice the smallest."""
    top = max(*values, 2 * values[0])
    return "".join(BARS[round(value / top * (len(BARS) - 1))] for value in values)
