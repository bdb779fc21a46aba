"""`catalog update`: newer facts about models are used, broken and older ones change nothing, and a plan shows it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from chomp_mcp.app import Chomp
from chomp_mcp.doors.cli import main
from chomp_mcp.errors import NotCapable
from chomp_mcp.messages import OWNER, ChatRequest
from chomp_mcp.routers import model_facts
from chomp_mcp.routers.model_facts import ModelFacts
from chomp_mcp.settings import Settings
from tests.support.scripted import ScriptedRouter
from tests.support.world import world

pytestmark = pytest.mark.anyio

PICTURE: Any = [
    {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}]}
]


def newer(**changes: Any) -> ModelFacts:
    """The shipped facts of a later day, in which a model of Groq has learned to see."""
    shipped = model_facts.current(Path("nowhere"))
    groq = dict(shipped.routers["groq"])
    seen = groq["openai/gpt-oss-120b"]
    groq["openai/gpt-oss-120b"] = replace(seen, can=seen.can | {"vision"}, cannot=seen.cannot - {"vision"})
    return replace(shipped, **{"date": "2026-10-30", "routers": {**shipped.routers, "groq": groq}, **changes})


def run(*arguments: str) -> int:
    return main([*arguments])


def test_newer_facts_are_used_from_then_on(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with ScriptedRouter() as upstream:
        upstream.on(path="/api.json").reply(200, model_facts.written(newer()))
        assert run("catalog", "update", "--from", f"{upstream.base}/api.json") == 0
        assert "as of 2026-10-30" in capsys.readouterr().out
    assert run("catalog", "show", "--json") == 0
    assert json.loads(capsys.readouterr().out)["date"] == "2026-10-30"
    seen = Chomp(Settings.load({"CHOMP_HOME": str(home)})).routers["groq"].known["openai/gpt-oss-120b"]
    assert "vision" in seen.can


@pytest.mark.parametrize(
    ("status", "body", "why"),
    [
        (200, b"<html>", "it is not JSON"),
        (200, b"{}", "it says nothing of these routers"),
        (404, b"", "answered 404"),
        (200, model_facts.written(newer(routers={"groq": {}})), "it knows 0 models"),
        (200, model_facts.written(newer(date="2099-01-01")), "which is to come"),
    ],
)
def test_what_is_broken_changes_nothing(
    home: Path, capsys: pytest.CaptureFixture[str], status: int, body: bytes, why: str
) -> None:
    with ScriptedRouter() as upstream:
        upstream.on(path="/api.json").reply(status, body)
        assert run("catalog", "update", "--from", f"{upstream.base}/api.json") == 4
    said = capsys.readouterr().err
    assert why in said
    assert "What was known before is kept" in said
    assert not (home / model_facts.FILE).exists()


def test_what_is_older_is_kept_out(home: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    older = tmp_path / "older.json"
    older.write_bytes(model_facts.written(newer(date="2026-01-01")))
    assert run("catalog", "update", "--from", str(older)) == 0
    assert "is older: of 2026-01-01" in capsys.readouterr().err
    assert not (home / model_facts.FILE).exists()


def test_without_a_network_it_says_so(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("catalog", "update", "--from", "http://127.0.0.1:9/api.json") == 4
    assert "cannot be reached" in capsys.readouterr().err
    assert run("catalog", "update", "--from", str(home / "nothing.json")) == 2
    assert "cannot be read" in capsys.readouterr().err


async def test_a_picture_goes_to_none_that_the_catalog_says_is_blind(home: Path) -> None:
    async with world(home, "groq") as w:
        w.groq.models(["openai/gpt-oss-120b", "qwen/qwen3.8-27b"])
        with pytest.raises(NotCapable, match=r"cannot see pictures \(by the catalog\).*groq/qwen/qwen3.8-27b"):
            await w.chomp.gateway.plan(OWNER, ChatRequest({"messages": PICTURE}, "groq/openai/gpt-oss-120b"))
        plan = await w.chomp.gateway.plan(OWNER, ChatRequest({"messages": PICTURE}, "groq/auto"))
        assert [route.model for route in plan.routes] == ["qwen/qwen3.8-27b"]
        assert "gpt-oss-120b cannot see pictures" in " ".join(plan.notes)


async def test_lists_show_what_is_known_and_how(home: Path) -> None:
    async with world(home, "zen") as w:
        w.zen.models(["gpt-5.4", "kimi-k9"])
        page = await w.chomp.list_models("zen", limit=None)
        known, unknown = page.models
        assert (known.context_length, known.max_output) == (1_050_000, 128_000)
        assert {"tools", "vision", "json_schema", "reasoning"} <= known.can
        assert set(page.known_by[known.ref].values()) == {"catalog"}
        assert {"context_length", "max_output"} <= set(page.known_by[known.ref])
        assert (unknown.can, unknown.cannot, page.known_by.get(unknown.ref, {})) == (set(), set(), {})
        [priced] = await w.chomp.priced([known])
        assert (priced.price_in, priced.price_out) == (2.5, 15)
