# ruff: noqa: ASYNC240 - a test may wait for its disk
"""What the owner's word for a token says holds at every door."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from chomp_mcp.settings import Settings
from tests.support.clock import Clock
from tests.support.mcp_doors import MODES, call, text_of
from tests.support.scripted import ScriptedRouter
from tests.support.serving import Served, serving
from tests.support.world import environment

pytestmark = pytest.mark.anyio

OWNER = "the-owners-own-token"
HI = [{"role": "user", "content": "hi"}]
PRICED = "groq/openai/gpt-oss-120b"


@asynccontextmanager
async def gateway(home: Path, **settings: str) -> AsyncIterator[tuple[Served, ScriptedRouter, ScriptedRouter]]:
    async with ScriptedRouter() as groq, ScriptedRouter() as cerebras:
        for upstream in (groq, cerebras):
            upstream.models(["openai/gpt-oss-120b", "m"])
            upstream.answer("hello")
        env = environment(home, {"groq": groq, "cerebras": cerebras}, GATEWAY_AUTH_TOKEN=OWNER, **settings)
        async with serving(Settings.load(env)) as served:
            yield served, groq, cerebras


async def issued(served: Served, **told: Any) -> str:
    answer = await served.http.post(
        "/api/keys", json={"name": "ci", **told}, headers={"authorization": f"Bearer {OWNER}"}
    )
    assert answer.status_code == 200, answer.text
    return answer.json()["token"]


async def chat(served: Served, token: str, model: str, **body: Any) -> Any:
    headers = {"authorization": f"Bearer {token}"}
    return await served.http.post(
        "/v1/chat/completions", json={"model": model, "messages": HI, **body}, headers=headers
    )


async def test_a_token_uses_the_owners_keys_for_the_models_that_it_may_ask(home: Path) -> None:
    async with gateway(home) as (served, groq, cerebras):
        token = await issued(served, models=["groq/*"])
        assert (await chat(served, token, "groq/m")).status_code == 200
        assert groq.chats[0].key == "key-groq"
        refused = await chat(served, token, "cerebras/m")
        assert refused.status_code == 403
        assert "It may use groq/*" in refused.text
        assert (await chat(served, token, "auto")).headers["x-chomp-router"] == "groq"
        assert cerebras.chats == []
        listed = await served.http.get("/v1/models", headers={"authorization": f"Bearer {token}"})
        assert {model["id"].partition("/")[0] for model in listed.json()["data"]} == {"groq"}
        shown = await served.http.get("/api/keys", headers={"authorization": f"Bearer {token}"})
        assert shown.json()["routers"] == {}, "the owner's keys are lent, and not shown"


async def test_a_token_is_shown_what_it_can_use_and_no_other_name(home: Path) -> None:
    """Nor is it told of it by a hint, a rest, a quota, or the members of a group."""
    async with ScriptedRouter() as groq, ScriptedRouter() as cerebras, ScriptedRouter() as lab:
        home.mkdir()
        groq.models(["m", "secret-a"])
        cerebras.models(["secret-b"])
        members = '"groq/m", "cerebras/secret-b", "lab-of-secret/secret-c"'
        (home / "config.toml").write_text(
            f'[routers.lab-of-secret]\nurl = "{lab.url}"\nmodels = ["secret-c"]\n'
            f'[groups.coding]\nmodels = [{members}]\n[groups.secret-group]\nmodels = ["cerebras/secret-b"]\n'
        )
        env = environment(home, {"groq": groq, "cerebras": cerebras}, GATEWAY_AUTH_TOKEN=OWNER, GATEWAY_RATE_RPS="0")
        async with serving(Settings.load(env)) as served:
            groq.fail(429, {"error": {"message": "Rate limit reached"}}, {"retry-after": "600"})
            assert (await chat(served, OWNER, "groq/secret-a")).status_code == 429
            groq.clear()
            groq.models(["m", "secret-a"])
            token = await issued(served, models=["groq/m"])
            headers = {"authorization": f"Bearer {token}"}
            told = {}
            for path in (
                *("/v1/models", "/v1/models?client_version=1", "/v1/models/groq/secrt-a", "/v1/providers", "/docs"),
                *("/v1beta/models", "/api/models/auto", "/api/models/nonsense", "/openapi.json"),
            ):
                told[path] = (await served.http.get(path, headers=headers)).text
            for ref in ("secrt-a", "groq/secrt-a", "lab-of-secrt/x", "secrt-group", "auto", "coding"):
                told[ref] = (await chat(served, token, ref)).text
            async with (
                httpx2.AsyncClient(headers=headers) as http,
                Client(streamable_http_client(f"{served.url}/mcp", http_client=http)) as client,
            ):
                told["list_models"] = text_of(await client.call_tool("list_models", {}))
                told["status"] = str(await client.call_tool("status", {}))
                told["routers"] = str(await client.read_resource("chomp://routers"))
            assert [where for where, text in told.items() if "secret" in text] == []
            assert "groq/m (listed)" in told["/v1/models"], "the group, with the member that serves it"
            owners = (await served.http.get("/v1/models", headers={"authorization": f"Bearer {OWNER}"})).text
            assert "groq/m, cerebras/secret-b, lab-of-secret/secret-c" in owners


DOORS = {
    "/v1/messages": {"model": "cerebras/m", "max_tokens": 9, "messages": HI},
    "/v1/responses": {"model": "cerebras/m", "input": "hi"},
    "/v1/embeddings": {"model": "cerebras/m", "input": "hi"},
    "/v1/completions": {"model": "cerebras/m", "prompt": "hi"},
    "/v1/chat": {"agent_id": "a", "model": "cerebras/m", "messages": HI},
    "/api/dispatch": {"prompt": "hi", "model": "cerebras/m"},
    "/v1/messages/count_tokens": {"model": "cerebras/m", "messages": HI},
    "/v1beta/models/cerebras/m:generateContent": {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]},
    "/v1/models/cerebras/m:generateContent": {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]},
}
OPENS = {
    "/v1/messages": "anthropic",
    "/v1/messages/count_tokens": "anthropic",
    "/v1/responses": "openai",
    "/v1/embeddings": "openai",
    "/v1/completions": "openai",
    "/v1/chat/completions": "openai",
    "/v1/chat": "api",
    "/v1/chat/stream": "api",
    "/api/dispatch": "api",
    "/api/keys": "api",
    "/v1beta/models/cerebras/m:generateContent": "gemini",
    "/v1/models/cerebras/m:generateContent": "gemini",
    "/mcp": "mcp",
    "/messages/": "mcp",
    "/api/tokens/ci/rotate": "api",
}


@pytest.mark.parametrize("path", DOORS)
async def test_every_door_holds_a_token_to_its_models(home: Path, path: str) -> None:
    async with gateway(home) as (served, _, cerebras):
        token = await issued(served, models="groq/*")
        answer = await served.http.post(path, json=DOORS[path], headers={"authorization": f"Bearer {token}"})
        assert answer.status_code in {400, 403}
        assert cerebras.chats == []


@pytest.mark.parametrize("door", ["openai", "anthropic", "gemini", "mcp", "api"])
async def test_a_token_opens_its_doors_and_no_other(home: Path, door: str) -> None:
    async with gateway(home) as (served, _, _cerebras):
        headers = {"authorization": f"Bearer {await issued(served, doors=[door])}"}
        refused = {}
        for path in OPENS:
            for each in (path, f"{path.rstrip('/')}/"):
                answer = await served.http.post(each, json=DOORS.get(path, {}), headers=headers)
                refused[path] = "This token does not open" in answer.text
        assert refused == {path: opens != door for path, opens in OPENS.items()}
        models = await served.http.get("/v1/models", headers=headers)
        assert models.status_code == (200 if door in {"openai", "anthropic", "gemini"} else 403)
        assert (await served.http.get("/", headers=headers)).status_code == 403
        assert (await served.http.get("/healthz", headers=headers)).status_code == 200


async def test_the_owner_lists_rotates_and_revokes_over_http(home: Path) -> None:
    async with gateway(home) as (served, _, _cerebras):
        token = await issued(served, models=["groq/*"], doors="openai,mcp", daily="2", expires="30d")
        owner = {"authorization": f"Bearer {OWNER}"}
        (row,) = (await served.http.get("/api/tokens", headers=owner)).json()["tokens"]
        assert (row["name"], row["models"], row["doors"], row["used"]) == ("ci", ["groq/*"], ["openai", "mcp"], None)
        assert (await chat(served, token, "groq/m")).status_code == 200
        told = await served.http.get("/api/tokens", headers=owner)
        assert told.json()["tokens"][0]["used"]
        assert token not in told.text
        theirs = {"authorization": f"Bearer {await issued(served, name='other')}"}
        for method, path in (
            ("GET", "/api/tokens"),
            ("DELETE", "/api/tokens/ci"),
            ("POST", "/api/tokens/ci/rotate"),
        ):
            assert (await served.http.request(method, path, headers=theirs)).status_code == 403
        new = (await served.http.post("/api/tokens/ci/rotate", headers=owner)).json()["token"]
        assert [(await chat(served, each, "groq/m")).status_code for each in (token, new)] == [401, 200]
        assert (await served.http.delete(f"/api/tokens/{row['id']}", headers=owner)).json() == {"revoked": row["id"]}
        assert (await chat(served, new, "groq/m")).status_code == 401
        assert (await served.http.delete("/api/tokens/ci", headers=owner)).status_code == 404


@pytest.mark.parametrize("mode", MODES)
async def test_mcp_holds_a_token_to_its_models(home: Path, mode: str) -> None:
    async with gateway(home) as (served, groq, cerebras):
        token = await issued(served, models=["groq/*"])
        async with (
            httpx2.AsyncClient(headers={"authorization": f"Bearer {token}"}, timeout=30, trust_env=False) as http,
            Client(streamable_http_client(f"{served.url}/mcp", http_client=http), mode=mode) as client,
        ):
            for tool in ("ask", "dispatch"):
                refused = await client.call_tool(tool, {"prompt": "hi", "model": "cerebras/m"})
                assert refused.is_error
                assert "This token may not use cerebras/m" in text_of(refused)
            assert (await call(client, "ask", prompt="hi", model="groq/m"))["text"] == "hello"
            listed = await call(client, "list_models")
        assert {model["id"].partition("/")[0] for model in listed["models"]} == {"groq"}
        assert groq.chats[0].key == "key-groq"
        assert cerebras.chats == []


async def test_a_tokens_budget_is_its_own(home: Path) -> None:
    async with gateway(home) as (served, _, _cerebras):
        token = await issued(served, daily="0.000001")
        refused = await chat(served, token, PRICED, max_tokens=1000)
        assert refused.status_code == 429
        assert "ask whoever gave you the token for more" in refused.text
        assert "LLM_DAILY_BUDGET_USD" not in refused.text
        assert (await chat(served, OWNER, PRICED, max_tokens=1000)).status_code == 200


async def test_a_tokens_rate_is_its_own(home: Path) -> None:
    async with gateway(home) as (served, _, _cerebras):
        token = await issued(served, rps=0.01)
        assert [(await chat(served, token, "groq/m")).status_code for _ in range(2)] == [200, 429]
        assert (await chat(served, OWNER, "groq/m")).status_code == 200


async def test_a_token_ends(home: Path) -> None:
    async with gateway(home) as (served, _, _cerebras):
        token = await issued(served, expires="1s")
        served.chomp.keyring._clock = Clock(served.chomp.clock() + 2)
        assert (await chat(served, token, "groq/m")).status_code == 401


@pytest.mark.parametrize(
    "told",
    [
        {"daily": -1},
        {"monthly": "much"},
        {"rps": 0},
        {"expires": "yesterday"},
        {"expires": "2020-01-01"},
        {"models": [1]},
        {"models": [""]},
        {"doors": ["windows"]},
        {"doors": 5},
        {"name": ""},
        {"name": "x" * 65},
        {"daily": True},
    ],
)
async def test_what_cannot_be_meant_makes_no_token(home: Path, told: dict) -> None:
    async with gateway(home) as (served, _, _cerebras):
        answer = await served.http.post(
            "/api/keys", json={"name": "ci", **told}, headers={"authorization": f"Bearer {OWNER}"}
        )
        assert answer.status_code == 400
        assert next(iter(told)) in answer.text
        assert await served.chomp.keyring.tokens() == []


@pytest.mark.parametrize("told", [{"name": "ci", "dayly": "1"}, {"modles": ["groq/*"]}])
async def test_a_limit_with_a_slip_in_its_name_makes_no_token_and_adds_no_key(home: Path, told: dict) -> None:
    async with gateway(home) as (served, *_):
        headers = {"authorization": f"Bearer {OWNER}"}
        body = {"keys": {"groq": "gsk_of_a_guest_11111111"}, **told}
        answer = await served.http.post("/api/keys", json=body, headers=headers)
        assert answer.status_code == 400
        assert re.search("Did you mean (daily|models)", answer.text)
        assert (await served.http.get("/api/tokens", headers=headers)).json()["tokens"] == []
        assert not (home / "keys.json").exists()


async def test_only_the_owner_gives_limits(home: Path) -> None:
    async with gateway(home) as (served, _, _cerebras):
        token = await issued(served)
        for headers in ({"authorization": f"Bearer {token}"}, {}):
            answer = await served.http.post("/api/keys", json={"name": "mine", "daily": 1e6}, headers=headers)
            assert answer.status_code == 403


async def test_what_needs_no_key_is_the_owners_unless_its_row_is_shared(home: Path) -> None:
    async with ScriptedRouter() as mine, ScriptedRouter() as ours:
        for upstream in (mine, ours):
            upstream.models(["m"])
            upstream.answer("hello")
        home.mkdir()
        rows = f'[routers.mine]\nurl = "{mine.url}"\n[routers.ours]\nurl = "{ours.url}"\nshared = true\n'
        (home / "config.toml").write_text(rows)
        async with gateway(home) as (served, _, _cerebras):
            stranger = (await served.http.post("/api/keys", json={"keys": {"groq": "gsk_" + "a1" * 26}})).json()[
                "token"
            ]
            assert (await chat(served, stranger, "mine/m")).status_code == 403
            assert (await chat(served, stranger, "ollama/m")).status_code == 403
            assert mine.requests == []
            assert (await chat(served, stranger, "ours/m")).status_code == 200
            assert (await chat(served, stranger, "mock/echo")).status_code == 200
            assert (await chat(served, OWNER, "mine/m")).status_code == 200
            named = await issued(served, models=["mine/*"])
            assert (await chat(served, named, "mine/m")).status_code == 200


async def test_a_rotated_token_keeps_its_caller_and_the_old_one_opens_nothing(home: Path) -> None:
    async with gateway(home) as (served, _, _cerebras):
        old = await issued(served, models=["groq/*"])
        (listed,) = await served.chomp.keyring.tokens()
        job = await served.http.post(
            "/api/dispatch", json={"prompt": "hi", "model": "groq/m"}, headers={"authorization": f"Bearer {old}"}
        )
        caller = await served.chomp.keyring.find(old)
        assert caller
        new = await served.chomp.keyring.rotate(caller)
        again = await served.chomp.keyring.rotate(caller)
        assert new
        assert again
        assert (await chat(served, old, "groq/m")).status_code == 401
        assert (await chat(served, new, "groq/m")).status_code == 401
        assert (await chat(served, again, "groq/m")).status_code == 200
        found = await served.http.get(
            f"/api/result/{job.json()['id']}?wait=10", headers={"authorization": f"Bearer {again}"}
        )
        assert found.json()["result"] == "hello"
        stored = (home / "keys.json").read_text()
        assert not [token for token in (old, new, again) if token in stored or token[6:] in stored]
        (after,) = await served.chomp.keyring.tokens()
        assert after.caller_id == listed.caller_id
        assert after.used
        await served.chomp.forget(caller)
        assert (await chat(served, again, "groq/m")).status_code == 401
        assert json.loads((home / "keys.json").read_text()) == {}
