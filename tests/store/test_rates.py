from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from chomp_mcp.policy.rate_limit import Rate
from chomp_mcp.store.kv.redis import Redis
from chomp_mcp.store.rates import Rates
from tests.support.clock import Clock

pytestmark = pytest.mark.anyio

RATE = Rate(rps=3, burst=16, patience=10)
"""At one moment 16 go at once and 30 may wait in line."""


@pytest.fixture
async def replicas(redis_url: str) -> AsyncIterator[list[Rates]]:
    """Three, whose clocks are half a minute apart."""
    stores = [Redis(redis_url) for _ in range(3)]
    yield [Rates(store, clock=Clock(1_000_000.0 + 30 * n)) for n, store in enumerate(stores)]
    for store in stores:
        await store.close()


async def test_three_replicas_whose_clocks_differ_let_through_what_one_bucket_allows(replicas: list[Rates]):
    waits = await asyncio.gather(*(replicas[n % 3].take("me", RATE) for n in range(120)))

    let_in = sorted(wait for wait in waits if wait <= RATE.patience)
    assert len(let_in) == 46
    assert let_in[:16] == [0.0] * 16
    assert [round(wait * 3) for wait in let_in[16:]] == list(range(1, 31))
    assert all(wait == pytest.approx(10 + 1 / 3, abs=0.3) for wait in waits if wait > RATE.patience)
    assert await replicas[0].take("you", RATE) == 0.0


async def test_a_refusal_is_known_without_asking_again_until_it_ends(replicas: list[Rates], redis_url: str):
    mine, rate = replicas[0], Rate(rps=0.1, burst=1)
    assert mine.refused_for("me", rate) == 0.0
    assert await mine.take("me", rate) == 0.0
    wait = await mine.take("me", rate)

    assert 0 < wait <= 10
    assert mine.refused_for("me", rate) == pytest.approx(wait)
    mine._clock.advance(wait)  # type: ignore[attr-defined]
    assert mine.refused_for("me", rate) == 0.0


async def test_where_the_shared_store_is_away_each_replica_keeps_to_the_limit_by_itself(clock: Clock):
    store = Redis("redis://127.0.0.1:1/0")
    rates = Rates(store, clock=clock)

    assert [await rates.take("me", Rate(1, 2)) for _ in range(3)] == [0.0, 0.0, pytest.approx(1.0, abs=0.01)]
    await store.close()
