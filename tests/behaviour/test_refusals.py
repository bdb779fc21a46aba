"""Refusals that are not the key's fault: the model rests, the key goes on, and the caller reads what it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import openai
import pytest

from tests.support.clock import Clock
from tests.support.gate import gate

pytestmark = pytest.mark.anyio


def error(message: str, **fields: Any) -> dict[str, Any]:
    return {"error": {"message": message, "type": "t", "param": None, "code": None, **fields}}


def openrouter(code: int, message: str, **metadata: Any) -> dict[str, Any]:
    return {"error": {"code": code, "message": message, "metadata": metadata}}


COUNTRY = error("Country, region, or territory not supported", code="unsupported_country_region_territory")
TERMS = openrouter(403, "The request is prohibited due to a violation of provider Terms Of Service.")
REFUSALS = {
    "a provider behind the router": (403, openrouter(403, "Provider returned error", provider_name="X"), "behind"),
    "a region": (403, COUNTRY, "where you are"),
    "terms": (403, TERMS, "Agree to its terms"),
    "a network": (403, error("Access denied. Please check your network settings."), "network"),
    "a key of one's own": (403, openrouter(403, "This model needs your own OpenAI key (BYOK)."), "Add the key"),
    "a plan": (403, error("The model is not available on your plan."), "change your plan"),
    "PERMISSION_DENIED": (403, error("Denied.", status="PERMISSION_DENIED"), "no reason"),
    "a 401 without a reason": (401, openrouter(401, "User not found."), "no reason"),
    "an empty 401": (401, b"", "no reason"),
}


@pytest.mark.parametrize(("status", "body", "told"), REFUSALS.values(), ids=REFUSALS.keys())
@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
async def test_what_one_model_is_refused_leaves_the_others_of_the_key_alone(
    home: Path, clock: Clock, status: int, body: Any, told: str, stream: bool
) -> None:
    async with gate(home, "openrouter", "groq", clock=clock) as g:
        g.openrouter.on(model="maker/a").fail(status, body)
        with pytest.raises(openai.APIStatusError) as caught:
            await g.receipt("openrouter/maker/a", stream=stream)
        assert caught.value.status_code == status
        assert told in str(caught.value)
        assert "Replace the key" not in str(caught.value)
        assert (await g.receipt("openrouter/maker/b", stream=stream))["router"] == "openrouter"
        with pytest.raises(openai.PermissionDeniedError, match="asked again in"):
            await g.receipt("openrouter/maker/a", stream=stream)
        assert [sent.model for sent in g.openrouter.chats] == ["maker/a", "maker/b"], "it rests"
        status_of = (await g.served.chomp.status())["routers"]["openrouter"]
        assert status_of["ready"]
        assert [rest["what"] for rest in status_of["resting"]] == ["model:maker/a"]
        clock.advance(300)
        g.openrouter.on(model="maker/a").clear()
        assert await g.receipt("openrouter/maker/a", stream=stream)


async def test_a_bare_name_goes_on_to_another_router(home: Path) -> None:
    async with gate(home, "openrouter", "groq") as g:
        for upstream in (g.openrouter, g.groq):
            upstream.models(["maker/m"])
        g.groq.fail(403, error("Access denied. Please check your network settings."))
        told = await g.receipt("maker/m")
        assert told["router"] == "openrouter"
        assert [tried["outcome"] for tried in told["attempts"]] == ["refused_here", "ok"]


async def test_another_key_of_the_router_is_tried(home: Path) -> None:
    async with gate(home, "groq", GROQ_API_KEY="one,two") as g:
        g.groq.on(key="one").fail(401, b"")
        assert await g.receipt("groq/m")
        assert [sent.key for sent in g.groq.chats] == ["one", "two"]


async def test_a_daily_cap_of_cerebras_rests_the_model_that_it_is_of(home: Path) -> None:
    async with gate(home, "cerebras") as g:
        g.cerebras.on(model="a").fail(
            429, error("Tokens per day limit exceeded", code="token_quota_exceeded"), {"retry-after": "40000"}
        )
        with pytest.raises(openai.RateLimitError, match="12 h"):
            await g.chat("cerebras/a")
        assert await g.receipt("cerebras/b")


async def test_a_429_without_a_type_is_a_rate_limit_error(home: Path) -> None:
    async with gate(home, "openrouter") as g:
        g.openrouter.fail(429, openrouter(429, "Provider returned error", raw="x is rate-limited upstream"))
        with pytest.raises(openai.RateLimitError) as caught:
            await g.chat("openrouter/maker/m")
        assert caught.value.type == "rate_limit_error"


# A clock that was wrong for a while.


async def test_a_clock_that_jumped_ahead_and_back_leaves_no_rest_longer_than_it_was_meant(
    home: Path, clock: Clock
) -> None:
    month = 30 * 86_400.0
    async with gate(home, "groq", clock=clock) as g:
        clock.advance(month)
        g.groq.fail(429, headers={"retry-after": "5"})
        with pytest.raises(openai.RateLimitError):
            await g.chat("groq/m")
        clock.advance(-month)
        g.groq.clear()
        assert await g.receipt("groq/m")


async def test_a_clock_that_jumped_ahead_and_back_does_not_keep_a_list_for_a_month(home: Path, clock: Clock) -> None:
    month = 30 * 86_400.0
    async with gate(home, "groq", clock=clock) as g:
        clock.advance(month)
        g.groq.models(["old"])
        await g.client.models.list()
        clock.advance(-month)
        g.groq.models(["new"])
        listed = [model.id async for model in g.client.models.list()]
        assert "groq/new" in listed
