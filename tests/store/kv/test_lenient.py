"""Where the store cannot be read, nothing is found, and that is said; what is written fails as ever."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import pytest

from chomp_mcp.errors import StoreAway, StoreError
from chomp_mcp.store.kv.lenient import PAUSE_SECONDS, Lenient
from chomp_mcp.store.kv.redis import Redis
from chomp_mcp.store.kv.sqlite import Sqlite
from tests.support.clock import Clock

pytestmark = pytest.mark.anyio


async def test_a_file_that_cannot_be_read_is_left_alone_for_a_while_and_then_asked_again(
    tmp_path: Path, clock: Clock, caplog: pytest.LogCaptureFixture
):
    place = tmp_path / "state.db"
    place.mkdir()
    store = Lenient(Sqlite(place), clock=clock)
    with caplog.at_level(logging.WARNING, logger="chomp_mcp.store"):
        assert (await store.get("a"), await store.list("a"), await store.get_many(["a", "b"])) == (
            None,
            [],
            [None, None],
        )
    assert len(caplog.records) == 1, "the second and the third did not ask"
    assert str(place) in store.trouble
    assert not store.is_remote
    with pytest.raises(StoreError):
        await store.put("a", {})
    shutil.rmtree(place)
    assert await store.get("a") is None
    assert store.trouble, "not asked yet"
    clock.advance(PAUSE_SECONDS)
    await store.put("a", {"b": 1})
    assert await store.get("a") == {"b": 1}
    assert store.trouble == ""
    await store._kv.close()


async def test_a_redis_that_is_away_is_told_as_such():
    store = Lenient(Redis("redis://127.0.0.1:9/0"))
    assert await store.get("a") is None
    assert store.is_remote
    with pytest.raises(StoreAway):
        await store.put("a", {})
    await store._kv.close()
