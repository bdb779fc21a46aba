"""Where a request would go, and why, without a call: on the command line and with dry_run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.doors.cli.conftest import Run
from tests.doors.cli.conftest import run as run  # noqa: PLC0414 - a fixture
from tests.support.scripted import ScriptedRouter, completion
from tests.support.serving import serving, settings_for

HI: list[Any] = [{"role": "user", "content": "hi"}]
TOOLS: list[Any] = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]


@pytest.mark.anyio
async def test_dry_run_tells_the_plan_and_asks_nobody(home: Path) -> None:
    async with ScriptedRouter() as upstream, ScriptedRouter() as other:
        upstream.models([{"id": "m", "capabilities": {"tools": False}}, {"id": "n", "capabilities": {"tools": True}}])
        other.models(["m"])
        upstream.reply(200, completion("ok"))
        async with serving(settings_for(home, lab=upstream.url, den=other.url)) as gateway:
            body = {"model": "m", "messages": HI, "tools": TOOLS}
            told = (await gateway.http.post("/v1/chat/completions", json={**body, "dry_run": True})).json()
            assert [(each["router"], each["model"], each["ready"]) for each in told["plan"]] == [("den", "m", True)]
            assert "nobody knows whether it can: tools" in told["plan"][0]["reason"]
            assert told["needs"] == ["tools"]
            assert any("lab/m cannot call tools" in note for note in told["notes"])
            streamed = {"model": "lab/n", "messages": HI, "tools": TOOLS, "stream": True, "dry_run": True}
            named = (await gateway.http.post("/v1/chat/completions", json=streamed)).json()
            assert named["plan"][0]["reason"] == "named by the caller; can: tools"
            assert (upstream.chats, other.chats) == ([], [])
            refused = await gateway.http.post("/v1/chat/completions", json={**body, "model": "lab/m", "dry_run": True})
            assert (refused.status_code, refused.json()["error"]["code"]) == (400, "not_capable")
            odd = await gateway.http.post("/v1/chat/completions", json={**body, "dry_run": "yes"})
            assert odd.json()["error"]["param"] == "dry_run"
            asked = await gateway.chat({"model": "lab/n", "messages": HI, "dry_run": False})
            assert asked.json()["choices"][0]["message"]["content"] == "ok"
            assert "dry_run" not in upstream.chats[0].json


@pytest.mark.anyio
async def test_what_rests_is_told(home: Path) -> None:
    async with ScriptedRouter() as upstream:
        upstream.models(["m"])
        upstream.fail(429, headers={"retry-after": "3600"})
        async with serving(settings_for(home, lab=upstream.url)) as gateway:
            await gateway.chat({"model": "lab/m"})
            told = (await gateway.chat({"model": "lab/m", "dry_run": True})).json()["plan"][0]
            assert (told["ready"], told["rests"]) == (False, "rate_limited")


def test_explain_is_a_table_or_json(run: Run, home: Path) -> None:
    home.mkdir(exist_ok=True)
    rows = '[groups.twins]\nmodels = ["mock/echo", "mock/slow"]\norder = "cost"\n'
    (home / "config.toml").write_text(rows, encoding="utf-8")
    shown = run("explain", "twins")
    assert shown.returncode == 0, shown.stderr
    assert "mock/echo" in shown.stdout
    assert "about $0" in shown.stdout
    told = json.loads(run("explain", "twins", "--needs", "vision", "--json").stdout)
    assert (told["needs"], [each["model"] for each in told["plan"]]) == (["vision"], ["echo", "slow"])
    assert run("explain", "mock/echo", "--needs", "eyes").returncode == 2
