"""A process that is killed in the very moment in which the second call of a race reaches its router."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import sys
import time
from contextlib import closing
from pathlib import Path

import anyio
import httpx2
import pytest

from chomp_mcp import Chomp, Settings
from tests.behaviour.test_hedging import HI, PRICED, ROW, write
from tests.behaviour.test_reconciled import tallies
from tests.support.clock import Clock
from tests.support.scripted import Recorded, ScriptedRouter, Wire
from tests.support.serving import process, url_of
from tests.support.world import environment

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL"),
]

HELD_SECONDS = 1.0
"""Longer than the second call of a race would wait otherwise."""


async def test_both_calls_of_a_race_are_booked_though_nobody_saw_their_end(home: Path) -> None:
    write(home, ROW)
    async with ScriptedRouter() as groq, ScriptedRouter() as cerebras:
        for router in (groq, cerebras):
            router.models(PRICED)
        env = environment(home, {"groq": groq, "cerebras": cerebras})
        async with process(home, "--port", "0", **env) as server:
            called_too_early = []

            async def hold_the_disk(_request: Recorded, wire: Wire) -> None:
                """While this call is silent, nothing can be written: the second one has to wait for that."""
                with closing(sqlite3.connect(home / "state.db", isolation_level=None)) as holder:
                    holder.execute("BEGIN IMMEDIATE")
                    await asyncio.sleep(HELD_SECONDS)
                    called_too_early.extend(cerebras.chats)
                    holder.execute("ROLLBACK")
                await wire.gone()

            async def kill(_request: Recorded, _wire: Wire) -> None:
                os.kill(server.pid, signal.SIGKILL)

            async with httpx2.AsyncClient(base_url=await url_of(server), timeout=60, trust_env=False) as http:
                ask = {"model": "fast", "messages": HI, "max_tokens": 100, "stream": True}
                for _ in range(2):  # so that it is known how soon groq says something
                    assert "[DONE]" in (await http.post("/v1/chat/completions", json=ask)).text
                assert not cerebras.chats
                groq.play(hold_the_disk)
                cerebras.play(kill)
                with anyio.fail_after(60), pytest.raises(httpx2.TransportError):
                    await http.post("/v1/chat/completions", json=ask)
        assert (len(groq.chats), len(cerebras.chats), called_too_early) == (3, 1, [])
        later = Clock(time.time() + 20 * 60)  # what the dead held is spent by then
        async with Chomp(Settings.load(env), clock=later) as chomp:
            assert (await chomp.status())["spend"]["reserved_usd"] == "0"
    told = tallies(home)
    assert (told["calls"], told["estimated"]) == (4, 2), "the two answers, and both calls of the race"
    assert told["estimated_nano"] > 0
