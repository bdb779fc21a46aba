"""What happens when a router says no: breakers, cooldowns, quotas, dead models, and who answers instead.

A second process is a second `Chomp` on the same home; the clock moves only when a test moves it.
"""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email.utils import formatdate
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import openai
import pytest

from chomp_mcp.app import Chomp
from chomp_mcp.errors import NoRouteAvailable, UpstreamError, UpstreamFailed, UpstreamRefused
from tests.behaviour import other_process
from tests.support.clock import NOON, Clock
from tests.support.gate import gate
from tests.support.scripted import ScriptedRouter
from tests.support.world import World, environment, world

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def another(w: World) -> AsyncIterator[Chomp]:
    """Another process on the same home."""
    async with Chomp(w.chomp.settings, clock=w.chomp.clock) as chomp:
        yield chomp


async def ask(chomp: Chomp, model: str) -> dict[str, Any]:
    """The receipt of an answer."""
    with anyio.fail_after(10):
        return dict((await chomp.ask("hi", model=model)).receipt)


async def fails(chomp: Chomp, model: str, error: type[UpstreamError] = UpstreamFailed) -> UpstreamError:
    with anyio.fail_after(10), pytest.raises(error) as caught:
        await chomp.ask("hi", model=model)
    assert type(caught.value) is error
    return caught.value


async def router(chomp: Chomp, name: str) -> dict[str, Any]:
    """A router's row of the status."""
    status: dict[str, Any] = (await chomp.status())["routers"][name]
    return status


# The breaker.


async def test_the_breaker_counts_the_failures_of_all_processes_and_stops_all_of_them(home: Path, clock: Clock) -> None:
    async with world(home, "groq", clock=clock, CIRCUIT_FAILURE_THRESHOLD="3") as w, another(w) as other:
        w.groq.fail(500)
        for chomp in (w.chomp, other, w.chomp):
            assert (await router(other, "groq"))["breaker"] == "closed"
            await fails(chomp, "groq/m")
        seen = len(w.groq.chats)
        for chomp in (w.chomp, other):
            refused = await fails(chomp, "groq/m", NoRouteAvailable)
            assert refused.retry_after == 60
            assert "call status" in refused.hint
            told = await router(chomp, "groq")
            assert (told["breaker"], told["ready"], told["reason"]) == ("open", False, "breaker_open")
            assert told["cooldown_until"]
        assert len(w.groq.chats) == seen == 6, "three requests, each tried twice, and not one more"


async def test_a_success_forgets_the_failures_before_it(home: Path, clock: Clock) -> None:
    async with world(home, "groq", clock=clock, CIRCUIT_FAILURE_THRESHOLD="2") as w, another(w) as other:
        for _ in range(3):
            w.groq.clear()
            w.groq.fail(500)
            await fails(w.chomp, "groq/m")
            w.groq.clear()
            await ask(other, "groq/m")
        assert (await router(w.chomp, "groq"))["breaker"] == "closed"


async def opened(w: World) -> None:
    """The breaker of groq is open, and its reset time is over."""
    w.groq.fail(500)
    for _ in range(w.chomp.settings.circuit_failure_threshold):
        await fails(w.chomp, "groq/m")
    w.groq.clear()
    w.chomp.clock.advance(60)  # type: ignore[attr-defined]


async def test_half_open_lets_one_probe_of_all_processes_pass_and_closes_when_it_succeeds(
    home: Path, clock: Clock
) -> None:
    async with world(home, "groq", clock=clock) as w, another(w) as other:
        await opened(w)
        seen = len(w.groq.chats)
        finish = anyio.Event()
        w.groq.answer(before=finish)
        answered: list[Any] = []
        refused: list[NoRouteAvailable] = []

        async def call(chomp: Chomp) -> None:
            try:
                answered.append(await chomp.ask("hi", model="groq/m"))
            except NoRouteAvailable as error:
                refused.append(error)
            if len(refused) == 39:
                finish.set()

        with anyio.fail_after(20):
            async with anyio.create_task_group() as tasks:
                for chomp in (w.chomp, other) * 20:
                    tasks.start_soon(call, chomp)
        assert (len(answered), len(w.groq.chats) - seen) == (1, 1)
        assert (await router(other, "groq"))["breaker"] == "closed"
        await ask(w.chomp, "groq/m")
        assert [(t.from_state, t.to_state) for t in w.reports.transitions[:1]] == [("closed", "open")]


