"""Budgets and prices: held before a call, settled to the true figure after it, and never lost.

Most of it goes through POST /v1/chat/completions, asked by the official client.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import openai
import pytest

from chomp_mcp.app import Chomp
from chomp_mcp.errors import BudgetExceeded
from chomp_mcp.settings import Settings
from tests.behaviour import other_process
from tests.support.clock import Clock
from tests.support.gate import Gate, gate
from tests.support.scripted import ScriptedRouter, chunk, sse
from tests.support.world import environment

pytestmark = pytest.mark.anyio

PRICED = "groq/openai/gpt-oss-120b"
"""$0.15 per million tokens in, $0.60 out."""
MOST = {"max_tokens": 1_000_000}
"""So that a call of PRICED may cost $0.60, and a little for the input."""
TRUE = (1_000_000, 500_000)
"""A usage that costs $0.45 there."""

streamed = pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])


@asynccontextmanager
async def during(g: Gate, upstream: ScriptedRouter, **fields: Any) -> AsyncIterator[None]:
    """The block runs while the router keeps a call of PRICED waiting."""
    finish = anyio.Event()
    upstream.answer(before=finish, usage=TRUE)
    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lambda: g.receipt(PRICED, **MOST, **fields))
            await upstream.saw_request()
            yield
            finish.set()


# Reserve, settle, release.


@streamed
async def test_the_most_that_a_call_may_cost_is_held_before_it_is_sent_and_settled_to_the_true_figure(
    home: Path, stream: bool
) -> None:
    async with gate(home, "groq", LLM_DAILY_BUDGET_USD="1") as g:
        async with during(g, g.groq, stream=stream):
            spend = await g.spend()
            assert Decimal("0.60") < Decimal(spend["reserved_usd"]) < Decimal("0.61")
            assert spend["today_usd"] == "0"
            with pytest.raises(openai.RateLimitError, match="calls under way may cost"):
                await g.chat(PRICED, **MOST)
        spend = await g.spend()
        assert (spend["reserved_usd"], spend["today_usd"], spend["month_usd"]) == ("0", "0.45", "0.45")
        assert (spend["input_tokens_today"], spend["output_tokens_today"], spend["calls_today"]) == (*TRUE, 1)
        assert len(g.groq.chats) == 1, "the refused call must not reach the router"


async def test_a_refusal_says_when_the_budget_resets_and_that_trying_again_is_useless(home: Path, clock: Clock) -> None:
    async with gate(home, "groq", clock=clock, LLM_DAILY_BUDGET_USD="0.10", LLM_MONTHLY_BUDGET_USD="0") as g:
        with pytest.raises(openai.RateLimitError) as caught:
            await g.chat(PRICED, **MOST)
        refused = caught.value
        assert (refused.type, refused.code) == ("insufficient_quota", "insufficient_quota")
        assert "LLM_DAILY_BUDGET_USD" in str(refused)
        assert 0 < int(refused.response.headers["retry-after"]) <= 86_400
        assert refused.response.headers["x-should-retry"] == "false"
        assert not g.groq.chats


@streamed
@pytest.mark.parametrize("daily", [True, False], ids=["of the day", "of the month"])
async def test_what_was_spent_counts_against_the_budget(home: Path, daily: bool, stream: bool) -> None:
    budgets = {"LLM_DAILY_BUDGET_USD": "1" if daily else "0", "LLM_MONTHLY_BUDGET_USD": "0" if daily else "1"}
    async with gate(home, "groq", **budgets) as g:
        g.groq.answer(usage=TRUE)
        for _ in range(2):
            assert (await g.receipt(PRICED, stream=stream))["cost_usd"] == "0.45"
        with pytest.raises(openai.RateLimitError, match=r"\$0.90 of \$1.00"):
            await g.chat(PRICED, **MOST)
        assert (await g.receipt(PRICED, max_tokens=1000))["cost_usd"] == "0.45", "a small call still fits"
        with pytest.raises(openai.RateLimitError):
            await g.chat(PRICED, max_tokens=1)


@pytest.mark.parametrize("fails", [lambda s: s.fail(500), lambda s: s.fail(400), lambda s: s.cut(after=0)])
@streamed
async def test_a_call_that_failed_costs_nothing_and_gives_its_hold_back(home: Path, fails: Any, stream: bool) -> None:
    async with gate(home, "groq", LLM_DAILY_BUDGET_USD="1") as g:
        fails(g.groq)
        with pytest.raises(openai.APIStatusError):
            await g.receipt(PRICED, stream=stream, **MOST)
        spend = await g.spend()
        assert (spend["reserved_usd"], spend["today_usd"], spend["calls_today"]) == ("0", "0", 0)
        g.groq.clear()
        assert await g.receipt(PRICED, stream=stream, **MOST)


@streamed
async def test_a_caller_that_leaves_before_the_answer_pays_for_a_likely_one(home: Path, stream: bool) -> None:
    """OpenRouter: "you will be billed for the complete response"."""
    async with gate(home, "groq", LLM_DAILY_BUDGET_USD="1") as g:
        g.groq.hang()
        with anyio.fail_after(10):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(lambda: g.chat(PRICED, stream=stream, max_tokens=1000))
                await g.groq.saw_request()
                tasks.cancel_scope.cancel()
            await g.groq.saw_disconnect()
            await g.saw_report()
        receipt = g.reports[0].receipt
        assert (receipt.usage.output_tokens, receipt.usage.estimated) == (1000, True)
        spend = await g.spend()
        assert (spend["reserved_usd"], spend["estimated_calls_today"]) == ("0", 1)
        assert Decimal("0.0006") <= Decimal(spend["today_usd"]) < Decimal("0.00061")


async def test_a_caller_that_leaves_in_the_middle_of_a_stream_pays_for_what_came(home: Path) -> None:
    async with gate(home, "groq", LLM_DAILY_BUDGET_USD="1") as g:
        g.groq.hang(after=["four letters and more " * 50])
        with anyio.fail_after(10):
            async for piece in await g.chat(PRICED, stream=True, **MOST):
                if piece.choices[0].delta.content:
                    break
            await g.client.close()
            await g.groq.saw_disconnect()
            await g.saw_report()
        assert g.reports[0].receipt.usage.estimated
        spend = await g.spend()
        assert spend["reserved_usd"] == "0"
        assert Decimal("0.0001") < Decimal(spend["today_usd"]) < Decimal("0.001")


async def test_a_stream_whose_router_sends_no_usage_is_counted_by_estimate_and_flagged(home: Path) -> None:
    async with gate(home, "groq") as g:
        g.groq.stream(["x" * 4000], usage=None)
        assert Decimal((await g.receipt(PRICED, stream=True))["cost_usd"]) == Decimal("0.00060015")
        usage = g.reports[0].receipt.as_dict()["usage"]
        assert usage == {"input_tokens": 1, "output_tokens": 1000, "cached_tokens": 0, "estimated": True}
        spend = await g.spend()
        assert (spend["today_usd"], spend["output_tokens_today"]) == ("0.00060015", 1000)
        assert (spend["estimated_calls_today"], spend["estimated_today_usd"]) == (1, "0.00060015")


# Who pays.


async def test_a_callers_budget_does_not_touch_anothers(home: Path) -> None:
    async with gate(home, "groq", LLM_DAILY_BUDGET_USD="0.50") as g:
        one, other = [await g.token(groq=f"key-of-{name}") for name in ("one", "other")]
        g.groq.answer(usage=TRUE)
        for token in (one, other, "none"):
            await g.chat(PRICED, token=token)
            with pytest.raises(openai.RateLimitError):
                await g.chat(PRICED, token=token, max_tokens=200_000)
        for token in (one, other, ""):
            assert (await g.spend(token))["today_usd"] == "0.45"


# Free, unknown, and where a price comes from.


NOTHING = {"prompt": "0", "completion": "0"}
FREE = {
    "a model that the router's list prices at 0": (
        "openrouter",
        "maker/none",
        {"id": "maker/none", "pricing": NOTHING},
    ),
    "a model whose name says it": ("openrouter", "maker/never-heard-of:free", "maker/never-heard-of:free"),
    "one's own machine": ("ollama", "llama", "llama"),
}


@streamed
@pytest.mark.parametrize(("router", "model", "listed"), FREE.values(), ids=FREE.keys())
async def test_free_models_pass_an_exhausted_budget(
    home: Path, router: str, model: str, listed: Any, stream: bool
) -> None:
    async with gate(home, "groq", router, LLM_DAILY_BUDGET_USD="0.01") as g:
        g.routers[router].models([listed])
        g.groq.answer(usage=TRUE)
        await g.chat(PRICED, max_tokens=10)
        with pytest.raises(openai.RateLimitError):
            await g.chat(PRICED, max_tokens=10)
        told = await g.receipt(f"{router}/{model}", stream=stream)
        assert (told["router"], told["cost_usd"]) == (router, "0")
        assert (await g.spend())["unpriced_calls_today"] == 0


async def test_the_mock_is_free(home: Path) -> None:
    async with gate(home, "groq", LLM_DAILY_BUDGET_USD="0.01") as g:
        g.groq.answer(usage=TRUE)
        await g.chat(PRICED, max_tokens=10)
        assert (await g.receipt("mock/echo"))["cost_usd"] == "0"


async def test_with_an_exhausted_budget_auto_goes_to_the_free_and_the_receipt_says_why(home: Path) -> None:
    async with gate(home, "groq", "openrouter", LLM_DAILY_BUDGET_USD="0.01") as g:
        g.groq.models(["openai/gpt-oss-120b"])
        g.openrouter.models(["openrouter/free"])
        g.groq.answer(usage=TRUE)
        assert (await g.receipt("auto", max_tokens=10))["router"] == "groq"
        told = await g.receipt("auto", max_tokens=10)
        assert (told["router"], told["model"], told["cost_usd"]) == ("openrouter", "openrouter/free", "0")
        assert "the budget is used up: free models only" in told["notes"]


@streamed
async def test_an_unknown_price_is_null_and_counted_as_unpriced_never_as_zero(home: Path, stream: bool) -> None:
    async with gate(home, "groq", LLM_DAILY_BUDGET_USD="0.50") as g:
        told = await g.receipt("groq/never-heard-of", stream=stream)
        assert told["cost_usd"] is None
        assert g.reports[0].price == "unknown"
        spend = await g.spend()
        assert (spend["calls_today"], spend["unpriced_calls_today"], spend["today_usd"]) == (1, 1, "0")
        g.groq.answer(usage=(10_000_000, 0))
        await g.chat(PRICED, max_tokens=10)
        with pytest.raises(openai.RateLimitError):
            await g.chat("groq/never-heard-of")


LISTED = {"prompt": "0.000002", "completion": "0.000008"}
TOKENS = (1_000, 1_000)


@dataclass(frozen=True)
class Priced:
    """A million-th of the sums is what a thousand tokens in and out cost at prices per million."""

    ref: str
    cost: str | None
    pricing: dict[str, str] = field(default_factory=dict)
    """What the router's list says."""
    body: dict[str, Any] = field(default_factory=dict)
    """What the answer, or its last chunk, says beside the usage."""
    usage: dict[str, Any] = field(default_factory=dict)
    """What its usage says beside the tokens."""


