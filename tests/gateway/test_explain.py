"""Why a request would go where, without a call."""

from __future__ import annotations

from pathlib import Path

import pytest

from chomp_mcp.gateway.explain import PlanView
from chomp_mcp.messages import OWNER, ChatRequest
from tests.support.world import World, world

pytestmark = pytest.mark.anyio


async def explained(w: World, model: str) -> PlanView:
    return await w.chomp.gateway.explain(OWNER, ChatRequest.from_prompt("hi", model=model))


async def test_each_place_has_its_reason_and_nothing_is_called(home: Path) -> None:
    async with world(home, "groq", "cerebras", GROQ_API_KEY="one,two") as w:
        w.groq.models(["m", w.chomp.routers["groq"].models[0]])
        w.cerebras.models(["m"])
        named = await explained(w, "groq/m")
        assert [row["reason"] for row in named["plan"]] == [
            "named by the caller",
            "named by the caller; with key number 2",
        ]
        bare = await explained(w, "m")
        assert {row["router"]: row["reason"] for row in bare["plan"]}["cerebras"] == "cerebras has a model of that name"
        assert [row["place"] for row in bare["plan"]] == [1, 2, 3]
        assert (await explained(w, "auto"))["plan"][0]["reason"] == "number 1 of what auto prefers on groq"
        assert all(not upstream.chats for upstream in w)


async def test_what_rests_would_be_passed_over_and_says_until_when(home: Path) -> None:
    async with world(home, "groq") as w:
        w.groq.fail(429, headers={"retry-after": "3600"})
        w.groq.models(["m"])
        with pytest.raises(Exception, match="groq"):
            await w.chomp.ask("hi", model="groq/m")
        [place] = (await explained(w, "groq/m"))["plan"]
        assert not place["ready"]
        assert "rate_limited" in place["rests"]
