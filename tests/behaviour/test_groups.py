"""A group's name is a model at every door, and its order decides who is asked first."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from mcp.client import Client
from mcp.types import PromptReference
from openai import AsyncOpenAI

from chomp_mcp.app import Chomp
from chomp_mcp.doors.mcp.server import build_server
from chomp_mcp.errors import InvalidSetting, UnknownModel
from chomp_mcp.messages import AUTO, OWNER, ChatRequest
from chomp_mcp.settings import Settings
from tests.support.clock import Clock
from tests.support.scripted import completion
from tests.support.serving import serving
from tests.support.world import World, environment, world

pytestmark = pytest.mark.anyio

HI: list[Any] = [{"role": "user", "content": "hi"}]


def write(home: Path, rows: str) -> None:
    home.mkdir(exist_ok=True)
    (home / "config.toml").write_text(rows, encoding="utf-8")


@asynccontextmanager
async def grouped(home: Path, rows: str, *names: str, listed: Any = (), **settings: Any) -> AsyncIterator[World]:
    """Three scripted routers that answer, and these groups."""
    write(home, rows)
    async with world(home, *(names or ("groq", "cerebras", "sambanova")), **settings) as w:
        for router in w:
            router.models(listed or ["small", "large"])
            router.reply(200, completion("ok"))
        await w.chomp.list_models()
        yield w


async def planned(w: World, model: str, **body: Any) -> list[str]:
    plan = await w.chomp.gateway.plan(OWNER, ChatRequest({"messages": HI, **body}, model, AUTO))
    return [route.ref for route in plan.routes]


async def test_refs_and_patterns_stand_in_the_order_written(home: Path) -> None:
    async with grouped(home, '[groups.coding]\nmodels = ["cerebras/large", "groq/*", "*/la*", "small"]') as w:
        assert await planned(w, "coding") == [
            "cerebras/large", "groq/small", "groq/large", "sambanova/large", "cerebras/small", "sambanova/small",
        ]  # fmt: skip
        assert (await w.chomp.ask("hi", model="coding")).receipt["served"] == "cerebras/large"
        w.cerebras.on(model="large").fail(500)
        receipt = (await w.chomp.ask("hi", model="coding")).receipt
        assert (receipt["asked"], receipt["served"]) == ("coding", "groq/small")


async def test_a_group_may_hold_another_and_auto_may_be_one(home: Path) -> None:
    rows = '[groups.auto]\nmodels = ["fast", "sambanova/small"]\n[groups.fast]\nmodels = ["groq/large"]'
    async with grouped(home, rows) as w:
        assert await planned(w, "auto") == await planned(w, "") == ["groq/large", "sambanova/small"]
        assert await planned(w, "fast") == ["groq/large"]


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ('models = ["coding"]', "names itself: coding -> coding"),
        ('models = ["other"]\n[groups.other]\nmodels = ["coding"]', "names itself: coding -> other -> coding"),
        ("models = []", "models must be a list of model refs"),
        ("", "models must be a list of model refs"),
        ('models = "groq/auto"', "models must be a list of model refs"),
        ('models = ["groq/"]', "is no model ref"),
        ('models = ["a b"]', "is no model ref"),
        ('models = ["grok/*"]', "matches nothing: there is no router 'grok'"),
        ('models = ["groq/auto"]\norder = "cheap"', "order must be one of listed, quota, cost, speed, spread"),
        ('models = ["groq/auto"]\norder = 1', "order must be one of listed"),
        ('models = ["groq/auto"]\nneeds = ["eyes"]', "needs must be a list of tools"),
        ('models = ["groq/auto"]\nsticky = "yes"', "sticky must be true or false"),
        ('models = ["groq/auto"]\nhedge = 1', "hedge must be true or false"),
        ('models = ["groq/auto"]\nmodel = "x"', "unknown field 'model'"),
        ('models = ["groq/auto"]\n[groups.groq]\nmodels = ["a"]', "the name is a router's id"),
        ('models = ["groq/auto"]\n[groups."a/b"]\nmodels = ["a"]', "may hold only letters"),
    ],
)
async def test_a_group_that_cannot_be_meant_is_told_at_start(home: Path, row: str, told: str) -> None:
    write(home, f"[groups.coding]\n{row}\n")
    with pytest.raises(InvalidSetting) as wrong:
        Chomp(Settings.load({"CHOMP_HOME": str(home)}))
    assert told in str(wrong.value)


async def test_patterns_that_match_nothing_listed_are_told(home: Path) -> None:
    async with grouped(home, '[groups.coding]\nmodels = ["groq/*:fre", "zen/*"]') as w:
        with pytest.raises(UnknownModel, match=r"group coding .*groq/\*:fre matches no listed model"):
            await planned(w, "coding")


SEEN = [{"id": "small", "capabilities": {"vision": False}}, {"id": "large"}]


async def test_what_a_group_needs_is_needed_by_every_request(home: Path) -> None:
    async with grouped(
        home, '[groups.eyes]\nmodels = ["groq/small", "groq/large"]\nneeds = ["vision"]', listed=SEEN
    ) as w:
        assert await planned(w, "eyes") == ["groq/large"]


PRICED = {
    "dear": {"prompt": "0.00001", "completion": "0.00001"},
    "cheap": {"prompt": "0.000001", "completion": "0.000001"},
}


async def test_cost_puts_the_cheapest_first_and_the_unknown_last(home: Path) -> None:
    rows = '[groups.thrift]\nmodels = ["sambanova/odd", "sambanova/dear", "sambanova/cheap"]\norder = "cost"'
    listed = [{"id": "odd"}, *({"id": name, "pricing": price} for name, price in PRICED.items())]
    async with grouped(home, rows, "sambanova", listed=listed) as w:
        assert await planned(w, "thrift") == ["sambanova/cheap", "sambanova/dear", "sambanova/odd"]


async def test_quota_puts_what_expires_first_in_front_and_what_is_used_up_last(home: Path) -> None:
    rows = '[groups.rest]\nmodels = ["groq/small", "cerebras/small", "sambanova/small"]\norder = "quota"'
    async with grouped(home, rows, clock=Clock()) as w:
        for router, left, reset in ((w.groq, 5, "3h"), (w.cerebras, 0, "3h"), (w.sambanova, 5, "1h")):
            told = {"x-ratelimit-limit-requests": "10", "x-ratelimit-remaining-requests": str(left)}
            router.headers = {**told, "x-ratelimit-reset-requests": reset}
        for name in w.routers:
            await w.chomp.ask("hi", model=f"{name}/small")
        assert (await planned(w, "rest"))[-1] == "cerebras/small"
        assert (await planned(w, "rest"))[0] == "sambanova/small"


async def test_speed_measures_each_once_and_then_takes_the_quickest(home: Path) -> None:
    clock = Clock()
    rows = '[groups.quick]\nmodels = ["groq/small", "cerebras/small"]\norder = "speed"\nsticky = false'

    async with grouped(home, rows, "groq", "cerebras", clock=clock) as w:
        served = []
        for _ in range(2):
            async with w.chomp.gateway.exchange(OWNER, ChatRequest({"messages": HI}, "quick", stream=False)) as reply:
                served.append(reply.route.router.id)
        assert served == ["groq", "cerebras"]
        route = (await w.chomp.gateway.plan(OWNER, ChatRequest({"messages": HI}, "groq/small"))).routes[0]
        await w.chomp.health.speeds.measured(route, 30.0, stream=False)
        async with w.chomp.gateway.exchange(OWNER, ChatRequest({"messages": HI}, "quick", stream=False)) as reply:
            assert reply.route.router.id == "cerebras"


async def test_speed_counts_tokens_a_second_too(home: Path) -> None:
    rows = '[groups.quick]\nmodels = ["groq/small", "cerebras/small"]\norder = "speed"\nsticky = false'
    async with grouped(home, rows, "groq", "cerebras") as w:
        routes = {
            name: (await w.chomp.gateway.plan(OWNER, ChatRequest({"messages": HI}, f"{name}/small"))).routes[0]
            for name in ("groq", "cerebras")
        }
        for name, seconds, tokens in (("groq", 0.2, 20), ("cerebras", 1.0, 2000)):
            await w.chomp.health.speeds.measured(routes[name], seconds, stream=True)
            await w.chomp.health.speeds.generated(routes[name], tokens, 1.0)
        assert (await planned(w, "quick"))[0] == "cerebras/small"  # 500 tokens take it 1.25 s, and Groq 25 s
        assert (await planned(w, "quick", max_tokens=10))[0] == "groq/small"  # 0.7 s, and 1.005 s
        view = await w.chomp.gateway.explain(OWNER, ChatRequest({"messages": HI}, "quick"))
        assert view["plan"][0]["reason"] == "1.00 s to the first token, 2000 tokens a second"


async def test_a_pattern_that_matches_ten_thousand_is_as_good_as_one_that_matches_few(home: Path) -> None:
    rows = '[groups.many]\nmodels = ["*", "groq/*"]\norder = "cost"'
    async with grouped(home, rows, "groq", listed=[f"m{number}" for number in range(10_000)]) as w:
        found = await planned(w, "many")
        assert found == [f"groq/m{number}" for number in range(32)]
        assert (await w.chomp.ask("hi", model="many")).receipt["served"] == "groq/m0"


async def test_a_conversation_keeps_its_route_unless_the_group_says_no(home: Path) -> None:
    rows = """[groups.kept]
