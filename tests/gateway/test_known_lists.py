"""Lists that are late are not waited for, but where nobody else knows the name."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest

from chomp_mcp.app import Chomp
from tests.support.world import world

pytestmark = pytest.mark.anyio


async def test_a_list_that_hangs_is_not_waited_for_where_another_router_can_answer(home: Path) -> None:
    async with world(home, "groq", "cerebras") as w:
        w.groq.models(["openai/gpt-oss-120b", "m"])
        w.cerebras.on(path="/models").hang()
        for ref in ("auto", "m", "auto"):
            with anyio.fail_after(5):
                assert (await w.chomp.ask("hi", model=ref)).receipt["served"].startswith("groq/")
        assert len([each for each in w.cerebras.requests if each.method == "GET"]) == 1


async def test_a_name_that_only_a_late_list_knows_is_waited_for(home: Path) -> None:
    async with world(home, "groq", "cerebras") as w:
        w.groq.models(["m"])
        listed = anyio.Event()
        w.cerebras.on(path="/models").reply(body={"data": [{"id": "only-here"}]}, before=listed)
        await w.chomp.ask("hi", model="auto")
        async with Chomp(w.chomp.settings) as other, anyio.create_task_group() as tasks:

            async def ask() -> None:
                receipt = (await other.ask("hi", model="only-here")).receipt
                assert receipt["served"] == "cerebras/only-here"

            tasks.start_soon(ask)
            with anyio.fail_after(5):
                while len([each for each in w.cerebras.requests if each.method == "GET"]) < 2:
                    await anyio.lowlevel.checkpoint()
            listed.set()