async def test_a_probe_that_fails_opens_it_again_for_a_whole_reset_time(home: Path, clock: Clock) -> None:
    async with world(home, "groq", clock=clock) as w, another(w) as other:
        await opened(w)
        w.groq.fail(500)
        await fails(other, "groq/m")
        clock.advance(59)
        await fails(w.chomp, "groq/m", NoRouteAvailable)
        clock.advance(1)
        w.groq.clear()
        await ask(w.chomp, "groq/m")
        assert (await router(other, "groq"))["breaker"] == "closed"


@pytest.mark.parametrize("says", [429, 401, 404, 400])
async def test_a_probe_that_ends_without_a_verdict_on_the_router_leaves_its_place_to_the_next(
    home: Path, clock: Clock, says: int
) -> None:
    async with world(home, "groq", clock=clock, GROQ_API_KEY="one") as w, another(w) as other:
        await opened(w)
        w.groq.fail(says)
        await fails(w.chomp, "groq/m", UpstreamRefused)
        w.groq.clear()
        await other.register_keys({"groq": "two"})
        await ask(other, "groq/m")
        assert (await router(w.chomp, "groq"))["breaker"] == "closed"


async def test_a_probe_whose_caller_leaves_gives_its_place_to_the_next(home: Path, clock: Clock) -> None:
    async with world(home, "groq", clock=clock) as w, another(w) as other:
        await opened(w)
        w.groq.hang()
        with anyio.fail_after(5):
            async with anyio.create_task_group() as tasks:
                seen = len(w.groq.chats)
                tasks.start_soon(lambda: w.chomp.ask("hi", model="groq/m"))
                await w.groq.saw_request(seen + 1)
                await fails(other, "groq/m", NoRouteAvailable)
                tasks.cancel_scope.cancel()
        w.groq.clear()
        await ask(other, "groq/m")


async def test_a_probe_whose_process_is_killed_does_not_hold_its_place_for_ever(home: Path) -> None:
    clock = Clock(time.time() - 100)
    async with world(home, "groq", clock=clock) as w:
        await opened(w)
        seen = len(w.groq.chats)
        w.groq.hang()
        env = environment(home, w.routers)
        killed = other_process.start("ask_for_each", "groq/m", 10, "owner", env=env)
        with anyio.fail_after(30):
            await anyio.to_thread.run_sync(other_process.go, killed)
            await w.groq.saw_request(seen + 1)
            await anyio.to_thread.run_sync(other_process.kill, killed)
        w.groq.clear()
        clock.now = time.time()
        await fails(w.chomp, "groq/m", NoRouteAvailable)
        clock.advance(2 * 60)
        await ask(w.chomp, "groq/m")


async def test_what_breaks_off_in_the_middle_counts_and_a_caller_that_leaves_never_does(home: Path) -> None:
    async with gate(home, "groq", CIRCUIT_FAILURE_THRESHOLD="2") as g:
        g.groq.hang(after=["half"])
        for count in range(1, 4):
            with anyio.fail_after(5):
                async with await g.chat("groq/m", stream=True) as stream:
                    await anext(stream)
                await g.groq.saw_disconnect(count)
                await g.saw_report(count)
        assert (await router(g.served.chomp, "groq"))["breaker"] == "closed"
        g.groq.clear()
        g.groq.cut(["half"])
        for _ in range(2):
            with pytest.raises(openai.APIError):
                await g.chunks("groq/m")
        assert (await router(g.served.chomp, "groq"))["breaker"] == "open"
        with pytest.raises(openai.InternalServerError) as caught:
            await g.chat("groq/m")
        assert caught.value.status_code == 503
        assert "retry-after" not in caught.value.response.headers, "clients that obey it would hang for a minute"
        assert "Try again in 60 s" in str(caught.value)


async def test_auto_goes_round_an_open_breaker_and_the_receipt_says_so(home: Path, clock: Clock) -> None:
    async with world(home, "groq", "cerebras", clock=clock) as w, another(w) as other:
        for upstream in w:
            upstream.models(["gpt-oss-120b"])
        await opened(w)
        clock.advance(-1)
        for model in ("auto", "gpt-oss-120b"):
            told = await ask(other, model)
            assert told["served"] == "cerebras/gpt-oss-120b"
            assert "groq/gpt-oss-120b rests (breaker_open)" in told["notes"]


# Cooldowns.

