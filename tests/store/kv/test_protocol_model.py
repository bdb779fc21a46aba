"""Any sequence of calls leaves a store as it would leave a dictionary."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis import Redis as RedisClient

from chomp_mcp.store.kv.protocol import Entry, Write
from tests.store.other_process import open_store
from tests.support.clock import Clock

KEYS = st.sampled_from(["a", "a:", "a:1", "a:10", "a:2", "a:é", "a\x00", "ab", "b", "b:\U0010ffff", "é"])
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
VALUES = st.dictionaries(st.text(max_size=5), JSON, max_size=3)
LIVES = st.none() | st.integers(100, 1000)
WRITES = st.builds(Write, st.none() | VALUES, LIVES)
CALLS = st.one_of(
    st.tuples(st.just("put"), KEYS, VALUES, LIVES),
    st.tuples(st.just("delete"), KEYS),
    st.tuples(st.just("advance"), st.integers(0, 600)),
    st.tuples(st.just("update"), st.dictionaries(KEYS, st.none() | WRITES, min_size=1, max_size=3)),
    st.tuples(
        st.just("list"), st.sampled_from(["", "a", "a:", "a:1", "b", "z"]), st.none() | st.integers(0, 4), st.booleans()
    ),
)


class Model:
    """The same store as a dictionary of values and ends."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.entries: dict[str, tuple[Any, float | None]] = {}

    def get(self, key: str) -> Any:
        value, end = self.entries.get(key, (None, None))
        return None if end is not None and end <= self.clock() else value

    def write(self, key: str, write: Write) -> None:
        end = None if write.expires_in is None else self.clock() + write.expires_in
        self.entries[key] = (write.value, end)

    def list(self, prefix: str, limit: int | None, newest_first: bool) -> list[Entry]:
        keys = sorted((key for key in self.entries if key.startswith(prefix)), reverse=newest_first)
        return [Entry(key, value) for key in keys if (value := self.get(key)) is not None][:limit]


async def play(place: str, calls: list[tuple[Any, ...]]) -> None:
    clock = Clock()
    kv, model = open_store(place, clock), Model(clock)
    for call, *arguments in calls:
        if call == "advance":
            clock.advance(*arguments)
        elif call == "put":
            key, value, life = arguments
            await kv.put(key, value, expires_in=life)
            model.write(key, Write(value, life))
        elif call == "delete":
            assert await kv.delete(*arguments) is (model.get(*arguments) is not None)
            model.write(*arguments, Write(None))
        elif call == "update":
            (writes,) = arguments
            seen = []
            await kv.update(list(writes), lambda old: seen.append(list(old)) or list(writes.values()))  # noqa: B023
            assert seen[-1] == [model.get(key) for key in writes]
            for key, write in writes.items():
                if write is not None:
                    model.write(key, write)
        else:
            prefix, limit, newest_first = arguments
            assert await kv.list(prefix, limit=limit, newest_first=newest_first) == model.list(*arguments)
    assert await kv.list("") == model.list("", None, False)
    await kv.close()


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(calls=st.lists(CALLS, max_size=20))
@pytest.mark.parametrize("kind", ["json", "sqlite"])
def test_the_files_behave_as_a_dictionary(kind: str, calls):
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(play(f"{kind}:{Path(folder) / 'store'}", calls))


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(calls=st.lists(CALLS, max_size=20))
def test_redis_behaves_as_a_dictionary(redis_server: str, calls):
    with RedisClient.from_url(redis_server) as client:
        client.flushall()
    asyncio.run(play(redis_server, calls))
