"""The small API for agents: chat, its stream, providers, health, metrics."""

from __future__ import annotations

import asyncio
import json

import anyio
import pytest

from tests.support.scripted import ScriptedRouter
from tests.support.serving import serving, settings_for

pytestmark = pytest.mark.anyio
ASKED = {"agent_id": "agent-7", "model": "lab/m", "messages": [{"role": "user", "content": "hi"}], "temperature": 0.2}


def events(text: str) -> list:
    return [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: ")]


async def test_a_chat_is_answered_in_the_seeds_words(gateway, upstream):
    upstream.answer("hello")
    answer = await gateway.http.post("/v1/chat", json=ASKED)
    usage = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
    assert answer.json() == {"content": "hello", "model": "m", "provider": "lab", "usage": usage}
    assert upstream.chats[0].json["temperature"] == 0.2
    assert "agent_id" not in upstream.chats[0].json


@pytest.mark.parametrize(("path", "more"), [("/v1/chat/stream", {}), ("/v1/chat", {"stream": True})])
async def test_a_streamed_chat_comes_piece_by_piece(gateway, upstream, path, more):
    go = asyncio.Event()
    upstream.stream(["Hel", go, "lo"])
    got = ""
    async with gateway.http.stream("POST", path, json={**ASKED, **more}) as answer:
        with anyio.fail_after(5):
            async for text in answer.aiter_text():
                got += text
                go.set()  # the first piece is here before the second one leaves the router
    served = {"model": "m", "provider": "lab"}
    *pieces, last = events(got)
    assert pieces == [{"content": "Hel", **served}, {"content": "lo", **served}]
    assert last == {"done": True, **served}


async def test_a_streamed_chat_that_breaks_says_so_and_ends(gateway, upstream):
    upstream.error_event({"message": "out of memory"}, after=["Hel"])
    answer = await gateway.http.post("/v1/chat/stream", json=ASKED)
    first, error, last = events(answer.text)
    assert first["content"] == "Hel"
    assert "out of memory" in error["error"]["message"]
    assert last == {"done": True, "model": "m", "provider": "lab"}


async def test_a_streamed_chat_that_fails_at_once_is_a_real_status(gateway, upstream):
    upstream.fail(503)
    answer = await gateway.http.post("/v1/chat/stream", json=ASKED)
    assert answer.status_code == 502
    assert answer.json()["error"]["code"] == "upstream_error"


async def test_providers_tell_calls_failovers_health_and_cost(home):
    async with ScriptedRouter() as bad, ScriptedRouter() as good:
        bad.fail(500)
        environ = {
            "LLM_PROVIDER": "bad",
            "LLM_FALLBACKS": "good",
            "LLM_DAILY_BUDGET_USD": "2.5",
            "LLM_MONTHLY_BUDGET_USD": "0",
        }
        async with serving(settings_for(home, environ=environ, bad=bad.url, good=good.url)) as gateway:
            answer = await gateway.http.post("/v1/chat", json={**ASKED, "model": "auto"})
            assert answer.json()["provider"] == "good"
            told = (await gateway.http.get("/v1/providers")).json()
    assert (told["total_calls"], told["failovers"]) == (1, 1)
    providers = told["providers"]
    assert providers["bad"]["calls"] == providers["bad"]["failures"] == len(bad.chats)
    assert (providers["good"]["calls"], providers["good"]["failures"]) == (1, 0)
    assert (providers["good"]["breaker"], providers["good"]["cooldown_until"]) == ("closed", None)
    cost = {"daily_spend_usd": 0.0, "daily_budget_usd": 2.5, "monthly_spend_usd": 0.0, "monthly_budget_usd": None}
    assert told["cost"] == cost


async def hang_up(gateway, upstream):
    """Leave a stream after its first bytes, and wait until the router has noticed."""
    upstream.hang(after=["Hello"])
    with anyio.fail_after(5):
        async with gateway.http.stream("POST", "/v1/chat/stream", json=ASKED) as answer:
            async for _ in answer.aiter_bytes():
                break
        await upstream.saw_disconnect()


async def test_a_hang_up_is_no_failure_of_the_routers_and_an_exchange_without_a_router_no_call(gateway, upstream):
    await hang_up(gateway, upstream)
    await gateway.is_quiet()
    assert (await gateway.chat(model="nobody-has-this")).status_code == 404
    told = (await gateway.http.get("/v1/providers")).json()
    assert told["total_calls"] == 1
    assert (told["providers"]["lab"]["calls"], told["providers"]["lab"]["failures"]) == (1, 0)


async def test_callers_see_their_own_calls_and_the_owner_sees_all(gateway):
    tokens = [(await gateway.chomp.keyring.create())[0] for _ in range(2)]
    headers = [{"authorization": f"Bearer {token}"} for token in tokens]
    await gateway.chat()
    for _ in range(2):
        await gateway.http.post("/v1/chat", json=ASKED, headers=headers[0])
    seen = [(await gateway.http.get("/v1/providers", headers=each)).json() for each in (*headers, {})]
    assert [told["total_calls"] for told in seen] == [2, 0, 3]
    assert [told["providers"]["lab"]["calls"] for told in seen] == [2, 0, 3]


async def test_metrics_count_what_went_through_every_door(gateway):
    await gateway.http.post("/v1/chat", json={**ASKED, "model": "mock/echo"})
    await gateway.chat(model="mock/echo")
    answer = await gateway.http.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert 'chomp_requests_total{door="gateway_api",status="ok"} 1.0' in answer.text
    assert 'chomp_requests_total{door="openai_api",status="ok"} 1.0' in answer.text
    assert 'chomp_upstream_attempts_total{model="echo",outcome="ok",router="mock"} 2.0' in answer.text


async def test_a_chat_whose_client_hangs_up_stops_the_router(gateway, upstream):
    await hang_up(gateway, upstream)