RESETS = {
    "Retry-After in seconds": {"retry-after": "30"},
    "Retry-After in milliseconds": {"retry-after-ms": "30000"},
    "Retry-After as a date": {"retry-after": formatdate(NOON + 30, usegmt=True)},
    "a used-up limit": {"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "30s"},
}


@pytest.mark.parametrize("headers", RESETS.values(), ids=RESETS.keys())
async def test_a_429_rests_the_key_in_all_processes_until_the_router_said(
    home: Path, clock: Clock, headers: dict[str, str]
) -> None:
    async with world(home, "fireworks", clock=clock) as w, another(w) as other:
        w.fireworks.fail(429, headers=headers)
        assert (await fails(w.chomp, "fireworks/m", UpstreamRefused)).retry_after == 30
        w.fireworks.clear()
        for after, left in ((0, 30), (29, 1)):
            clock.now = NOON + after
            refused = await fails(other, "fireworks/m", NoRouteAvailable)
            assert refused.retry_after == left
        told = await router(other, "fireworks")
        assert (told["ready"], told["reason"], told["breaker"]) == (False, "rate_limited", "closed")
        assert len(w.fireworks.chats) == 1
        clock.advance(1)
        assert (await router(other, "fireworks"))["ready"]
        await ask(other, "fireworks/m")


async def test_a_429_rests_what_the_router_counts_by(home: Path, clock: Clock) -> None:
    async with world(home, "groq", "fireworks", clock=clock) as w:
        for name, is_free in {"groq": True, "fireworks": False}.items():
            w.routers[name].on(model="busy").fail(429, headers={"retry-after": "30"})
            await fails(w.chomp, f"{name}/busy", UpstreamRefused)
            if is_free:
                await ask(w.chomp, f"{name}/other")
            else:
                await fails(w.chomp, f"{name}/other", NoRouteAvailable)


WRONG_KEY = {"error": {"message": "Incorrect API key provided", "type": "t", "code": "invalid_api_key"}}


async def test_an_empty_purse_rests_for_an_hour(home: Path, clock: Clock) -> None:
    async with world(home, "groq", clock=clock) as w, another(w) as other:
        w.groq.fail(402)
        await fails(w.chomp, "groq/m", UpstreamRefused)
        w.groq.clear()
        clock.advance(3599)
        await fails(other, "groq/m", NoRouteAvailable)
        clock.advance(1)
        await ask(other, "groq/m")


async def test_a_key_that_is_refused_twice_a_minute_apart_rests_until_it_is_replaced(home: Path, clock: Clock) -> None:
    async with world(home, "cerebras", clock=clock) as w, another(w) as other:
        w.cerebras.fail(401, WRONG_KEY)
        await fails(w.chomp, "cerebras/m", UpstreamRefused)
        clock.advance(59)
        await fails(other, "cerebras/other", UpstreamRefused)
        assert len(w.cerebras.chats) == 1, "the key rests, whatever the model"
        clock.advance(1)
        await fails(other, "cerebras/m", UpstreamRefused)
        assert len(w.cerebras.chats) == 2, "once more"
        w.cerebras.clear()
        clock.advance(86_399)
        await fails(other, "cerebras/m", UpstreamRefused)
        assert len(w.cerebras.chats) == 2, "the key is not shown again"
        assert (await router(other, "cerebras"))["reason"] == "bad_key"
        await w.chomp.register_keys({"cerebras": "a-new-key"})
        await ask(other, "cerebras/m")


async def test_a_key_that_was_refused_once_and_is_well_again_is_not_doubted_any_more(home: Path, clock: Clock) -> None:
    async with world(home, "cerebras", clock=clock) as w:
        for _ in range(2):
            w.cerebras.clear()
            w.cerebras.fail(401, WRONG_KEY)
            await fails(w.chomp, "cerebras/m", UpstreamRefused)
            w.cerebras.clear()
            clock.advance(60)
            await ask(w.chomp, "cerebras/m")


# Quotas.


async def test_what_a_key_has_left_shows_in_the_status_with_how_it_is_known(home: Path, clock: Clock) -> None:
    async with world(home, "groq", clock=clock) as w, another(w) as other:
        w.groq.answer(
            headers={
                "x-ratelimit-limit-requests": "1000",
                "x-ratelimit-remaining-requests": "998",
                "x-ratelimit-reset-requests": "2m52.8s",
                "x-ratelimit-limit-tokens": "8000",
                "x-ratelimit-remaining-tokens": "7900",
                "x-ratelimit-reset-tokens": "750ms",
            }
        )
        await ask(w.chomp, "groq/openai/gpt-oss-120b")
        told = await router(other, "groq")
        known = {"known": "headers", "model": "openai/gpt-oss-120b"}
        rows = [{name: row[name] for name in row if name != "resets_at"} for row in told["quota"]]
        assert rows == [
            {"kind": "requests", "window": "day", "limit": 1000, "remaining": 998, **known},
            {"kind": "tokens", "window": "minute", "limit": 8000, "remaining": 7900, **known},
        ]
        assert told["limits"].startswith("free plan"), "the documented ones, in words"


USED_UP = {
    "x-ratelimit-limit-requests": "1000",
    "x-ratelimit-remaining-requests": "0",
    "x-ratelimit-reset-requests": "2m0s",
}


@pytest.mark.parametrize("model", ["auto", "gpt-oss-120b"])
async def test_auto_skips_a_used_up_key_until_its_reset(home: Path, clock: Clock, model: str) -> None:
    async with world(home, "groq", "cerebras", clock=clock) as w, another(w) as other:
        for upstream in w:
            upstream.models(["gpt-oss-120b"])
        w.groq.answer(headers=USED_UP)
        assert (await ask(w.chomp, model))["served"] == "groq/gpt-oss-120b"
        told = await ask(other, model)
        assert told["served"] == "cerebras/gpt-oss-120b"
        assert "groq/gpt-oss-120b rests (quota_used_up)" in told["notes"]
        assert (await ask(other, "groq/gpt-oss-120b"))["served"].startswith("groq"), (
            "named: the router itself may judge"
        )
        clock.advance(120)
        assert (await ask(other, model))["served"] == "groq/gpt-oss-120b"


async def test_auto_takes_the_key_that_has_something_left(home: Path, clock: Clock) -> None:
    async with world(home, "groq", clock=clock, GROQ_API_KEY="one,two") as w, another(w) as other:
        w.groq.models(["openai/gpt-oss-120b"])
        w.groq.on(key="one").answer(headers=USED_UP)
        for chomp in (w.chomp, other, other):
            await ask(chomp, "groq/auto")
        assert [sent.key for sent in w.groq.chats] == ["one", "two", "two"]


async def test_the_commands_table_says_what_is_left_and_until_when(home: Path) -> None:
    async with gate(home, "groq") as g:
        g.groq.answer(headers={"x-ratelimit-limit-requests": "1000", "x-ratelimit-remaining-requests": "7"})
        await g.chat("groq/m")
        g.groq.fail(429, headers={"retry-after": "300"})
        with pytest.raises(openai.RateLimitError):
            await g.chat("groq/m")
        env = environment(home, g.routers)
        table = await run("status", env=env)
        row = next(line for line in table.splitlines() if line.startswith("groq"))
        assert "7 of 1000 requests a day (headers)" in row
        told = json.loads(await run("status", "--json", env=env))["routers"]["groq"]
        assert [(rest["what"], rest["reason"]) for rest in told["resting"]] == [("model:m", "rate_limited")]
        answer = await g.served.http.get("/v1/providers")
        assert answer.json()["providers"]["groq"]["breaker"] == "closed"


async def run(*arguments: str, env: dict[str, str]) -> str:
    done = await anyio.to_thread.run_sync(other_process.command, arguments, env)
    assert done.returncode == 0, done.stderr
    return done.stdout


# Several keys.


async def test_several_keys_take_turns_when_one_is_refused(home: Path, clock: Clock) -> None:
    async with world(home, "groq", clock=clock, GROQ_API_KEY="one,two,three") as w, another(w) as other:
        w.groq.on(key="one").fail(429, headers={"retry-after": "30"})
        w.groq.on(key="two").fail(401, WRONG_KEY)
        told = await ask(w.chomp, "groq/m")
        assert [attempt["outcome"] for attempt in told["attempts"]] == ["rate_limited", "bad_key", "ok"]
        await ask(other, "groq/m")
        assert [sent.key for sent in w.groq.chats] == ["one", "two", "three", "three"]
        assert (await router(other, "groq"))["ready"]
        clock.advance(30)
        w.groq.on(key="one").clear()
        await ask(other, "groq/m")
        assert w.groq.chats[-1].key == "one"


async def test_stored_keys_take_turns_as_well(home: Path, clock: Clock) -> None:
    async with world(home, "groq", clock=clock) as w, another(w) as other:
        await other.register_keys({"groq": "stored-one, stored-two"})
        w.groq.on(key="stored-one").fail(429)
        await ask(w.chomp, "groq/m")
        assert [sent.key for sent in w.groq.chats] == ["stored-one", "stored-two"]


# Dead models.


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (404, {"message": "The model `x` does not exist", "code": "model_not_found"}),
        (410, {"message": "gone"}),
        (400, {"message": "The model has been decommissioned", "code": "model_decommissioned"}),
        (400, {"message": "x is not a valid model ID", "code": 400}),
    ],
)
async def test_a_dead_model_is_remembered_for_hours_and_the_next_preferred_one_answers(
    home: Path, clock: Clock, status: int, error: dict[str, Any]
) -> None:
    first, second = "openai/gpt-oss-120b", "openai/gpt-oss-20b"
    async with world(home, "groq", clock=clock) as w, another(w) as other:
        w.groq.models([first, second])
        w.groq.on(model=first).fail(status, {"error": error})
        told = await ask(w.chomp, "groq/auto")
        assert told["served"] == f"groq/{second}"
        assert [(a["model"], a["outcome"]) for a in told["attempts"]] == [(first, "no_such_model"), (second, "ok")]
        told = await ask(other, "groq/auto")
        assert len(told["attempts"]) == 1
        assert f"groq no longer serves {first}" in told["notes"]
        clock.advance(6 * 3600)
        w.groq.on(model=first).clear()
        assert (await ask(other, "groq/auto"))["served"] == f"groq/{first}", "back, or the list was behind"