models = ["groq/small", "cerebras/small", "sambanova/small"]
order = "spread"
[groups.loose]
models = ["groq/small", "cerebras/small", "sambanova/small"]
order = "spread"
sticky = false
"""
    async with grouped(home, rows) as w:

        async def served(group: str) -> list[str]:
            found = []
            for _ in range(30):
                async with w.chomp.gateway.exchange(OWNER, ChatRequest({"messages": HI}, group, session="s")) as reply:
                    await reply.completion()
                    found.append(reply.receipt().served)
            return found

        assert len(set(await served("kept"))) == 1
        assert len(set(await served("loose"))) > 1


async def test_a_group_is_listed_completed_and_asked_at_every_door(home: Path) -> None:
    async with grouped(home, '[groups.coding]\nmodels = ["groq/small"]', "groq") as w:
        async with Client(build_server(w.chomp)) as client:
            listed = await client.call_tool("list_models", {})
            assert listed.structured_content is not None
            assert listed.structured_content["groups"] == ["coding"]
            completed = await client.complete(
                PromptReference(type="ref/prompt", name="ask_model"), {"name": "model", "value": "cod"}
            )
            assert completed.completion.values == ["coding"]
            asked = await client.call_tool("ask", {"prompt": "hi", "model": "coding"})
            assert not asked.is_error
        settings = Settings.load(environment(home, w.routers, GATEWAY_RATE_RPS="0"))
        async with (
            serving(settings) as served,
            AsyncOpenAI(base_url=f"{served.url}/v1", api_key="none", max_retries=0) as client,
        ):
            assert "coding" in [model.id async for model in await client.models.list()]
            assert (await client.models.retrieve("coding")).owned_by == "chomp"
            answer = await client.chat.completions.create(model="coding", messages=HI)
            assert answer.to_dict()["chomp"]["model"] == "small"
            anthropic = await served.http.get("/v1/models", headers={"anthropic-version": "2023-06-01"})
            assert any(each["id"].endswith("coding") for each in anthropic.json()["data"])
            codex = await served.http.get("/v1/models?client_version=1")
            assert codex.json()["models"][0]["slug"] == "coding"
            message = {"model": "coding", "max_tokens": 9, "messages": HI}
            assert (await served.http.post("/v1/messages", json=message)).status_code == 200
            assert (await served.http.post("/v1/responses", json={"model": "coding", "input": "hi"})).status_code == 200
