"""What calls really cost: through POST /v1/chat/completions by the official client, and the store itself."""

from __future__ import annotations

import base64
import json
import sqlite3
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import anyio
import openai
import pytest

from tests.behaviour.bed import Bed
from tests.support.clock import Clock
from tests.support.gate import Gate, gate
from tests.support.scripted import ScriptedRouter, chunk, completion, sse

pytestmark = pytest.mark.anyio

D = Decimal
GPT_OSS = "groq/openai/gpt-oss-120b"
"""$0.15 per million tokens in, $0.60 out."""
streamed = pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])


def play(upstream: ScriptedRouter, text: str = "hello", *, stream: bool, **body: Any) -> None:
    """An answer with this `usage`, and whatever stands beside it."""
    if not stream:
        upstream.answer(text, usage=None, extra=body)
        return
    last = {**chunk(), "choices": [], **body}
    upstream.stream([text, chunk(finish="stop"), sse(last), sse("[DONE]")], finish=None, done=False, usage=None)


async def cost(g: Gate, model: str, *, stream: bool = False, **fields: Any) -> Decimal:
    return D((await g.receipt(model, stream=stream, **fields))["cost_usd"])


# What the router counts and says.


@streamed
async def test_a_key_of_ones_own_behind_the_router_costs_what_the_provider_bills(home: Path, stream: bool) -> None:
    usage = {"prompt_tokens": 9, "completion_tokens": 9, "cost": 0, "is_byok": True}
    usage["cost_details"] = {"upstream_inference_cost": 0.0360795}
    async with gate(home, "openrouter") as g:
        play(g.openrouter, stream=stream, usage=usage)
        assert await cost(g, "openrouter/maker/m", stream=stream) == D("0.0360795")
        g.openrouter.clear()
        play(g.openrouter, stream=stream, usage={**usage, "is_byok": False, "cost": 0.01})
        assert await cost(g, "openrouter/maker/m", stream=stream) == D("0.01")


@streamed
async def test_tokens_that_only_the_total_counts_are_paid_for(home: Path, stream: bool) -> None:
    usage = {"prompt_tokens": 10_120, "completion_tokens": 1_499, "total_tokens": 14_428}
    usage["completion_tokens_details"] = {"reasoning_tokens": 2_809}
    async with gate(home, "groq") as g:
        play(g.groq, stream=stream, usage=usage)
        assert await cost(g, GPT_OSS, stream=stream) == (10_120 * D("0.15") + 4_308 * D("0.60")) / 10**6
        told = g.reports[0].receipt.as_dict()["usage"]
        assert (told["output_tokens"], told["reasoning_tokens"]) == (4_308, 2_809)


@streamed
@pytest.mark.parametrize("count", [None, 0])
async def test_a_usage_of_nothing_beside_an_answer_is_estimated(home: Path, stream: bool, count: int | None) -> None:
    async with gate(home, "groq") as g:
        play(g.groq, "x" * 4000, stream=stream, usage={"prompt_tokens": count, "completion_tokens": count})
        assert await cost(g, GPT_OSS, stream=stream) == D("0.00060015")
        assert g.reports[0].receipt.usage.estimated


async def test_a_service_tier_has_its_own_price(home: Path) -> None:
    async with gate(home, "openai") as g:
        usage = {"prompt_tokens": 1_000_000, "completion_tokens": 0, "total_tokens": 1_000_000}
        for tier, dollars in (("default", "0.75"), ("priority", "1.5"), ("flex", "0.375")):
            g.openai.clear()
            answer = completion("", usage=None) | {"usage": usage, "service_tier": tier}
            answer["choices"][0]["finish_reason"] = "length"
            g.openai.reply(200, answer)
            assert await cost(g, "openai/gpt-5.4-mini") == D(dollars)


# Estimates.


