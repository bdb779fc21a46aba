"""The backends that the contract tests run against."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from chomp_mcp.store.json_file import JsonFile
from chomp_mcp.store.kv import KV
from chomp_mcp.store.sqlite import Sqlite
from tests.support.clock import Clock

BACKENDS = ("json", "sqlite")


@pytest.fixture(params=BACKENDS)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """What `open_store` takes: a new, empty store of each kind."""
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


def open_store(place: str, clock: Callable[[], float] = time.time) -> KV:
    kind, _, rest = place.partition(":")
    return {"json": JsonFile, "sqlite": Sqlite}[kind](Path(rest), clock=clock)
