"""The backends that the contract tests run against, and ledgers on them."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from redis import Redis as RedisClient

from chomp_mcp.store.journal import Journal
from chomp_mcp.store.kv.protocol import KV
from chomp_mcp.store.kv.redis import Redis
from chomp_mcp.store.kv.sqlite import Sqlite
from chomp_mcp.store.ledger import Ledger
from tests.store.other_process import open_store
from tests.support.clock import Clock
from tests.support.wire_between import Wire

BACKENDS = ("json", "sqlite", "redis")


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a server of our own."""
    if shutil.which("redis-server") is None:
        pytest.skip("redis-server is not installed")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    options = {"port": port, "bind": "127.0.0.1", "dir": tmp_path_factory.mktemp("redis"), "save": ""}
    command = ["redis-server", *(text for name, value in options.items() for text in (f"--{name}", str(value)))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout
        assert any("Ready to accept connections" in line for line in server.stdout), "redis-server did not start"
        yield f"redis://127.0.0.1:{port}/0"
        server.terminate()
        server.stdout.read()


@pytest.fixture
def redis_url(redis_server: str) -> str:
    """The URL of an empty server."""
    with RedisClient.from_url(redis_server) as client:
        client.flushall()
    return redis_server


@pytest.fixture(params=BACKENDS)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """What `open_store` takes: a new, empty store of each kind."""
    if request.param == "redis":
        return request.getfixturevalue("redis_url")
    return f"{request.param}:{tmp_path / 'home' / 'store'}"


@pytest.fixture
async def kv(place: str, clock: Clock) -> AsyncIterator[KV]:
    store = open_store(place, clock)
    yield store
    await store.close()


@pytest.fixture
async def sqlite(tmp_path: Path, clock: Clock) -> AsyncIterator[Sqlite]:
    store = Sqlite(tmp_path / "home" / "state.db", clock=clock)
    yield store
    await store.close()


@pytest.fixture
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def ledger(kv: KV, clock: Clock) -> Ledger:
    return Ledger(kv, clock=clock)


@pytest.fixture
async def wire(redis_url: str) -> AsyncIterator[Wire]:
    async with Wire(redis_url) as wire:
        yield wire


@pytest.fixture
async def ledger_on(tmp_path: Path, clock: Clock) -> AsyncIterator[Callable[[str], Ledger]]:
    """Each is a process of its own, with the same journal folder; none of them closes properly."""
    stores: list[Redis] = []

    def make(url: str) -> Ledger:
        stores.append(Redis(url, clock=clock))
        return Ledger(stores[-1], clock=clock, journal=Journal(tmp_path / "journal"), away_nano=1_000)

    yield make
    for store in stores:
        await store.close()
