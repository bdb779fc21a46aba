"""A change, before it is made: shown, and agreed to."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys

import pytest

from tests.doors.cli.installing import PLACES, written
from tests.support.commands import COMMAND

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="the paths are those of Linux"),
    pytest.mark.usefixtures("bare"),
]


@pytest.mark.parametrize("client", ["claude-desktop", "codex", "goose"])
def test_print_writes_nothing(install, tmp_path, client):
    done = install(client, "--print")
    assert "chomp" in done.stdout
    assert str(tmp_path / PLACES[client][0]) in done.stderr
    assert not (tmp_path / ".config").exists()
    assert not (tmp_path / ".codex").exists()


def test_the_diff_shows_no_neighbours_key(install, tmp_path):
    written(tmp_path, "cursor", '{\n  "mcpServers": {},\n  "apiKey": "sk-very-secret-0123"\n}')
    done = install("windsurf")
    assert "+" in done.stdout
    done = install("cursor")
    assert "sk-very-secret-0123" not in done.stdout + done.stderr


@pytest.mark.parametrize(("said", "is_written"), [("y\n", True), ("\n", True), ("n\n", False)])
def test_on_a_terminal_it_asks_first(tmp_path, home, said, is_written):
    outer, inner = pty.openpty()
    with subprocess.Popen(
        [*COMMAND, "install", "cursor"],
        stdin=inner,
        stdout=inner,
        stderr=inner,
        env={**os.environ, "HOME": str(tmp_path)},
    ) as process:
        os.close(inner)
        told = b""
        while b"[Y/n]" not in told:
            told += os.read(outer, 1024)
        os.write(outer, said.encode())
        assert process.wait(20) == 0
    os.close(outer)
    assert b"+" in told
    assert (tmp_path / ".cursor" / "mcp.json").exists() is is_written


def test_as_json_it_says_whether_the_file_is_another_one_now(run, tmp_path):
    for changed in (True, False):
        told = json.loads(run("install", "cursor", "--json").stdout)
        assert (told["client"], told["changed"]) == ("cursor", changed)
        assert told["file"] == str(tmp_path / PLACES["cursor"][0])
    assert json.loads(run("uninstall", "cursor", "--json").stdout)["changed"] is True