PRICES = {
    "OpenRouter's usage.cost wins over its list": Priced(
        "openrouter/openai/gpt-oss-120b", "0.0123", LISTED, usage={"cost": 0.0123}
    ),
    "Zen's cost wins over the snapshot": Priced("zen/glm-5.2", "0.0456", body={"cost": "0.0456"}),
    "a told cost of 0 is 0": Priced("openrouter/maker/m", "0", LISTED, usage={"cost": 0}),
    "the list wins over genai-prices": Priced("groq/openai/gpt-oss-120b", "0.01", LISTED),
    "the list wins over the snapshot": Priced("zen/glm-5.2", "0.01", LISTED),
    "the list alone": Priced("groq/maker/m", "0.01", LISTED),
    "genai-prices": Priced("groq/openai/gpt-oss-120b", "0.00075"),
    "genai-prices, of one's own key": Priced("fireworks/accounts/fireworks/models/gpt-oss-20b", "0.00037"),
    "the snapshot for Zen": Priced("zen/glm-5.2", "0.0058"),
    "the snapshot for SambaNova": Priced("sambanova/gpt-oss-120b", "0.00081"),
    "a dynamic price is unknown": Priced("openrouter/openrouter/auto", None, {"prompt": "-1", "completion": "-1"}),
    "nobody knows": Priced("cerebras/maker/m", None),
}


