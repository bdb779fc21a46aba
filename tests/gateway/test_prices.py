"""Prices that are remembered: never an old one, never more than there is room for."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from chomp_mcp.gateway import prices
from chomp_mcp.gateway.book import key_id
from chomp_mcp.gateway.model_list import FRESH_SECONDS
from chomp_mcp.messages import OWNER, Caller, ChatRequest, Route
from tests.gateway.test_model_list import settled
from tests.support.clock import Clock
from tests.support.world import World, world

pytestmark = pytest.mark.anyio


def route(w: World, model: str, key: str = "k") -> Route:
    return Route(w.chomp.routers["openrouter"], model, key, key_id(key))


def listing(w: World, **dollars: str) -> None:
    """The router's list, with dollars per million tokens."""
    w.openrouter.models(
        [{"id": name, "pricing": {"prompt": f"{usd}e-6", "completion": f"{usd}e-6"}} for name, usd in dollars.items()]
    )


def price_in(w: World, model: str, key: str = "k") -> Decimal | None:
    price = w.chomp.prices.of(route(w, model, key))
    return price.input if price else None


async def test_a_price_is_the_one_of_the_list_that_was_read_last(home: Path) -> None:
    clock = Clock()
    async with world(home, "openrouter", clock=clock) as w:
        assert price_in(w, "odd") is None
        for dollars in ("2", "3"):
            listing(w, odd=dollars)
            await w.chomp.prices.load([route(w, "odd")])
            await w.chomp.models.of(["openrouter"], {"openrouter": (("k", key_id("k")),)})
            assert price_in(w, "odd") == Decimal(dollars)
            clock.advance(FRESH_SECONDS)
        listing(w, other="1")
        await w.chomp.models.of(["openrouter"], {"openrouter": (("k", key_id("k")),)})
        assert price_in(w, "odd") is None


async def test_each_key_pays_what_its_own_list_says(home: Path) -> None:
    async with world(home, "openrouter") as w:
        for key, dollars in (("k", "2"), ("other", "3")):
            listing(w, odd=dollars)
            await w.chomp.prices.load([route(w, "odd", key)])
        assert (price_in(w, "odd"), price_in(w, "odd", "other")) == (Decimal(2), Decimal(3))


async def test_names_that_callers_make_up_do_not_fill_the_memory(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prices, "MOST_PRICES", 3)
    async with world(home, "openrouter") as w:
        listing(w, odd="2")
        await w.chomp.prices.load([route(w, "odd")])
        for number in range(10):
            assert price_in(w, f"guess{number}") is None
            assert price_in(w, "odd") == 2
        assert len(w.chomp.prices._known) <= 3


PRICED = {"id": "v/m", "pricing": {"prompt": "0.000001", "completion": "0.000001"}}
FREE = {"id": "v/m", "pricing": {"prompt": "0", "completion": "0"}}


async def cost_of(w: World, *, caller: Caller = OWNER, tokens: tuple[int, int] = (1_000, 1_000)) -> Any:
    for upstream in w:
        upstream.clear()
        upstream.answer(usage=tokens)
    request = ChatRequest.from_prompt("hi", model="openrouter/v/m", options={"max_tokens": 10}).with_stream(False)
    async with w.chomp.gateway.exchange(caller, request) as reply:
        await reply.completion()
        return reply.receipt().as_dict()["cost_usd"]


async def test_a_price_from_an_old_list_is_read_again(home: Path) -> None:
    clock = Clock()
    async with world(home, "openrouter", clock=clock) as w:
        w.openrouter.models([FREE])
        assert await cost_of(w) == "0"
        w.openrouter.models([PRICED])
        assert await cost_of(w) == "0", "the list is fresh"
        clock.advance(FRESH_SECONDS)
        await cost_of(w)
        await settled(w.chomp.models)
        assert await cost_of(w) == "0.002"
        w.openrouter.on(path="/models").fail(500)
        clock.advance(FRESH_SECONDS)
        for _ in range(2):
            assert await cost_of(w) == "0.002", "an old price is better than none"
            await settled(w.chomp.models)


async def test_the_price_of_every_key_of_a_router_is_known(home: Path) -> None:
    async with world(home, "openrouter", OPENROUTER_API_KEY="one-key,two-key") as w:
        w.openrouter.models([PRICED])
        w.openrouter.on(key="one-key").fail(429)
        assert await cost_of(w) == "0.002"
