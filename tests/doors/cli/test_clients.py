"""The clients that install knows: their names, their places, their own commands."""

from __future__ import annotations

import json
import sys

import pytest

from chomp_mcp.doors.cli.parser import CLIENTS
from tests.doors.cli.installing import MOVED, PLACES, parsed, written

PROJECTS = {
    "claude-code": ".mcp.json",
    "cursor": ".cursor/mcp.json",
    "vscode": ".vscode/mcp.json",
    "codex": ".codex/config.toml",
    "gemini": ".gemini/settings.json",
    "opencode": "opencode.json",
    "zed": ".zed/settings.json",
}
pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="the paths are those of Linux"),
    pytest.mark.usefixtures("bare"),
]


FAKE = """#!{python}
import json, os, sys
place = os.environ["PLACE"]
with open(os.environ["SEEN"], "a") as seen:
    seen.write(json.dumps(sys.argv[1:]) + "\\n")
if os.environ.get("FAILS"):
    sys.exit("no way")
if "add-json" in sys.argv:
    open(place, "w").write(json.dumps({{"mcpServers": {{"chomp": json.loads(sys.argv[-1])}}}}))
if "remove" in sys.argv:
    open(place, "w").write("{{}}")
"""


@pytest.fixture
def claude(tmp_path):
    """A `claude` on the PATH that notes what it is asked for; gives the environment to run with."""
    program = tmp_path / "bin" / "claude"
    program.write_text(FAKE.format(python=sys.executable))
    program.chmod(0o755)
    return {"PLACE": str(tmp_path / ".claude.json"), "SEEN": str(tmp_path / "seen")}


def seen(tmp_path):
    return [json.loads(line) for line in (tmp_path / "seen").read_text().splitlines()]


def test_every_client_has_a_place():
    assert tuple(PLACES) == CLIENTS


@pytest.mark.parametrize("client", PROJECTS)
def test_a_project_has_a_file_of_its_own(install, tmp_path, client):
    assert install(client, "--project").returncode == 0
    assert "chomp" in parsed(tmp_path / PROJECTS[client])[PLACES[client][1]]


def test_a_client_without_files_in_projects_says_so(install, tmp_path):
    done = install("lmstudio", "--project")
    assert done.returncode == 2
    assert "no configuration per project" in done.stderr


@pytest.mark.parametrize("variable", MOVED)
def test_the_variables_that_move_a_clients_folder_are_honoured(install, tmp_path, variable):
    client, name = MOVED[variable]
    install(client, env={variable: str(tmp_path / "moved")})
    assert (tmp_path / "moved" / name).is_file()
    assert not (tmp_path / PLACES[client][0]).exists()


def test_a_clients_own_command_is_used_where_it_is_installed(install, run, tmp_path, claude):
    done = install("claude-code", env=claude)
    assert done.returncode == 0, done.stderr
    assert "Runs: claude mcp add-json -s user chomp" in done.stdout
    run("uninstall", "claude-code", env=claude)
    (add, remove) = seen(tmp_path)
    assert add[:5] == ["mcp", "add-json", "-s", "user", "chomp"]
    assert json.loads(add[5])["type"] == "stdio"
    assert remove == ["mcp", "remove", "-s", "user", "chomp"]


def test_an_older_entry_is_taken_out_before_the_clients_own_command_adds_the_new_one(install, tmp_path, claude):
    written(tmp_path, "claude-code", '{"mcpServers": {"chomp": {"url": "http://x", "timeout": 5}}}')
    install("claude-code", env=claude)
    assert [each[1] for each in seen(tmp_path)] == ["remove", "add-json"]
    entry = parsed(tmp_path / ".claude.json")["mcpServers"]["chomp"]
    assert set(entry) == {"type", "command", "args", "env", "timeout"}


def test_where_the_clients_own_command_fails_the_file_is_edited(install, tmp_path, claude):
    done = install("claude-code", env={**claude, "FAILS": "1"})
    assert done.returncode == 0
    assert "no way" in done.stderr
    assert "chomp" in parsed(tmp_path / ".claude.json")["mcpServers"]


@pytest.mark.parametrize(("typed", "meant"), [("curser", "cursor"), ("claude-dektop", "claude-desktop"), ("emacs", "")])
def test_an_unknown_client_is_refused_with_the_one_that_was_meant(run, typed, meant):
    done = run("install", typed)
    assert done.returncode == 2
    assert (f"Did you mean {meant}" if meant else "Known: claude-desktop") in done.stderr


@pytest.mark.parametrize("name", ["VS Code", "vs_code", "LM-Studio", "claude"])
def test_a_client_goes_by_its_other_names_too(run, name):
    assert run("install", name, "--print").returncode == 0