async def test_a_dead_model_that_was_named_is_passed_on_with_the_next_step(home: Path) -> None:
    async with gate(home, "groq", "cerebras") as g:
        g.groq.fail(404, {"error": {"message": "no such model", "code": "model_not_found"}})
        with pytest.raises(openai.NotFoundError, match=r"GET /v1/models\?router=groq"):
            await g.chat("groq/dead")
        assert not g.cerebras.chats


# OpenRouter's account page.

FREE_TIER = {"is_free_tier": True, "limit_remaining": None, "usage": 0}
DAILY = {"used": 30, "limit": 50, "remaining": 20}
MODELS = [
    {"id": "openrouter/auto", "context_length": 2_000_000, "pricing": {"prompt": "-1", "completion": "-1"}},
    {"id": "maker/paid", "context_length": 1_000_000, "pricing": {"prompt": "0.001", "completion": "0.001"}},
    {"id": "maker/tiny-4b:free", "context_length": 900_000, "pricing": {"prompt": "0", "completion": "0"}},
    {"id": "maker/small-70b:free", "context_length": 64_000, "pricing": {"prompt": "0", "completion": "0"}},
    {"id": "maker/large-27b:free", "context_length": 262_144, "pricing": {"prompt": "0", "completion": "0"}},
    {"id": "maker/middle-120b:free", "context_length": 131_072, "pricing": {"prompt": "0", "completion": "0"}},
]