async def test_a_picture_in_a_request_that_nobody_counted_is_not_taken_for_a_megabyte_of_words(home: Path) -> None:
    picture = "data:image/png;base64," + base64.b64encode(bytes(range(256)) * 12_000).decode()
    content = [{"type": "text", "text": "what is this"}, {"type": "image_url", "image_url": {"url": picture}}]
    async with gate(home, "groq") as g:
        g.groq.models([{"id": "m", "pricing": {"prompt": "0.000003", "completion": "0.000003"}}])
        await g.client.models.list()
        play(g.groq, stream=False)
        messages: Any = [{"role": "user", "content": content}]
        await g.client.chat.completions.create(model="groq/m", messages=messages)
        assert D("0.004") < g.reports[0].receipt.cost_usd < D("0.006")


async def test_tools_in_a_request_that_nobody_counted_are_counted(home: Path) -> None:
    tool = {"type": "function", "function": {"name": "f", "description": "d" * 1200, "parameters": {"type": "object"}}}
    async with gate(home, "groq") as g:
        play(g.groq, stream=False)
        await g.chat(GPT_OSS, tools=[tool] * 40)
        assert g.reports[0].receipt.usage.input_tokens > 12_000


# Lists of one's own.

LISTS = {
    "per million, by its unit": ({"prompt": 0.15, "completion": 0.6, "unit": "per_million_tokens"}, "0.75"),
    "per million, without a unit": ({"prompt": 0.15, "completion": 0.6}, "0.75"),
    "per thousand": ({"prompt": 0.00015, "completion": 0.0006, "unit": "per 1K tokens"}, "0.75"),
    "per token": ({"prompt": "0.00000015", "completion": "0.0000006"}, "0.75"),
    "another currency": ({"prompt": 0.15, "completion": 0.6, "currency": "EUR"}, None),
    "a unit that nobody knows": ({"prompt": 0.15, "completion": 0.6, "unit": "per banana"}, None),
    "a fee for each call": ({"prompt": 0, "completion": 0, "request": 0.02}, "0.02"),
    "a fee for each picture": ({"prompt": 0, "completion": 0, "image": 0.02}, None),
    "nothing": ({"prompt": 0, "completion": 0}, "0"),
}


@pytest.mark.parametrize(("pricing", "dollars"), LISTS.values(), ids=LISTS.keys())
async def test_a_list_of_ones_own_is_read_in_its_own_units(home: Path, pricing: Any, dollars: str | None) -> None:
    async with ScriptedRouter() as lab:
        Bed(home, lab, lab).write(f'[routers.lab]\nurl = "{lab.url}"\n')
        lab.models([{"id": "m", "pricing": pricing}])
        async with gate(home) as g:
            lab.answer(usage=(1_000_000, 1_000_000))
            await g.client.models.list()
            assert (await g.receipt("lab/m"))["cost_usd"] == dollars


async def test_a_named_model_is_priced_by_its_routers_own_list_although_nobody_asked_for_it(home: Path) -> None:
    async with gate(home, "groq") as g:
        g.groq.models([{"id": "openai/gpt-oss-120b", "pricing": {"prompt": "0.000002", "completion": "0.000002"}}])
        listed = anyio.Event()
        g.groq.answer(usage=(1_000, 1_000), before=listed)
        async with anyio.create_task_group() as tasks:

            async def ask() -> None:
                assert await cost(g, GPT_OSS) == D("0.004")

            tasks.start_soon(ask)
            with anyio.fail_after(10):
                await g.groq.saw_end()
                await g.client.models.list()  # waits for the list that is being read, and asks for none of its own
                assert [request.method for request in g.groq.requests].count("GET") == 1
            listed.set()


# Reservations.


