"""When a silent route is raced, and the money for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from chomp_mcp.errors import BudgetExceeded
from chomp_mcp.gateway.hedge import Hedge
from chomp_mcp.messages import OWNER, ChatRequest, Route
from chomp_mcp.policy.grants import UNLIMITED
from chomp_mcp.store.ledger import Hold
from tests.support.world import World, world

pytestmark = pytest.mark.anyio
ASKED = ChatRequest.from_prompt("hi", model="openrouter/v/m", options={"max_tokens": 100_000})
ONE_DOLLAR = {"prompt": "0", "completion": "0.00001"}
"""For 100,000 tokens."""


def hedge_in(w: World, secured: list[Hold | None]) -> Hedge:
    async def secure(hold: Hold | None) -> None:
        secured.append(hold)

    return Hedge(w.chomp.health.speeds, w.chomp.admission, OWNER, ASKED, UNLIMITED, secure)


async def route_in(w: World) -> Route:
    w.openrouter.models([{"id": "v/m", "pricing": ONE_DOLLAR}])
    await w.chomp.list_models("openrouter")
    route = (await w.chomp.gateway.plan(OWNER, ASKED)).routes[0]
    await w.chomp.prices.load([route])
    return route


async def test_it_is_raced_after_several_times_what_is_usual_and_never_at_once(home: Path) -> None:
    async with world(home, "openrouter") as w:
        hedge, route = hedge_in(w, []), await route_in(w)
        unmeasured = await hedge.patience(route, stream=True)
        assert 0 < unmeasured < await hedge.patience(route, stream=False), "a whole answer takes longer"
        for seconds in (0.4, 0.0001):
            await w.chomp.health.speeds.measured(route, seconds, stream=True)
            patience = await hedge.patience(route, stream=True)
            assert 0.05 <= patience < unmeasured
            assert patience > seconds


async def test_the_second_call_has_money_of_its_own_which_is_secured_before_it_leaves(home: Path) -> None:
    async with world(home, "openrouter", LLM_DAILY_BUDGET_USD="1.5") as w:
        secured: list[Hold | None] = []
        hedge, route = hedge_in(w, secured), await route_in(w)
        await hedge.reserve(route)
        assert secured == hedge.holds
        assert len(secured) == 1
        assert (await w.chomp.ledger.spent(OWNER.id)).held_nano >= 10**9
        with pytest.raises(BudgetExceeded):
            await hedge.reserve(route)
        assert secured == hedge.holds
        assert len(secured) == 1
