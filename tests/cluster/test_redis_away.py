"""The Redis goes away and comes back, by every way it can: what needs nothing of it is answered meanwhile."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest

from chomp_mcp.doors.http.server.serve import serve
from chomp_mcp.errors import InvalidSetting
from chomp_mcp.settings import Settings
from tests.cluster.replicas import Replicas
from tests.support.scripted import ScriptedRouter
from tests.support.serving import Served
from tests.support.wire_between import Wire

pytestmark = pytest.mark.anyio

PAID: dict[str, Any] = {"model": "groq/openai/gpt-oss-120b", "max_tokens": 2000}
USAGE = (1000, 1000)
COST = 0.00075
"""Of an answer with that usage, in USD, as genai-prices has it."""
PATIENCE = 1.5
"""A second, and what a busy machine adds to it."""


@pytest.fixture
async def wire(redis_url: str) -> AsyncIterator[Wire]:
    async with Wire(redis_url) as wire:
        yield wire


@pytest.fixture
async def gateway(replicas: Replicas, wire: Wire, upstream: ScriptedRouter) -> Served:
    upstream.answer("hello", usage=USAGE)
    replicas.store = wire.url
    return await replicas.one(
        "home", CHOMP_ROUTER_GROQ_URL=upstream.url, LLM_DAILY_BUDGET_USD="0.5", CHOMP_AWAY_BUDGET_USD="0.01"
    )


async def timed(gateway: Served, method: str, path: str, **options: Any) -> httpx2.Response:
    began = time.monotonic()
    answer = await gateway.http.request(method, path, **options)
    assert time.monotonic() - began < PATIENCE, path
    return answer


async def is_ready(gateway: Served) -> None:
    with anyio.fail_after(20):
        while (await gateway.http.get("/readyz")).status_code != 200:  # noqa: ASYNC110 - nor has the way back an event
            await asyncio.sleep(0.05)


async def spent(gateway: Served) -> float:
    return float((await gateway.http.get("/v1/providers")).json()["cost"]["daily_spend_usd"])


WAYS = {
    "refuses connections": Wire.cut,
    "is half open": lambda wire: setattr(wire, "hangs", True),
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())
async def test_what_needs_nothing_of_a_redis_that_is_away_is_answered_and_the_rest_says_what_it_needs(
    gateway: Served, wire: Wire, way: Any
):
    token = (await gateway.http.post("/api/keys", json={"keys": {"groq": "gsk_of_somebody"}})).json()["token"]
    assert (await gateway.chat(PAID)).status_code == 200
    way(wire)

    assert (await timed(gateway, "GET", "/readyz")).status_code == 503
    assert (await timed(gateway, "GET", "/healthz")).status_code == 200
    metrics = await timed(gateway, "GET", "/metrics")
    assert "chomp_store_up 0.0" in metrics.text
    free = await timed(gateway, "POST", "/v1/chat/completions", json={"model": "mock/echo", "messages": [USER]})
    assert free.status_code == 200
    paid = await timed(gateway, "POST", "/v1/chat/completions", json={**PAID, "messages": [USER]})
    assert paid.status_code == 200, paid.text
    assert "stored keys are not known" in paid.headers["x-chomp-notes"]
    for request, needs in (
        (("POST", "/api/dispatch", {"json": {"prompt": "hi", "model": "mock/echo"}}), "jobs"),
        (("GET", "/v1/models", {"headers": {"authorization": f"Bearer {token}"}}), "tokens and router keys"),
        (("POST", "/api/keys", {"json": {"keys": {"groq": "gsk_of_another"}}}), "tokens and router keys"),
        (("GET", "/v1/providers", {}), "the budget"),
        (("POST", "/v1/chat/completions", {"json": {"model": "cerebras/x", "messages": [USER]}}), "router keys"),
        (("POST", "/v1/chat/completions", {"json": {**PAID, "max_tokens": 60_000, "messages": [USER]}}), "the budget"),
    ):
        method, path, options = request
        refused = await timed(gateway, method, path, **options)
        assert (refused.status_code, path) == (503, path)
        assert int(refused.headers["retry-after"]) >= 1
        assert f"needs it for the {needs}" in refused.text or f"needs it for {needs}" in refused.text
        is_the_owners = "headers" not in options  # with a token of somebody, whose store cannot be asked
        assert ("CHOMP_STORE" in refused.text, "127.0.0.1" in refused.text) == (is_the_owners, is_the_owners)

    wire.mend()
    await is_ready(gateway)
    assert await spent(gateway) == pytest.approx(2 * COST)
    assert (await gateway.http.get("/v1/models", headers={"authorization": f"Bearer {token}"})).status_code == 200


USER = {"role": "user", "content": "hi"}


async def test_a_redis_that_takes_200_ms_for_each_answer_is_slow_and_not_away(gateway: Served, wire: Wire):
    assert (await gateway.chat(PAID)).status_code == 200
    wire.delay_seconds = 0.1
    answers = await asyncio.gather(*(gateway.chat(PAID) for _ in range(8)))

    assert [answer.status_code for answer in answers] == [200] * 8
    assert await spent(gateway) == pytest.approx(9 * COST)


async def test_connections_that_are_reset_cost_nobody_an_answer(gateway: Served, wire: Wire):
    for _ in range(10):
        wire.reset()
        assert (await gateway.chat(PAID)).status_code == 200

    assert await spent(gateway) == pytest.approx(10 * COST)


async def test_a_replica_with_another_master_key_than_its_store_is_refused_at_the_start(
    replicas: Replicas, home: Path, redis_url: str
):
    first = await replicas.one("home")
    await first.http.post("/api/keys", json={"keys": {"groq": "gsk_of_somebody"}})
    other = {"CHOMP_HOME": str(home), "CHOMP_STORE": redis_url, "CHOMP_MASTER_KEY": "not-the-one-that-sealed-them"}
    with pytest.raises(InvalidSetting, match=r"sealed with the master key \w+, and the one here is .*CHOMP_MASTER_KEY"):
        # Without our context, which says that a loop runs here.
        await asyncio.get_running_loop().run_in_executor(None, serve, Settings.load({**other, "GATEWAY_PORT": "0"}))
