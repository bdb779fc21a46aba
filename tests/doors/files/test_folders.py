"""Inside which folders a server reads and writes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from mcp import Client

from chomp_mcp.app import Chomp
from chomp_mcp.doors.mcp.server import build_server
from chomp_mcp.settings import Settings
from tests.doors.files.asking import ask
from tests.support.mcp_doors import environment, running, text_of
from tests.support.scripted import ScriptedRouter

pytestmark = pytest.mark.anyio


async def test_chomp_files_comes_before_everything(tmp_path: Path, project: Path, upstream: ScriptedRouter) -> None:
    settings = environment(tmp_path / "home", upstream, CHOMP_FILES=str(project / "src"))
    async with (
        Chomp(Settings.load(settings)) as chomp,
        Client(build_server(chomp, started_in=str(project.parent))) as client,
    ):
        assert not (await ask(client, "a.py")).is_error
        assert "outside" in text_of(await ask(client, "../README.md"))


@pytest.mark.parametrize("folder", ["/", "~", "~/..", ""])
async def test_nobody_chose_a_home_or_a_root_by_starting_a_program_there(
    tmp_path: Path, upstream: ScriptedRouter, folder: str
) -> None:
    started_in = os.path.expanduser(folder)  # noqa: ASYNC240, PTH111 - a text
    async with (
        running(tmp_path / "home", upstream) as chomp,
        Client(build_server(chomp, started_in=started_in)) as client,
    ):
        assert "set CHOMP_FILES" in text_of(await ask(client, "x.txt"))
    assert not upstream.chats
