"""What can still be used now, until when, what today cost, and how each figure is known."""

from __future__ import annotations

from pathlib import Path

import pytest

from chomp_mcp.errors import ChompError
from chomp_mcp.messages import OWNER, Caller
from tests.support.clock import Clock
from tests.support.world import world

pytestmark = pytest.mark.anyio


async def test_what_a_failure_left_behind_is_told_with_its_reason(home: Path) -> None:
    async with world(home, "groq", clock=Clock(), CIRCUIT_FAILURE_THRESHOLD="1", LLM_DAILY_BUDGET_USD="7") as w:
        before = (await w.chomp.status())["routers"]["groq"]
        w.groq.fail(500)
        with pytest.raises(ChompError):
            await w.chomp.ask("hi", model="groq/m")
        told = await w.chomp.status()
        after = told["routers"]["groq"]
        assert (before["breaker"], after["breaker"]) == ("closed", "open")
        assert told["routers"]["cerebras"]["key"] is False
        assert told["routers"]["mock"]["key"] is None
        assert told["spend"]["daily_budget_usd"] == "7"


async def test_quotas_are_told_as_the_headers_told_them_and_spend_and_jobs_are_the_callers_own(home: Path) -> None:
    async with world(home, "groq") as w:
        w.groq.answer("hi", headers={"x-ratelimit-limit-requests": "1000", "x-ratelimit-remaining-requests": "998"})
        job = await w.chomp.dispatch("hi", model="groq/m")
        await w.chomp.result(job.id, wait_seconds=5)
        told = await w.chomp.status()
        [quota] = [each for each in told["routers"]["groq"]["quota"] if each["kind"] == "requests"]
        assert (quota["remaining"], quota["limit"], quota["known"]) == (998, 1000, "headers")
        assert [row["job_id"] for row in told["jobs"]] == [job.id]
        assert (told["spend"]["calls_today"], told["spend"]["input_tokens_today"]) == (1, 7)
        theirs = await w.chomp.status(caller=Caller("f" * 64))
        assert (theirs["jobs"], theirs["spend"]["calls_today"]) == ([], 0)
        assert "keys" not in theirs, "how keys lie on the disk is the owner's"
        assert told["keys"]["sealed"] is False
        assert OWNER.id not in repr(theirs)