def play(upstream: ScriptedRouter, priced: Priced, *, stream: bool) -> None:
    usage = {"prompt_tokens": TOKENS[0], "completion_tokens": TOKENS[1], "total_tokens": sum(TOKENS), **priced.usage}
    if not stream:
        upstream.answer(usage=None, extra={"usage": usage, **priced.body})
        return
    last = {**chunk(), "choices": [], "usage": usage}
    after = [sse({"choices": [], **priced.body})] if priced.body else []  # Zen tells it after [DONE]
    upstream.stream(
        ["hello", chunk(finish="stop"), sse(last), sse("[DONE]"), *after], finish=None, done=False, usage=None
    )


@streamed
@pytest.mark.parametrize("priced", PRICES.values(), ids=PRICES.keys())
async def test_a_cost_that_the_router_tells_wins_then_its_list_then_genai_prices_then_the_snapshot(
    home: Path, priced: Priced, stream: bool
) -> None:
    router, _, model = priced.ref.partition("/")
    async with gate(home, router) as g:
        upstream = g.routers[router]
        if priced.pricing:
            upstream.models([{"id": model, "pricing": priced.pricing}])
            await g.client.models.list()
        play(upstream, priced, stream=stream)
        assert (await g.receipt(priced.ref, stream=stream))["cost_usd"] == priced.cost
        spend = await g.spend()
        assert Decimal(spend["today_usd"]) == Decimal(priced.cost or 0)
        assert spend["unpriced_calls_today"] == (priced.cost is None)


