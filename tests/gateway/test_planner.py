"""A plan is kept for as long as it is true."""

from __future__ import annotations

import gc
from dataclasses import replace
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest

from chomp_mcp.app import Chomp
from chomp_mcp.errors import InvalidRequest
from chomp_mcp.gateway import planner
from chomp_mcp.gateway.model_list import FRESH_SECONDS
from chomp_mcp.messages import AUTO, OWNER, Caller, ChatRequest, Failed, FailureKind, Plan
from chomp_mcp.policy.routing import MOST_ROUTERS
from chomp_mcp.settings import Settings
from tests.support.clock import Clock
from tests.support.scripted import ScriptedRouter
from tests.support.world import World, environment, world

pytestmark = pytest.mark.anyio
GONE = Failed(FailureKind.NO_SUCH_MODEL, "gone", 404)


async def planned(chomp: Chomp, model: str, router: str = AUTO, caller: Caller = OWNER) -> Plan:
    return await chomp.gateway.plan(caller, ChatRequest({}, model, router))


async def refs(w: World, model: str, router: str = AUTO) -> list[str]:
    return [route.ref for route in (await planned(w.chomp, model, router)).routes]


@pytest.mark.parametrize("ref", ["groq/m", "groq/auto", "m", "auto", ""])
async def test_the_same_ref_has_the_same_plan_until_a_list_has_ended(home: Path, ref: str) -> None:
    clock = Clock()
    async with world(home, "groq", clock=clock) as w:
        w.groq.models([{"id": "m", "context_length": 9}])
        await w.chomp.list_models()
        before = await planned(w.chomp, ref)
        assert await planned(w.chomp, ref) is before
        w.groq.models([{"id": "m", "context_length": 10}])
        clock.advance(FRESH_SECONDS)
        await w.chomp.list_models()
        after = await planned(w.chomp, ref)
        assert [route.listed.context_length for plan in (before, after) for route in plan.routes if route.listed] == [
            9,
            10,
        ]


async def test_a_list_that_becomes_known_is_seen(home: Path) -> None:
    async with world(home, "groq") as w:
        w.groq.models(["m"])
        assert (await planned(w.chomp, "groq/m")).routes[0].listed is None
        await w.chomp.list_models("groq")
        assert (await planned(w.chomp, "groq/m")).routes[0].listed


OWN = {
    "groq/compound": "groq/groq/compound",
    "groq/groq/compound": "groq/groq/compound",
    "groq/compound-mini": "groq/groq/compound-mini",
    "groq/openai/gpt-oss-120b": "groq/openai/gpt-oss-120b",
    "groq/odd": "groq/odd",
    "openrouter/pareto-code": "openrouter/openrouter/pareto-code",
    "openrouter/free": "openrouter/openrouter/free",
    "openrouter/openrouter/pareto-code": "openrouter/openrouter/pareto-code",
    "openrouter/maker/m": "openrouter/maker/m",
}


@pytest.mark.parametrize(("ref", "means"), OWN.items())
async def test_a_ref_means_the_same_whatever_list_is_known(home: Path, ref: str, means: str) -> None:
    async with world(home, "groq", "openrouter") as w:
        w.groq.models(["groq/compound", "groq/compound-mini", "groq/odd", "openai/gpt-oss-120b"])
        w.openrouter.models(["openrouter/pareto-code", "openrouter/free", "maker/m"])
        assert await refs(w, ref) == [means]
        await w.chomp.list_models()
        assert await refs(w, ref) == [means]
        router, _, model = ref.partition("/")
        assert await refs(w, model, router) == [
            means if model.count("/") or ref.count("/") > 1 else f"{router}/{model}"
        ]


async def test_a_router_that_contradicts_its_prefix_once_its_list_has_changed_is_refused(home: Path) -> None:
    clock = Clock()
    async with world(home, "groq", "cerebras", clock=clock) as w:
        w.groq.models(["cerebras/m"])
        assert await refs(w, "cerebras/m", "groq") == ["groq/cerebras/m"]
        w.groq.models(["m"])
        clock.advance(FRESH_SECONDS)
        await w.chomp.list_models("groq")
        with pytest.raises(InvalidRequest, match="contradicts"):
            await planned(w.chomp, "cerebras/m", "groq")