@pytest.mark.parametrize(
    ("account", "model", "free_only"),
    [
        (FREE_TIER, "maker/large-27b:free", True),
        ({"is_free_tier": False, "limit_remaining": 0}, "maker/large-27b:free", True),
        ({"is_free_tier": False, "limit_remaining": 4.2}, "openrouter/auto", False),
        ({"is_free_tier": False, "limit_remaining": None}, "openrouter/auto", False),
    ],
    ids=["free tier", "the key's limit is used up", "something left", "no limit"],
)
@pytest.mark.parametrize("ref", ["openrouter/auto", "auto"])
async def test_a_key_without_credit_gets_the_free_model_with_the_largest_context_that_is_not_tiny(
    home: Path, clock: Clock, account: dict[str, Any], model: str, free_only: bool, ref: str
) -> None:
    async with world(home, "openrouter", clock=clock) as w, another(w) as other:
        w.openrouter.models(MODELS)
        w.openrouter.on(path="/v1/key").reply(200, {"data": {**account, "free_model_daily_requests": DAILY}})
        for chomp in (w.chomp, other):
            assert (await ask(chomp, ref))["served"] == f"openrouter/{model}"
            told = await router(chomp, "openrouter")
            assert told["credit"][0]["free_only"] is free_only
            row = told["quota"][0]
            assert (row["kind"], row["window"], row["limit"], row["remaining"]) == ("requests", "day", 50, 20)
            assert row["known"] == "key"
            assert row["resets_at"]
        pages = [request for request in w.openrouter.requests if request.path == "/v1/key"]
        assert [page.key for page in pages] == ["key-openrouter"], "one look for all processes"
        clock.advance(301)
        await ask(other, ref)
        assert len([request for request in w.openrouter.requests if request.path == "/v1/key"]) == 2


