"""A group that hedges: a silent route is raced by the next, never beyond the budget, and every call is booked once.

The chaos load is short here; `CHOMP_TEST_HEDGES=2000` makes it as long as one likes, beside the same without a race,
and `--log-cli-level=info` tells what it found.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any

import anyio
import pytest
from openai import AsyncOpenAI

from chomp_mcp.errors import UpstreamFailed
from chomp_mcp.gateway.speeds import Speeds
from chomp_mcp.messages import OWNER, ChatRequest, Receipt
from chomp_mcp.policy import budget
from chomp_mcp.settings import Settings
from tests.support.scripted import Recorded, ScriptedRouter, Wire, chunk, sse
from tests.support.serving import serving
from tests.support.world import World, environment, world

pytestmark = pytest.mark.anyio
_log = logging.getLogger(__name__)

HI: list[Any] = [{"role": "user", "content": "hi"}]
ROW = '[groups.fast]\nmodels = ["groq/m", "cerebras/m"]\nhedge = true\nsticky = false\n'
PRICED = [{"id": "m", "pricing": {"prompt": "0.000001", "completion": "0.000001"}}]
"""A dollar for a million tokens."""
WHOLE = Decimal(10) / 1_000_000
"""What `hello` costs: 7 tokens in, 3 out."""


def write(home: Path, row: str) -> None:
    home.mkdir(exist_ok=True)
    (home / "config.toml").write_text(row, encoding="utf-8")


@asynccontextmanager
async def hedged(home: Path, row: str = ROW, **settings: Any) -> AsyncIterator[World]:
    """Groq answers at once, and so does Cerebras; Groq is known to."""
    write(home, row)
    async with world(home, "groq", "cerebras", **settings) as w:
        for router in w:
            router.models(PRICED)
        await w.chomp.list_models()
        for _ in range(2):
            await asked(w)
        yield w


async def asked(w: World, **body: Any) -> Receipt:
    """The receipt of an answer that was read to its end."""
    request = ChatRequest({"messages": HI, "max_tokens": 100, **body}, "fast")
    with anyio.fail_after(20):
        async with w.chomp.gateway.exchange(OWNER, request) as reply:
            await reply.completion()
            return reply.receipt()


def outcomes(receipt: Receipt) -> list[tuple[str, str]]:
    return [(attempt.router, attempt.outcome) for attempt in receipt.attempts]


async def spent(w: World) -> int:
    return (await w.chomp.ledger.spent(OWNER.id)).day_nano


async def test_a_silent_route_is_raced_and_the_receipt_tells_it(home: Path) -> None:
    async with hedged(home) as w:
        before = await spent(w)
        w.groq.hang()
        receipt = await asked(w)
        assert outcomes(receipt) == [("groq", "outraced"), ("cerebras", "ok")]
        assert any("groq/m was silent for" in note and "raced by cerebras/m" in note for note in receipt.notes)
        await w.groq.saw_disconnect()
        assert receipt.cost_usd is not None
        assert receipt.cost_usd > WHOLE  # the one that was called off is booked, too
        assert await spent(w) - before == budget.nano(receipt.cost_usd)
        assert (await w.chomp.ledger.spent(OWNER.id)).held_nano == 0


async def test_the_slow_one_may_still_win(home: Path) -> None:
    async with hedged(home) as w:
        w.cerebras.hang()
        w.groq.stream([0.4, "late"])
        receipt = await asked(w)
        assert outcomes(receipt) == [("groq", "ok"), ("cerebras", "outraced")]
        assert receipt.served == "groq/m"
        await w.cerebras.saw_disconnect()


async def test_who_answers_in_time_is_not_raced(home: Path) -> None:
    async with hedged(home) as w:
        for _ in range(3):
            assert outcomes(await asked(w)) == [("groq", "ok")]
        assert not w.cerebras.chats


async def test_two_calls_never_run_on_the_money_of_one(home: Path) -> None:
    # A call of at most 100 tokens is reserved at about $0.00013; warming up has used up $0.00002.
    async with hedged(home, LLM_DAILY_BUDGET_USD="0.00020", LLM_MONTHLY_BUDGET_USD="0") as w:
        w.groq.stream([0.4, "late"])
        receipt = await asked(w)
        assert outcomes(receipt) == [("groq", "ok")]
        assert any("not raced: the budget has no room" in note for note in receipt.notes)
        assert not w.cerebras.chats


async def test_where_both_fail_the_plan_goes_on(home: Path) -> None:
    row = ROW.replace('"cerebras/m"]', '"cerebras/m", "groq/n", "cerebras/n"]')
    async with hedged(home, row) as w:
        w.groq.on(model="m").fail(400, {"error": {"message": "no such model", "code": "model_not_found"}}, before=0.6)
        w.cerebras.on(model="m").fail(404, {"error": {"message": "gone", "code": "model_not_found"}})
        receipt = await asked(w)
        assert outcomes(receipt) == [("groq", "no_such_model"), ("cerebras", "no_such_model"), ("groq", "ok")]
        assert receipt.served == "groq/n"


async def test_a_caller_that_leaves_ends_both(home: Path) -> None:
    async with hedged(home) as w:
        w.groq.hang()
        w.cerebras.hang()
        with anyio.move_on_after(0.7):
            await asked(w)
        await w.groq.saw_disconnect()
        await w.cerebras.saw_disconnect()
        report = w.reports[-1]
        assert [attempt.outcome for attempt in report.receipt.attempts] == ["hung_up", "hung_up"]
        assert (await w.chomp.ledger.spent(OWNER.id)).held_nano == 0


@pytest.mark.parametrize("is_least", [False, True], ids=["the winner is measured", "the loser is called off"])
async def test_a_caller_that_leaves_just_when_a_route_has_won_ends_that_too(
    home: Path, monkeypatch: pytest.MonkeyPatch, *, is_least: bool
) -> None:
    reached, go_on, measured = anyio.Event(), anyio.Event(), Speeds.measured

    async def held(self: Speeds, *args: Any, **how: Any) -> None:
        if how.get("is_least", False) is is_least:
            reached.set()
            await go_on.wait()
        await measured(self, *args, **how)

    async with hedged(home) as w:

        async def stream() -> None:
            request = ChatRequest({"messages": HI, "max_tokens": 100}, "fast", stream=True)
            async with w.chomp.gateway.exchange(OWNER, request) as reply:
                await reply.completion()

        for _ in range(2):
            await stream()
        w.groq.hang()
        w.cerebras.hang(after=["hello"])
        monkeypatch.setattr(Speeds, "measured", held)
        with anyio.fail_after(20):
            caller = asyncio.create_task(stream())
            await reached.wait()
            caller.cancel()
            await asyncio.sleep(0)
            go_on.set()
            with pytest.raises(asyncio.CancelledError):
                await caller
            await w.cerebras.saw_disconnect()
            await w.groq.saw_disconnect()
        outcome = {attempt.router: attempt.outcome for attempt in w.reports[-1].receipt.attempts}
        assert outcome["cerebras"] == "hung_up"
        assert (await w.chomp.ledger.spent(OWNER.id)).held_nano == 0


async def test_one_call_at_a_time_where_nothing_else_is_ready(home: Path) -> None:
    async with hedged(home) as w:
        w.cerebras.fail(429, headers={"retry-after": "60"})
        w.groq.fail(500)
        with pytest.raises(UpstreamFailed):
            await asked(w)
        w.groq.stream([0.5, "late"])
        assert [router for router, _ in outcomes(await asked(w))] == ["groq"]


async def test_a_race_is_seen_at_the_http_door(home: Path) -> None:
    async with hedged(home) as w:
        settings = Settings.load(environment(home, w.routers, GATEWAY_RATE_RPS="0"))
        async with (
            serving(settings) as served,
            AsyncOpenAI(base_url=f"{served.url}/v1", api_key="none", max_retries=0) as client,
        ):
            await client.chat.completions.create(model="fast", messages=HI)
            w.groq.hang()
            stream = await client.chat.completions.with_raw_response.create(model="fast", messages=HI, stream=True)
            assert stream.headers["x-chomp-router"] == "cerebras"
            assert "raced by cerebras/m" in stream.headers["x-chomp-notes"]
            said = [piece.choices[0].delta.content async for piece in stream.parse() if piece.choices]
            assert "hello" in said


HEDGES = int(os.environ.get("CHOMP_TEST_HEDGES", "80"))
AT_ONCE = 12
STALL_SECONDS, STALLS_EVERY, FAILS_EVERY = 20.0, 25, 50
"""A stall is longer than three times what a busy machine may take for an answer: every one is raced."""
USUAL_SECONDS = 0.06


def chaotic(router: ScriptedRouter, dice: random.Random, stalls: list[int]) -> None:
    """Answers after a while that varies, fails now and then, and now and then stalls, and says so when it answers."""
    numbers = count(1)

    async def play(_request: Recorded, wire: Wire) -> None:
        number = next(numbers)
        is_stalled = number % STALLS_EVERY == 0
        if is_stalled:
            stalls.append(number)
        await anyio.sleep(STALL_SECONDS if is_stalled else USUAL_SECONDS * dice.uniform(0.7, 1.3))
        if number % FAILS_EVERY == FAILS_EVERY // 2 + 1:
            await wire.whole(503, b'{"error": {"message": "busy"}}', None)
            return
        usage = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
        last = {**chunk(finish="stop"), "choices": [], "usage": usage}
        await wire.head(200, {"content-type": "text/event-stream"})
        for piece in (chunk("late" if is_stalled else "hello"), chunk(finish="stop"), last):
            await wire.send(sse(piece))
        await wire.send(sse("[DONE]"))
        await wire.end()

    router.play(play)


async def load(home: Path, row: str) -> tuple[float, Counter[str], tuple[int, int]]:
    """The p99 of the seconds to the first token, how the attempts ended, how many calls stalled and were waited for.

    The books are looked at by the way.
    """
    seconds: list[float] = []
    receipts: list[Receipt] = []
    stalls: list[int] = []
    said: Counter[str] = Counter()
    async with hedged(home, row, CIRCUIT_FAILURE_THRESHOLD="1000", LLM_DAILY_BUDGET_USD="50") as w:
        before, seen = await w.chomp.ledger.spent(OWNER.id), [len(router.chats) for router in w]
        for number, router in enumerate(w):
            chaotic(router, random.Random(number), stalls)
        limit = anyio.CapacityLimiter(AT_ONCE)

        async def one() -> None:
            async with limit:
                began = time.perf_counter()
                request = ChatRequest({"messages": HI, "max_tokens": 100}, "fast")
                async with w.chomp.gateway.exchange(OWNER, request) as reply:
                    seconds.append(time.perf_counter() - began)
                    said[(await reply.completion()).text] += 1
                    receipts.append(reply.receipt())

        with anyio.fail_after(60 + HEDGES / 2):
            async with anyio.create_task_group() as tasks:
                for _ in range(HEDGES):
                    tasks.start_soon(one)
        booked = sum(budget.nano(receipt.cost_usd or Decimal(0)) for receipt in receipts)
        after = await w.chomp.ledger.spent(OWNER.id)
        assert after.day_nano - before.day_nano == booked  # to the nano-dollar
        assert after.held_nano == 0
        calls = sum(len(router.chats) for router in w) - sum(seen)
        ended = Counter(attempt.outcome for receipt in receipts for attempt in receipt.attempts)
        assert ended["ok"] == HEDGES
        # One that was called off may be gone before its router has read it.
        assert ended.total() - ended["outraced"] <= calls <= ended.total()
        # Each call is booked once: an answer at its price, one that was called off at what it would have cost.
        assert after.estimated - before.estimated == ended["outraced"]
    return sorted(seconds)[int(len(seconds) * 0.99)], ended, (len(stalls), said["late"])


@pytest.mark.timeout(60 + HEDGES)
async def test_hedging_cuts_the_tail_of_a_chaos_load(home: Path, tmp_path: Path) -> None:
    if HEDGES > AT_ONCE**2:
        p99, _, (stalls, late) = await load(tmp_path / "plain", ROW.replace("hedge = true", "hedge = false"))
        _log.info("not raced: p99 of the first token %.3f s, %d of %d stalls waited for", p99, late, stalls)
        assert late == stalls
    p99, ended, (stalls, late) = await load(tmp_path / "raced", ROW)
    _log.info("%d exchanges, %d at once, raced: p99 of the first token %.3f s", HEDGES, AT_ONCE, p99)
    _log.info("%d of %d stalls waited for; %s", late, stalls, dict(ended))
    _log.info("double bookings 0, spend reconciled")
    assert ended["outraced"] >= stalls - late
    assert late <= stalls // 4  # both may stall
