"""What a glob names, and what it leaves out."""

from __future__ import annotations

from pathlib import Path

import pytest
from mcp import Client

from tests.doors.files.asking import ask, sent
from tests.support.mcp_doors import text_of
from tests.support.scripted import ScriptedRouter

pytestmark = pytest.mark.anyio


async def test_a_folder_with_brackets_in_its_name_is_no_glob(
    client: Client, project: Path, upstream: ScriptedRouter
) -> None:
    (project / "[id].tsx").write_text("page")
    assert not (await ask(client, "[id].tsx")).is_error
    assert "page" in sent(upstream)


async def test_secrets_are_left_out_of_globs_and_refused_when_named(
    client: Client, project: Path, upstream: ScriptedRouter
) -> None:
    (project / "config.ini").write_text(f"token = ghp_{'a' * 36}\n")
    result = await ask(client, "*.ini", "README.md", ".e*")
    assert not result.is_error
    assert "ghp_" not in str(sent(upstream))
    assert "TOKEN" not in str(sent(upstream))
    assert result.meta
    assert "left out: config.ini (it holds what looks like a key), .env" in result.meta["chomp/receipt"]["notes"][1]
    before = len(upstream.chats)
    named = await ask(client, "config.ini")
    assert named.is_error
    assert "config.ini was not sent to lab: it holds a GitHub token (sha256:" in text_of(named)
    assert "ghp_" not in text_of(named)
    assert len(upstream.chats) == before
