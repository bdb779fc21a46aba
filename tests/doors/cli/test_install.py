from __future__ import annotations

import json
import os
import stat
import sys
from pathlib import Path

import pytest

from chomp_mcp.doors.cli.parser import CLIENTS

PLACES = {
    "claude-desktop": (".config/Claude/claude_desktop_config.json", "mcpServers"),
    "cursor": (".cursor/mcp.json", "mcpServers"),
    "vscode": (".config/Code/User/mcp.json", "servers"),
    "claude-code": (".claude.json", "mcpServers"),
    "windsurf": (".codeium/windsurf/mcp_config.json", "mcpServers"),
    "zed": (".config/zed/settings.json", "context_servers"),
    "gemini": (".gemini/settings.json", "mcpServers"),
}
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the paths are those of Linux")


@pytest.fixture
def install(run, monkeypatch):
    """Without XDG_CONFIG_HOME, so that the files stand below the test's HOME."""
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    return lambda *args, **more: run("install", *args, **more)


def test_every_client_has_a_place():
    assert set(PLACES) == set(CLIENTS)


@pytest.mark.parametrize("client", CLIENTS)
def test_a_first_install_writes_an_absolute_command(install, tmp_path, home, client):
    path, section = PLACES[client]
    done = install(client)
    entry = json.loads((tmp_path / path).read_text())[section]["chomp"]
    assert done.returncode == 0
    assert Path(entry["command"]).is_absolute()
    assert os.access(entry["command"], os.X_OK)
    assert entry["args"] in ([], ["-m", "chomp_mcp"])
    assert entry["env"] == {"CHOMP_HOME": str(home)}
    assert entry.get("type") == ("stdio" if client in {"vscode", "claude-code"} else None)


def test_everything_else_in_the_file_stays_and_a_backup_is_kept(install, tmp_path):
    path = tmp_path / ".cursor" / "mcp.json"
    path.parent.mkdir()
    before = '{"mcpServers": {"other": {"command": "x"}}, "theme": "dünn"}'
    path.write_text(before)
    path.chmod(0o640)
    done = install("cursor")
    after = json.loads(path.read_text())
    assert after["mcpServers"]["other"] == {"command": "x"}
    assert after["theme"] == "dünn"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    backup = next(path.parent.glob("mcp.json.*.bak"))
    assert backup.read_text() == before
    assert str(backup) in done.stdout


def test_a_second_install_changes_nothing(install, tmp_path):
    install("cursor")
    before = (tmp_path / ".cursor" / "mcp.json").stat()
    done = install("cursor")
    assert "has it already" in done.stdout
    assert (tmp_path / ".cursor" / "mcp.json").stat() == before
    assert [file.name for file in (tmp_path / ".cursor").iterdir()] == ["mcp.json"]


def test_what_was_added_to_an_older_entry_stays(install, tmp_path, home):
    path = tmp_path / ".cursor" / "mcp.json"
    path.parent.mkdir()
    old = {"command": "gone", "args": ["x"], "env": {"LLM_PROVIDER": "groq", "CHOMP_HOME": "/old"}, "disabled": False}
    path.write_text(json.dumps({"mcpServers": {"chomp": old}}))
    assert install("cursor").returncode == 0
    entry = json.loads(path.read_text())["mcpServers"]["chomp"]
    assert entry["env"] == {"LLM_PROVIDER": "groq", "CHOMP_HOME": str(home)}
    assert entry["disabled"] is False
    assert entry["command"] != "gone"
    assert "has it already" in install("cursor").stdout


@pytest.mark.parametrize("content", ['{"a": 1, // why\n}', '{"mcpServers": []}', "[]", "nothing"])
def test_a_file_that_cannot_be_merged_is_left_as_it_is(install, tmp_path, content):
    path = tmp_path / ".cursor" / "mcp.json"
    path.parent.mkdir()
    path.write_text(content)
    done = install("cursor")
    assert done.returncode == 2
    assert str(path) in done.stderr
    assert path.read_text() == content
    assert [file.name for file in path.parent.iterdir()] == ["mcp.json"]


def test_a_file_with_comments_gets_the_text_to_paste(install, tmp_path):
    path = tmp_path / ".config" / "zed" / "settings.json"
    path.parent.mkdir(parents=True)
    path.write_text('// mine\n{"theme": "One"}')
    done = install("zed")
    assert '"context_servers"' in done.stderr


def test_a_linked_file_stays_a_link(install, tmp_path):
    real = tmp_path / "dotfiles.json"
    real.write_text("{}")
    (tmp_path / ".cursor").mkdir()
    link = tmp_path / ".cursor" / "mcp.json"
    link.symlink_to(real)
    assert install("cursor").returncode == 0
    assert link.is_symlink()
    assert "chomp" in json.loads(real.read_text())["mcpServers"]


def test_print_writes_nothing(install, tmp_path):
    done = install("claude-desktop", "--print")
    assert "chomp" in json.loads(done.stdout)["mcpServers"]
    assert not (tmp_path / ".config").exists()


def test_what_a_client_does_not_hand_on_is_named(install):
    done = install(
        "cursor", "--print", env={"GROQ_API_KEY": "gsk_0123456789abcdef", "LLM_PROVIDER": "groq", "OTHER_API_KEY": "x"}
    )
    assert "chomp-mcp keys add groq" in done.stderr
    assert "LLM_PROVIDER" in done.stderr
    assert "OTHER_API_KEY" not in done.stderr
    assert "gsk_0123456789abcdef" not in done.stdout + done.stderr


def test_an_unknown_client_is_refused(run):
    done = run("install", "emacs")
    assert done.returncode == 2
    assert "claude-desktop" in done.stderr
