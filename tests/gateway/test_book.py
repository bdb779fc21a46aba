"""The book of each caller, and what of it is forgotten."""

from __future__ import annotations

from pathlib import Path

import pytest

from chomp_mcp.app import Chomp
from chomp_mcp.errors import NoRouterKey
from chomp_mcp.messages import AUTO, OWNER, Caller, ChatRequest, Plan
from tests.gateway.test_planner import keys_in_plans
from tests.support.world import world

pytestmark = pytest.mark.anyio


async def planned(chomp: Chomp, model: str, router: str = AUTO, caller: Caller = OWNER) -> Plan:
    return await chomp.gateway.plan(caller, ChatRequest({}, model, router))


async def test_other_keys_make_another_plan_and_each_caller_has_their_own(home: Path) -> None:
    async with world(home, "groq") as w:
        _, other = await w.chomp.keyring.create()
        assert [route.key for route in (await planned(w.chomp, "groq/m")).routes] == ["key-groq"]
        with pytest.raises(NoRouterKey):
            await planned(w.chomp, "groq/m", caller=other)
        await w.chomp.register_keys({"groq": "one,two"}, caller=other)
        assert [route.key for route in (await planned(w.chomp, "groq/m", caller=other)).routes] == ["one", "two"]
        await w.chomp.register_keys({"groq": "three"}, caller=other)
        assert [route.key for route in (await planned(w.chomp, "groq/m", caller=other)).routes] == ["three"]
        await w.chomp.keyring.revoke(other)
        with pytest.raises(NoRouterKey):
            await planned(w.chomp, "groq/m", caller=other)


async def test_no_plan_in_memory_has_the_old_key_once_it_was_replaced_or_the_caller_forgotten(home: Path) -> None:
    async with world(home, "groq") as w:
        _, other = await w.chomp.keyring.create()
        await w.chomp.register_keys({"groq": "old-key"}, caller=other)
        for caller in (OWNER, other):
            for ref in ("groq/m", "groq/auto", "auto"):
                await planned(w.chomp, ref, caller=caller)
        assert keys_in_plans() >= {"key-groq", "old-key"}
        await w.chomp.register_keys({"groq": "new-key"}, caller=other)
        assert "old-key" not in keys_in_plans()
        await planned(w.chomp, "groq/m", caller=other)
        assert keys_in_plans() >= {"key-groq", "new-key"}
        await w.chomp.forget(other)
        assert "new-key" not in keys_in_plans()
        assert "key-groq" in keys_in_plans(), "others keep theirs"
        assert other.id not in w.chomp.books._books