def keys_in_plans() -> set[str]:
    """Of every plan in memory, wherever it is held."""
    gc.collect()
    return {route.key for each in gc.get_objects() if isinstance(each, Plan) for route in each.routes}


async def test_a_plan_whose_key_is_replaced_while_lists_are_read_is_not_remembered(home: Path) -> None:
    async with world(home, "groq") as w:
        await w.chomp.register_keys({"groq": "first-key"})  # which no other test of this process has
        listed = anyio.Event()
        w.groq.on(path="/models").reply(body={"data": [{"id": "m"}]}, before=listed)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(planned, w.chomp, "auto")
            with anyio.fail_after(5):
                while not w.groq.requests:
                    await anyio.lowlevel.checkpoint()
            await w.chomp.register_keys({"groq": "new-key"})
            listed.set()
        assert "first-key" not in keys_in_plans()
        assert {route.key for route in (await planned(w.chomp, "auto")).routes} == {"new-key"}


async def test_a_model_that_another_process_found_gone_is_left_out_until_it_is_asked_again(home: Path) -> None:
    clock = Clock()
    async with world(home, "groq", "cerebras", clock=clock) as w, Chomp(w.chomp.settings, clock=clock) as elsewhere:
        for upstream in w:
            upstream.models(["m"])
        both = ["groq/m", "cerebras/m"]
        assert await refs(w, "m") == await refs(w, "auto") == both
        await elsewhere.health.failed((await planned(elsewhere, "m")).routes[0], GONE)
        assert await refs(w, "m") == await refs(w, "auto") == ["cerebras/m"]
        clock.advance(24 * FRESH_SECONDS)
        assert await refs(w, "m") == await refs(w, "auto") == both


async def test_when_a_name_is_gone_at_the_first_routers_the_next_of_many_take_their_place(tmp_path: Path) -> None:
    names = [f"r{n:02}" for n in range(3 * MOST_ROUTERS)]
    async with ScriptedRouter() as upstream:
        upstream.models(["m"])
        (tmp_path / "config.toml").write_text("".join(f'[routers.{name}]\nurl = "{upstream.url}"\n' for name in names))
        async with Chomp(Settings.load(environment(tmp_path, {}))) as chomp:
            first = (await planned(chomp, "m")).routes
            assert [route.router.id for route in first] == names[:MOST_ROUTERS]
            for route in (*first, replace(first[0], router=chomp.routers[names[MOST_ROUTERS]])):
                await chomp.health.failed(route, GONE)
            rest = [route.router.id for route in (await planned(chomp, "m")).routes]
            assert rest == names[MOST_ROUTERS + 1 : 2 * MOST_ROUTERS + 1]


async def test_few_plans_are_kept_and_none_for_a_ref_of_any_length(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planner, "MOST_PLANS", 10)
    async with world(home, "groq") as w:
        kept = w.chomp.gateway.planner._plans
        for n in range(25):
            await planned(w.chomp, f"groq/m{n}")
        assert [model for _, model, *_ in kept] == [f"groq/m{n}" for n in range(15, 25)]
        assert await refs(w, " " * 1000 + "groq/m") == ["groq/m"]
        assert max(len(model) for _, model, *_ in kept) < 10


async def test_plans_whose_lists_have_ended_make_room(home: Path) -> None:
    clock = Clock()
    async with world(home, "groq", clock=clock) as w:
        kept = w.chomp.gateway.planner._plans
        await w.chomp.list_models("groq")
        for ref in ("groq/a", "groq/b"):
            await planned(w.chomp, ref)
        clock.advance(FRESH_SECONDS)
        await w.chomp.list_models("groq")
        await planned(w.chomp, "groq/c")
        assert [model for _, model, *_ in kept] == ["groq/c"]