@pytest.mark.parametrize("model", ["maker/m", "maker/m:nitro", "openrouter/auto"])
async def test_calls_at_once_cannot_spend_more_than_is_left(home: Path, model: str) -> None:
    priced = {"id": "maker/m", "pricing": {"prompt": "0", "completion": "0.000015"}}
    dynamic = {"id": "openrouter/auto", "pricing": {"prompt": "-1", "completion": "-1"}}
    async with gate(home, "openrouter", LLM_DAILY_BUDGET_USD="1") as g:
        g.openrouter.models([{**priced, "top_provider": {"max_completion_tokens": 60_000}}, dynamic])
        await g.client.models.list()
        finish = anyio.Event()
        usage = {"prompt_tokens": 1, "completion_tokens": 60_000, "cost": 0.9}
        g.openrouter.answer(before=finish, usage=None, extra={"usage": usage})
        refused = 0

        async def call() -> None:
            nonlocal refused
            try:
                await g.chat(f"openrouter/{model}")
            except openai.RateLimitError:
                refused += 1
                if refused == 19:
                    finish.set()

        with anyio.fail_after(20):
            async with anyio.create_task_group() as tasks:
                for _ in range(20):
                    tasks.start_soon(call)
        assert len(g.openrouter.chats) == 1
        assert (await g.spend())["today_usd"] == "0.9"
        assert await g.receipt(f"openrouter/{model}"), "who is alone may have what is left"


# What nobody waited for, what failed, what cannot be.


async def test_whole_answers_that_are_left_use_up_the_budget(home: Path) -> None:
    async with gate(home, "groq", LLM_DAILY_BUDGET_USD="0.01") as g:
        g.groq.hang()
        for count in range(1, 4):
            with anyio.fail_after(10):
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(lambda: g.chat(GPT_OSS))
                    await g.groq.saw_request(count)
                    tasks.cancel_scope.cancel()
                await g.saw_report(count)
        spend = await g.spend()
        assert D("0.007") < D(spend["today_usd"]) <= D("0.01")
        assert (spend["estimated_calls_today"], spend["calls_today"]) == (3, 3)
        with pytest.raises(openai.RateLimitError):
            await g.chat(GPT_OSS, max_tokens=8192)


async def test_what_a_failed_answer_says_that_it_cost_is_booked(home: Path) -> None:
    async with gate(home, "openrouter") as g:
        body = {"id": "x", "object": "chat.completion", "choices": [], "usage": {"cost": 0.05, "prompt_tokens": 3}}
        g.openrouter.reply(200, body)
        with pytest.raises(openai.APIStatusError):
            await g.chat("openrouter/maker/m")
        assert len(g.openrouter.chats) == 2
        assert (await g.spend())["today_usd"] == "0.1"


@streamed
async def test_a_cost_that_cannot_be_is_noted_and_bounded(home: Path, stream: bool) -> None:
    async with gate(home, "openrouter", "groq", LLM_DAILY_BUDGET_USD="5") as g:
        usage = {"prompt_tokens": 9, "completion_tokens": 9, "cost": 9999}
        play(g.openrouter, stream=stream, usage=usage)
        told = await g.receipt("openrouter/openai/gpt-oss-120b", stream=stream)
        assert D(told["cost_usd"]) < D("0.001")
        assert any("cannot be" in note for note in told["notes"])
        assert await cost(g, GPT_OSS), "others are not refused for it"


async def test_a_jobs_cost_is_in_the_store_before_the_job_is_done(home: Path) -> None:
    async with gate(home, "groq") as g:
        g.groq.answer(usage=(1_000_000, 500_000))
        chomp = g.served.chomp
        job = await chomp.dispatch("hi", model=GPT_OSS)
        done = await chomp.result(job.id, wait_seconds=10)
        assert done.status == "done"
        with sqlite3.connect(home / "state.db") as db:
            rows = db.execute("select value from kv where key like 'spend:%'").fetchall()
        db.close()
        assert {json.loads(value)["nano_usd"] for (value,) in rows} == {450_000_000}


async def test_a_reset_is_told_in_the_users_zone_on_the_other_side_of_a_clock_change(
    home: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    try:
        clock.now = 1_791_626_400.0  # 10 October 2026, summer time
        async with gate(home, "groq", clock=clock, LLM_MONTHLY_BUDGET_USD="0.001", LLM_DAILY_BUDGET_USD="0") as g:
            with pytest.raises(openai.RateLimitError, match="It resets on 2026-11-01 00:00"):
                await g.chat(GPT_OSS, max_tokens=100_000)
    finally:
        monkeypatch.undo()
        time.tzset()