async def test_a_dead_free_model_is_left_out_as_well(home: Path, clock: Clock) -> None:
    async with world(home, "openrouter", clock=clock) as w:
        w.openrouter.models(MODELS)
        w.openrouter.on(path="/v1/key").reply(200, {"data": FREE_TIER})
        w.openrouter.on(model="maker/large-27b:free").fail(
            404, {"error": {"message": "No endpoints found", "code": 404}}
        )
        for tries in (2, 1):
            told = await ask(w.chomp, "openrouter/auto")
            assert told["served"] == "openrouter/maker/middle-120b:free"
            assert len(told["attempts"]) == tries


@pytest.mark.parametrize("answer", [lambda s: s.fail(500), lambda s: s.html(), lambda s: s.reply(200, {"data": [1]})])
async def test_an_account_page_that_cannot_be_read_stops_nothing(home: Path, answer: Any) -> None:
    async with world(home, "openrouter") as w:
        w.openrouter.models(MODELS)
        answer(w.openrouter.on(path="/v1/key"))
        assert (await ask(w.chomp, "openrouter/auto"))["served"] == "openrouter/openrouter/auto"
        assert (await router(w.chomp, "openrouter"))["credit"] == []


async def test_free_models_that_are_used_up_rest_together_and_the_paid_ones_do_not(home: Path, clock: Clock) -> None:
    async with world(home, "openrouter", clock=clock) as w, another(w) as other:
        w.openrouter.models(MODELS)
        said = {"error": {"message": "Rate limit exceeded: free-models-per-day", "code": 429}}
        w.openrouter.on(model="maker/large-27b:free").fail(
            429, said, {"x-ratelimit-reset": str(int(NOON + 600) * 1000)}
        )
        await fails(w.chomp, "openrouter/maker/large-27b:free", UpstreamRefused)
        await fails(other, "openrouter/maker/middle-120b:free", NoRouteAvailable)
        await ask(other, "openrouter/maker/paid")
        clock.advance(3600)
        await ask(other, "openrouter/maker/middle-120b:free")


# Deprecated routers, and the mock.


@pytest.mark.parametrize("name", ["openai", "anthropic"])
async def test_a_deprecated_router_answers_when_named_never_by_auto_and_recommends_openrouter(
    home: Path, name: str
) -> None:
    async with world(home, name) as w:
        upstream = w.routers[name]
        upstream.models(["m"])
        if name == "anthropic":
            upstream.reply(200, ANTHROPIC)
        told = await ask(w.chomp, f"{name}/m")
        assert told["served"] == f"{name}/m"
        assert any("OpenRouter serves the same models" in note for note in told["notes"])
        told = await ask(w.chomp, "auto")
        assert told["served"].startswith("mock/")
        assert len(upstream.chats) == 1


ANTHROPIC = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "m",
    "content": [{"type": "text", "text": "hello"}],
    "stop_reason": "end_turn",
    "usage": {"input_tokens": 7, "output_tokens": 3},
}


async def test_the_mock_answers_auto_only_when_nothing_else_is_there_and_says_so(home: Path) -> None:
    async with gate(home) as g:
        told = await g.receipt("auto")
        assert told["router"] == "mock"
        assert told["notes"] == ["the built-in mock answered: no router key is registered"]
    async with gate(home, "groq") as g:
        g.groq.models(["openai/gpt-oss-120b"])
        g.groq.fail(500)
        with pytest.raises(openai.InternalServerError):
            await g.chat("auto")
        assert {attempt.router for attempt in g.reports[0].receipt.attempts} == {"groq"}
        assert (await g.receipt("mock/echo"))["router"] == "mock"


async def test_an_ollama_that_runs_comes_before_the_mock(home: Path) -> None:
    async with ScriptedRouter() as ollama:
        ollama.on(path="/api/tags").reply(200, {"models": [{"name": "llama", "model": "llama"}]})
        async with gate(home, OLLAMA_BASE_URL=ollama.base) as g:
            told = await g.receipt("auto")
            assert (told["router"], told["model"], told["cost_usd"]) == ("ollama", "llama", "0")