async def test_a_price_that_only_the_list_tells_is_known_before_the_first_call(home: Path) -> None:
    """Nobody has asked for the list yet: a budget must not leak because of that."""
    async with gate(home, "groq", LLM_DAILY_BUDGET_USD="0.01") as g:
        g.groq.models([{"id": "maker/m", "pricing": LISTED}])
        with pytest.raises(openai.RateLimitError):
            await g.chat("groq/maker/m", max_tokens=100_000)
        g.groq.answer(usage=TOKENS)
        assert (await g.receipt("groq/maker/m", max_tokens=100))["cost_usd"] == "0.01"


async def test_cached_tokens_cost_what_cached_tokens_cost(home: Path) -> None:
    async with gate(home, "zen") as g:
        cached = {"prompt_tokens_details": {"cached_tokens": 500}}
        play(g.zen, Priced("zen/glm-5.2", "", usage=cached), stream=False)
        assert (await g.receipt("zen/glm-5.2"))["cost_usd"] == "0.00523", "500 at 1.40, 500 at 0.26, 1,000 at 4.40"


# Several processes, and processes that die.


async def test_of_two_processes_that_race_for_one_budget_exactly_one_wins(home: Path) -> None:
    callers = [f"caller-{n}" for n in range(8)]
    finish = anyio.Event()
    async with ScriptedRouter() as groq:
        groq.answer(before=finish, usage=TRUE)
        env = environment(home, {"groq": groq}, LLM_DAILY_BUDGET_USD="1", LLM_MONTHLY_BUDGET_USD="1")
        racers = [other_process.start("ask_for_each", PRICED, MOST["max_tokens"], *callers, env=env) for _ in range(2)]
        with anyio.fail_after(30):
            await anyio.to_thread.run_sync(other_process.go, *racers)
            await groq.saw_request(len(callers))
            finish.set()
            printed = [await anyio.to_thread.run_sync(other_process.ended, racer) for racer in racers]
        assert len(groq.chats) == len(callers)
    told = [line.split() for lines in printed for line in lines]
    for word in ("answered", "refused"):
        assert sorted(caller for said, caller in told if said == word) == callers
    async with Chomp(Settings.load(env)) as chomp:
        spent = [await chomp.ledger.spent(caller) for caller in callers]
        assert [(spend.day_nano, spend.held_nano) for spend in spent] == [(450_000_000, 0)] * len(callers)


async def test_a_process_that_is_killed_between_reserving_and_settling_loses_no_money(home: Path) -> None:
    clock = Clock(time.time())
    async with ScriptedRouter() as groq:
        groq.answer(usage=TRUE)
        env = environment(home, {"groq": groq}, LLM_DAILY_BUDGET_USD="0", LLM_MONTHLY_BUDGET_USD="1.20")
        async with Chomp(Settings.load(env), clock=clock) as chomp:
            await chomp.ask("hi", model=PRICED)
            groq.hang()
            killed = other_process.start("ask_for_each", PRICED, MOST["max_tokens"], "owner", env=env)
            with anyio.fail_after(30):
                await anyio.to_thread.run_sync(other_process.go, killed)
                await groq.saw_request(2)
                await anyio.to_thread.run_sync(other_process.kill, killed)
                await groq.saw_disconnect()
            groq.clear()
            groq.answer(usage=TRUE)
            spend = (await chomp.status())["spend"]
            assert spend["month_usd"] == "0.45", "what was settled is there"
            assert spend["estimated_calls_today"] == 0
            assert Decimal(spend["reserved_usd"]) > Decimal("0.60"), "what the dead process may have spent is held"
            with pytest.raises(BudgetExceeded):
                await chomp.ask("hi", model=PRICED, options=MOST)
            clock.advance(15 * 60 + 60)
            spend = (await chomp.status())["spend"]
            assert (spend["reserved_usd"], spend["estimated_calls_today"]) == ("0", 1)
            assert Decimal("0.002") < Decimal(spend["estimated_today_usd"]) < Decimal("0.003"), "4,096 tokens, likely"
            await chomp.ask("hi", model=PRICED, options={"max_tokens": 1000})
            month = Decimal((await chomp.status())["spend"]["month_usd"])
            assert month == Decimal("0.9") + Decimal(spend["estimated_today_usd"])


