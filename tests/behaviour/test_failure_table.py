"""What follows from a failure, row by row: streamed or not, for a named router and for one that we chose.

Judged by what the routers saw and by what the caller got.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import anyio
import pytest

from chomp_mcp.errors import PromptTooLong, UpstreamError, UpstreamFailed, UpstreamRefused, UpstreamTimeout
from chomp_mcp.messages import OWNER, ChatRequest
from tests.support.scripted import ScriptedRouter
from tests.support.world import World, world

pytestmark = pytest.mark.anyio


@dataclass(frozen=True)
class Row:
    """How the first router fails, and what must follow."""

    fails: Any
    outcome: str
    tries: int
    """Calls that the failing router sees, for one key."""
    goes_on: bool
    """Another router answers when the caller left the choice."""
    error: type[UpstreamError]
    status: int
    keys: int = 1
    """Keys of the failing router that are tried, out of two."""
    breaker: bool = False
    rests: bool = False
    """The next request leaves the route alone."""


def error(message: str = "no", **fields: object) -> dict[str, object]:
    return {"error": {"message": message, "type": "t", "param": None, "code": None, **fields}}


TABLE = {
    "500": Row(lambda s: s.fail(500), "transient", 2, True, UpstreamFailed, 502, breaker=True),
    "529 overloaded": Row(lambda s: s.fail(529), "transient", 2, True, UpstreamFailed, 502, breaker=True),
    "408": Row(lambda s: s.fail(408), "transient", 2, True, UpstreamFailed, 502, breaker=True),
    "503, come back late": Row(
        lambda s: s.fail(503, headers={"retry-after": "30"}), "transient", 1, True, UpstreamFailed, 502, breaker=True
    ),
    "connection cut": Row(lambda s: s.cut(after=0), "transient", 2, True, UpstreamFailed, 502, breaker=True),
    "no first byte": Row(lambda s: s.hang(), "timeout", 1, True, UpstreamTimeout, 504, breaker=True),
    "429": Row(lambda s: s.fail(429), "rate_limited", 1, True, UpstreamRefused, 429, keys=2, rests=True),
    "402": Row(lambda s: s.fail(402), "quota", 1, True, UpstreamRefused, 402, keys=2, rests=True),
    "daily cap": Row(
        lambda s: s.fail(429, error("Rate limit reached: requests per day")),
        "quota",
        1,
        True,
        UpstreamRefused,
        429,
        keys=2,
        rests=True,
    ),
    "bad key": Row(
        lambda s: s.fail(401, error(code="invalid_api_key")),
        "bad_key",
        1,
        True,
        UpstreamRefused,
        401,
        keys=2,
        rests=True,
    ),
    "dead model": Row(
        lambda s: s.fail(404, error(code="model_not_found")), "no_such_model", 1, True, UpstreamRefused, 404
    ),
    "too long": Row(
        lambda s: s.fail(400, error(code="context_length_exceeded")), "too_long", 1, False, PromptTooLong, 400
    ),
    "caller's fault": Row(lambda s: s.fail(400, error("bad field")), "caller_fault", 1, False, UpstreamRefused, 400),
    "moderation": Row(
        lambda s: s.fail(403, error("flagged", type="moderation")), "caller_fault", 1, False, UpstreamRefused, 403
    ),
    "error inside a 200": Row(
        lambda s: s.error_event({"message": "upstream", "code": 502}),
        "transient",
        2,
        True,
        UpstreamFailed,
        502,
        breaker=True,
    ),
}
rows = pytest.mark.parametrize("row", TABLE.values(), ids=TABLE.keys())
streamed = pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])


def request(model: str, *, stream: bool) -> ChatRequest:
    return ChatRequest.from_prompt("hi", model=model).with_stream(stream)


async def ask(w: World, model: str, *, stream: bool) -> dict[str, Any]:
    with anyio.fail_after(10):
        async with w.chomp.gateway.exchange(OWNER, request(model, stream=stream)) as reply:
            text = (await reply.completion()).text
            return {"text": text, **reply.receipt().as_dict()}


def serving(w: World, *routers: ScriptedRouter) -> None:
    for upstream in routers:
        upstream.models(["m"])


@rows
@streamed
async def test_a_named_router_is_a_promise(home, row: Row, stream: bool) -> None:
    settings = {"GROQ_API_KEY": "one,two", "CHOMP_UPSTREAM_TIMEOUT_SECONDS": "0.3"}
    async with world(home, "groq", "cerebras", **settings) as w:
        serving(w, w.groq, w.cerebras)
        row.fails(w.groq)
        with pytest.raises(UpstreamError) as caught:
            await ask(w, "groq/m", stream=stream)
        assert type(caught.value) is row.error
        assert caught.value.status == row.status
        assert caught.value.hint
        assert {a.outcome for a in caught.value.receipt.attempts} == {row.outcome}
        assert len(w.groq.chats) == row.tries * row.keys
        assert len({sent.key for sent in w.groq.chats}) == row.keys
        assert w.cerebras.chats == [], "another router must not answer for it"


@rows
@streamed
async def test_where_the_caller_left_the_choice_the_next_route_answers_and_the_receipt_says_so(
    home, row: Row, stream: bool
) -> None:
    settings = {"GROQ_API_KEY": "one,two", "CHOMP_UPSTREAM_TIMEOUT_SECONDS": "0.3"}
    async with world(home, "groq", "cerebras", **settings) as w:
        serving(w, w.groq, w.cerebras)
        row.fails(w.groq)
        w.cerebras.answer("from cerebras")
        if not row.goes_on:
            with pytest.raises(row.error):
                await ask(w, "m", stream=stream)
            assert w.cerebras.chats == []
            return
        told = await ask(w, "m", stream=stream)
        assert (told["text"], told["served"]) == ("from cerebras", "cerebras/m")
        outcomes = [attempt["outcome"] for attempt in told["attempts"]]
        assert [*dict.fromkeys(outcomes)] == [row.outcome, "ok"]
        assert len(w.groq.chats) == row.tries * row.keys


@rows
async def test_only_a_routers_own_failures_count_for_its_breaker(home, row: Row) -> None:
    settings = {"CIRCUIT_FAILURE_THRESHOLD": "1", "CHOMP_UPSTREAM_TIMEOUT_SECONDS": "0.3"}
    async with world(home, "groq", **settings) as w:
        row.fails(w.groq)
        with pytest.raises(UpstreamError):
            await ask(w, "groq/m", stream=True)
        told = (await w.chomp.status())["routers"]["groq"]
        assert told["breaker"] == ("open" if row.breaker else "closed")


@rows
async def test_a_key_that_was_refused_rests_and_the_router_is_not_asked_again(home, row: Row) -> None:
    async with world(home, "groq", "cerebras", CHOMP_UPSTREAM_TIMEOUT_SECONDS="0.3") as w:
        serving(w, w.groq, w.cerebras)
        row.fails(w.groq)
        if not row.goes_on:
            return
        await ask(w, "m", stream=True)
        seen = len(w.groq.chats)
        await ask(w, "m", stream=True)
        rested = row.rests or row.outcome == "no_such_model"
        assert (len(w.groq.chats) == seen) == rested
        assert len(w.cerebras.chats) == 2


@streamed
async def test_too_long_goes_on_only_to_a_route_with_a_larger_context(home, stream: bool) -> None:
    async with world(home, "groq", "cerebras", "sambanova") as w:
        for upstream, size in ((w.groq, 8_000), (w.cerebras, 4_000), (w.sambanova, 64_000)):
            upstream.models([{"id": "m", "object": "model", "context_length": size, "context_window": size}])
        w.groq.fail(400, error(code="context_length_exceeded"))
        told = await ask(w, "m", stream=stream)
        assert told["served"] == "sambanova/m"
        assert w.cerebras.chats == []


async def test_nothing_goes_on_after_the_first_delta(home) -> None:
    async with world(home, "groq", "cerebras", CIRCUIT_FAILURE_THRESHOLD="1") as w:
        serving(w, w.groq, w.cerebras)
        w.groq.error_event({"message": "gone", "code": 502}, after=["half"])
        with pytest.raises(UpstreamFailed, match="gone"):
            await ask(w, "m", stream=True)
        assert w.cerebras.chats == []
        assert (await w.chomp.status())["routers"]["groq"]["breaker"] == "open"


async def test_the_callers_time_bounds_all_attempts_together(home) -> None:
    async with world(home, "groq", "cerebras") as w:
        serving(w, w.groq, w.cerebras)
        w.groq.hang()
        asked = ChatRequest({"messages": [{"role": "user", "content": "hi"}]}, "m", timeout_seconds=0.3)
        with anyio.fail_after(5), pytest.raises(UpstreamTimeout):
            async with w.chomp.gateway.exchange(OWNER, asked):
                pass
        await w.groq.saw_disconnect()
