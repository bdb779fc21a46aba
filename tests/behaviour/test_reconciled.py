"""A mixed load, with callers that leave, streams that are cut and a process that is killed: nothing is lost or twice.

What the scripted routers billed and what the ledger says is compared to the nano-dollar; whatever nobody could see to
its end is booked once, and marked. `CHOMP_TEST_EXCHANGES=1000` makes the load as long as one likes.
"""

from __future__ import annotations

import json
import os
import random
import sqlite3
import sys
import time
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import anyio
import openai
import pytest

from tests.support.clock import Clock
from tests.support.gate import Gate, gate
from tests.support.scripted import Recorded, ScriptedRouter, Wire, chunk, completion, sse
from tests.support.serving import process, url_of
from tests.support.world import environment

pytestmark = pytest.mark.anyio

EXCHANGES = int(os.environ.get("CHOMP_TEST_EXCHANGES", "150"))
AT_ONCE = 16
KILLED = 6
PRICE_IN, PRICE_OUT = 150, 600
"""Nano-USD a token, on the list of the router that tells no cost."""
MODES = (
    "whole",
    "streamed",
    "streamed",
    "uncounted",
    "left",
    "left in the middle",
    "cut",
    "refused",
    "paid for nothing",
)
ESTIMATED = {"uncounted", "left", "left in the middle", "cut", "killed"}


class Books:
    """What the routers billed, to the nano-dollar, and which exchanges they saw."""

    def __init__(self) -> None:
        self.billed = 0
        self.seen: dict[str, anyio.Event] = {}

    def event(self, name: str) -> anyio.Event:
        return self.seen.setdefault(name, anyio.Event())

    async def play(self, request: Recorded, wire: Wire) -> None:
        """The mode and the tokens stand in the prompt, the router in the model."""
        order = json.loads(request.json["messages"][-1]["content"])
        asked, answered, mode = order["asked"], order["answered"], order["mode"]
        usage: dict[str, Any] = {
            "prompt_tokens": asked,
            "completion_tokens": answered,
            "total_tokens": asked + answered,
        }
        bill = asked * PRICE_IN + answered * PRICE_OUT
        if request.model == "maker/told":
            bill = asked * 1_001 + answered * 7
            usage["cost"] = f"{bill}e-9"
        if mode == "refused":
            await wire.whole(400, json.dumps({"error": {"message": "no", "type": "t", "code": None}}).encode())
            return
        if mode in {"whole", "paid for nothing"}:
            self.billed += bill
            body = completion("hello", request.model, usage=None) | {"usage": usage}
            await wire.whole(200, json.dumps(body | ({} if mode == "whole" else {"choices": []})).encode())
            return
        self.event(order["name"]).set()
        if mode == "left":
            await wire.gone()
        await wire.head(200, {"content-type": "text/event-stream"})
        await wire.send(sse(chunk("some words ", request.model)))
        if mode == "cut":
            wire.cut()
        if mode in {"left in the middle", "killed"}:
            await wire.gone()
        if mode == "streamed":
            self.billed += bill
        last = {**chunk(model=request.model, finish="stop"), **({"usage": usage} if mode == "streamed" else {})}
        await wire.send(sse(last) + sse("[DONE]"))
        await wire.end()


def order(rng: random.Random, n: int, mode: str = "") -> dict[str, Any]:
    mode = mode or rng.choice(MODES)
    told = mode == "paid for nothing" or rng.random() < 0.5
    return {
        "name": f"{mode} {n}",
        "mode": mode,
        "asked": rng.randint(1, 5_000),
        "answered": rng.randint(1, 900),
        "model": "openrouter/maker/told" if told else "openrouter/maker/listed",
    }


