"""The only refusals before a router is called: too fast, or no money left."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from chomp_mcp.errors import BudgetExceeded, RateLimited
from chomp_mcp.messages import OWNER, Caller, ChatRequest
from chomp_mcp.policy.grants import Grant
from tests.support.clock import Clock
from tests.support.world import World, world

pytestmark = pytest.mark.anyio
HASTY = Caller("f" * 64, limited=True)
ASKED = ChatRequest.from_prompt("hi", model="openrouter/v/m", options={"max_tokens": 100_000})
ONE_DOLLAR = {"prompt": "0", "completion": "0.00001"}
"""For 100,000 tokens."""


async def priced(w: World) -> None:
    w.openrouter.models([{"id": "v/m", "pricing": ONE_DOLLAR}, {"id": "v/gift:free"}])
    await w.chomp.list_models("openrouter")


async def test_only_callers_over_http_are_counted_and_a_refusal_says_when_to_come_back(home: Path) -> None:
    clock = Clock()
    async with world(home, clock=clock, GATEWAY_RATE_RPS="0.5", GATEWAY_RATE_BURST="1") as w:
        admission = w.chomp.admission
        for _ in range(3):
            await admission.let_in(OWNER)
        admission.refuse_early(HASTY)
        await admission.let_in(HASTY)
        for refuse in (lambda: admission.let_in(HASTY), None):
            with pytest.raises(RateLimited, match="GATEWAY_RATE_RPS") as refused:
                await refuse() if refuse else admission.refuse_early(HASTY)
            assert refused.value.retry_after == pytest.approx(2.0)
        await admission.let_in(Caller("e" * 64, limited=True))
        clock.advance(2)
        await admission.let_in(HASTY)


async def test_a_tokens_own_rate_holds_where_it_is_the_narrower_one(home: Path) -> None:
    async with world(home, clock=Clock(), GATEWAY_RATE_RPS="100", GATEWAY_RATE_BURST="50") as w:
        slow = replace(HASTY, rps=1.0)
        await w.chomp.admission.let_in(slow)
        with pytest.raises(RateLimited, match="ask the owner for more"):
            await w.chomp.admission.let_in(slow)


async def test_the_most_that_a_call_may_cost_is_held_and_no_more_than_the_budget_has(home: Path) -> None:
    async with world(home, "openrouter", LLM_DAILY_BUDGET_USD="2.5") as w:
        await priced(w)
        plan = await w.chomp.gateway.plan(OWNER, ASKED)
        for held in (1, 2):
            _, hold = await w.chomp.admission.reserve(OWNER, ASKED, plan)
            assert hold
            assert (await w.chomp.ledger.spent(OWNER.id)).held_nano >= held * 10**9
        with pytest.raises(BudgetExceeded):
            await w.chomp.admission.reserve(OWNER, ASKED, plan)
        with pytest.raises(BudgetExceeded):
            await w.chomp.admission.reserve(Caller("f" * 64), ASKED, plan, Grant("a", daily=Decimal("0.5")))


async def test_what_costs_nothing_needs_no_hold_and_is_what_is_left_without_a_budget(home: Path) -> None:
    async with world(home, "openrouter", LLM_DAILY_BUDGET_USD="0.5") as w:
        await priced(w)
        paid = await w.chomp.gateway.plan(OWNER, ASKED)
        free = await w.chomp.gateway.plan(OWNER, replace(ASKED, model="openrouter/v/gift:free"))
        assert await w.chomp.admission.reserve(OWNER, ASKED, free) == (free, None)
        both = replace(paid, routes=paid.routes + free.routes)
        left, hold = await w.chomp.admission.reserve(OWNER, ASKED, both)
        assert ([route.model for route in left.routes], hold) == (["v/gift:free"], None)
        assert "free models only" in left.notes[-1]