# Days and months are the user's.

NEXT = {
    "Pacific/Auckland": ("2026-06-30T23:59", "2026-07-01T00:00"),
    "America/Los_Angeles": ("2026-06-30T23:59", "2026-07-01T00:00"),
    "Asia/Kolkata": ("2026-12-31T23:59", "2027-01-01T00:00"),
    "UTC": ("2028-02-29T23:59", "2028-03-01T00:00"),
}


@pytest.mark.parametrize("zone", NEXT)
async def test_days_and_months_begin_at_midnight_of_the_users_time_zone(home: Path, zone: str) -> None:
    before, after = NEXT[zone]
    morning = f"{before[:11]}00:00"
    async with ScriptedRouter() as groq:
        groq.answer(usage=TRUE)
        env = environment(home, {"groq": groq}, TZ=zone, LLM_DAILY_BUDGET_USD="0.90", LLM_MONTHLY_BUDGET_USD="50")
        asking = other_process.start("ask_at", PRICED, f"{before[:8]}01T12:00", morning, before, before, after, env=env)
        await anyio.to_thread.run_sync(other_process.go, asking)
        first, second, third, refused, fresh = await anyio.to_thread.run_sync(other_process.ended, asking)
    assert (first, second, third) == ("0.45 0.45", "0.45 0.9", "0.9 1.35")
    assert f"It resets on {after[:10]} 00:00" in refused
    assert fresh == "0.45 0.45", "a new day and a new month"


async def test_a_month_goes_on_when_the_day_is_over(home: Path) -> None:
    async with ScriptedRouter() as groq:
        groq.answer(usage=TRUE)
        env = environment(
            home, {"groq": groq}, TZ="Asia/Tokyo", LLM_DAILY_BUDGET_USD="0", LLM_MONTHLY_BUDGET_USD="0.90"
        )
        moments = ("2026-06-13T23:59", "2026-06-14T00:00", "2026-06-14T00:01", "2026-07-01T00:00")
        asking = other_process.start("ask_at", PRICED, *moments, env=env)
        await anyio.to_thread.run_sync(other_process.go, asking)
        first, second, refused, fresh = await anyio.to_thread.run_sync(other_process.ended, asking)
    assert (first, second, fresh) == ("0.45 0.45", "0.45 0.9", "0.45 0.45")
    assert "It resets on 2026-07-01 00:00" in refused
    assert "LLM_MONTHLY_BUDGET_USD" in refused


async def test_a_job_that_is_dispatched_is_paid_for_like_any_other_call(home: Path) -> None:
    async with gate(home, "groq", LLM_DAILY_BUDGET_USD="1") as g:
        g.groq.answer(usage=TRUE)
        sent = await g.served.http.post("/api/dispatch", json={"prompt": "hi", "model": PRICED})
        await g.served.http.get(f"/api/result/{sent.json()['id']}?wait=5")
        spend = await g.spend()
        assert (spend["today_usd"], spend["reserved_usd"], spend["calls_today"]) == ("0.45", "0", 1)


async def test_a_retry_and_a_failover_are_one_call_in_the_ledger(home: Path) -> None:
    async with gate(home, "groq", "cerebras") as g:
        for upstream in (g.groq, g.cerebras):
            upstream.models(["gpt-oss-120b"])
        g.groq.fail(500)
        g.cerebras.answer(usage=TRUE)
        told = await g.receipt("gpt-oss-120b")
        assert told["router"] == "cerebras"
        spend = await g.spend()
        assert (spend["calls_today"], spend["today_usd"]) == (1, told["cost_usd"])