async def ask(client: openai.AsyncOpenAI, each: dict[str, Any]) -> None:
    """As a caller of each kind does it."""
    model, mode = each["model"], each["mode"]
    messages: Any = [{"role": "user", "content": json.dumps(each)}]
    is_streamed = mode not in {"whole", "refused", "paid for nothing"} and not (mode == "left" and each["asked"] % 2)
    try:
        answer: Any = await client.chat.completions.create(
            model=model, messages=messages, stream=is_streamed, max_tokens=1000
        )
        if is_streamed:
            async for piece in answer:
                if mode == "left in the middle" and piece.choices and piece.choices[0].delta.content:
                    await answer.close()
                    return
    except openai.APIError:
        assert mode in {"cut", "refused", "paid for nothing", "killed"}


async def play_all(g: Gate, books: Books, orders: list[dict[str, Any]]) -> None:
    limiter = anyio.CapacityLimiter(AT_ONCE)

    async def one(each: dict[str, Any]) -> None:
        async with limiter:
            if each["mode"] != "left":
                await ask(g.client, each)
                return
            async with anyio.create_task_group() as call:
                call.start_soon(ask, g.client, each)
                await books.event(each["name"]).wait()
                call.cancel_scope.cancel()

    async with anyio.create_task_group() as tasks:
        for each in orders:
            tasks.start_soon(one, each)
    await g.saw_report(len(orders))


async def kill_some(home: Path, routers: dict[str, ScriptedRouter], books: Books, rng: random.Random) -> None:
    """A gateway of its own on the same home dies in the middle of streams."""
    orders = [order(rng, n, "killed") for n in range(KILLED)]
    env = environment(home, routers, GATEWAY_RATE_RPS="0")
    async with process(home, "--port", "0", **env) as gateway:
        client = openai.AsyncOpenAI(base_url=f"{await url_of(gateway)}/v1", api_key="none", max_retries=0)
        async with client, anyio.create_task_group() as tasks:
            for each in orders:
                tasks.start_soon(ask, client, each)
            for each in orders:
                await books.event(each["name"]).wait()
            gateway.kill()


def tallies(home: Path) -> Counter[str]:
    """All months of the owner, added up."""
    with sqlite3.connect(home / "state.db") as db:
        rows = db.execute("SELECT key, value FROM kv WHERE key LIKE 'spend:owner:____-__'").fetchall()
    db.close()
    found: Counter[str] = Counter()
    for _, value in rows:
        found.update({name: count for name, count in json.loads(value).items() if isinstance(count, int)})
    return found


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL")
async def test_a_mixed_load_is_booked_as_it_was_billed_and_every_estimate_is_marked(home: Path) -> None:
    rng, books, clock = random.Random(20_261_128), Books(), Clock(time.time())
    orders = [order(rng, n) for n in range(EXCHANGES)]
    listed = {"id": "maker/listed", "pricing": {"prompt": "0.00000015", "completion": "0.0000006"}}
    async with AsyncExitStack() as stack:
        g = await stack.enter_async_context(gate(home, "openrouter", clock=clock, CIRCUIT_FAILURE_THRESHOLD="1000000"))
        g.openrouter.models([listed, "maker/told"])
        g.openrouter.play(books.play)
        await g.client.models.list()
        with anyio.fail_after(60 + EXCHANGES / 2):
            await play_all(g, books, orders)
            await kill_some(home, g.routers, books, rng)
        clock.advance(20 * 60)
        spend = await g.spend()
        assert spend["reserved_usd"] == "0"
    modes = Counter(each["mode"] for each in orders)
    told = tallies(home)
    assert told["nano_usd"] - told["estimated_nano"] == books.billed
    assert told["estimated"] == KILLED + sum(count for mode, count in modes.items() if mode in ESTIMATED)
    answered = sum(count for mode, count in modes.items() if mode not in {"refused", "paid for nothing"})
    assert told["calls"] == answered + KILLED + 2 * modes["paid for nothing"], "once each; and both tries of a failure"
    estimates = [report.receipt for report in g.reports if report.receipt.usage.estimated]
    assert len(estimates) == told["estimated"] - KILLED
