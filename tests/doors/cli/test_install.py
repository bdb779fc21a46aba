from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from chomp_mcp.doors.cli.parser import CLIENTS
from tests.doors.cli.installing import PLACES, parsed, written

SHAPES = {
    "claude-code": {"type": "stdio"},
    "vscode": {"type": "stdio"},
    "copilot": {"type": "local", "tools": ["*"]},
    "opencode": {"type": "local"},
    "goose": {"type": "stdio", "name": "chomp", "enabled": True, "timeout": 300},
}
"""What the entries have beside command, arguments and environment."""
pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="the paths are those of Linux"),
    pytest.mark.usefixtures("bare"),
]


def started(entry):
    """The command, the arguments and the environment of an entry of any shape."""
    if isinstance(entry["command"] if "command" in entry else entry["cmd"], list):
        return (*entry["command"],), entry["environment"]
    return (entry.get("command") or entry["cmd"], *entry["args"]), entry.get("env", entry.get("envs"))


@pytest.mark.parametrize("client", CLIENTS)
def test_a_first_install_writes_an_absolute_command_and_uninstall_leaves_nothing(install, run, tmp_path, home, client):
    place, section = PLACES[client]
    done = install(client)
    assert done.returncode == 0, done.stderr
    entry = parsed(tmp_path / place)[section]["chomp"]
    command, env = started(entry)
    assert Path(command[0]).is_absolute()
    assert os.access(command[0], os.X_OK)
    assert command[1:] in ((), ("-m", "chomp_mcp"))
    assert env == {"CHOMP_HOME": str(home)}
    rest = {name: entry[name] for name in entry if name not in {"command", "cmd", "args", "env", "environment", "envs"}}
    assert rest == SHAPES.get(client, {})
    assert run("uninstall", client).returncode == 0
    assert list((tmp_path / place).parent.glob(f"*{Path(place).suffix}*")) == []


def test_what_was_added_to_an_older_entry_stays(install, tmp_path, home):
    old = {"command": "gone", "args": ["x"], "env": {"LLM_PROVIDER": "groq", "CHOMP_HOME": "/old"}, "disabled": False}
    path = written(tmp_path, "cursor", json.dumps({"mcpServers": {"chomp": old}}))
    assert install("cursor").returncode == 0
    entry = json.loads(path.read_text())["mcpServers"]["chomp"]
    assert entry["env"] == {"LLM_PROVIDER": "groq", "CHOMP_HOME": str(home)}
    assert entry["disabled"] is False
    assert entry["command"] != "gone"
    assert "has it already" in install("cursor").stdout


def test_an_unknown_command_is_refused_with_the_one_that_was_meant(run):
    done = run("instal", "cursor")
    assert done.returncode == 2
    assert "there is no command 'instal'. Did you mean install" in done.stderr


def test_uninstall_of_what_is_not_there_says_so(run, tmp_path):
    done = run("uninstall", "cursor")
    assert done.returncode == 0
    assert "no entry of ours" in done.stdout


def test_what_only_this_shell_has_is_named_and_what_the_config_has_is_not(run, home):
    home.mkdir(parents=True, exist_ok=True)
    (home / "config.toml").write_text('OLLAMA_BASE_URL = "box:1"\n')
    shell = {"VLLM_BASE_URL": "box:2", "CLOUDFLARE_ACCOUNT_ID": "0a1b", "OLLAMA_BASE_URL": ""}
    shell |= {"CHOMP_MASTER_KEY": "a-master-key", "CHOMP_TOKEN": "of another program", "LLM_PROVIDER": "groq"}
    said = run("install", "cursor", "--print", env=shell).stderr
    assert "Set in this shell only: CLOUDFLARE_ACCOUNT_ID, " in said
    assert "VLLM_BASE_URL. Put them into" in said
    assert "LLM_PROVIDER, " in said
    assert "CHOMP_MASTER_KEY is set in this shell only: to read sealed keys the client needs --env" in said
    assert "CHOMP_TOKEN" not in said
    assert "OLLAMA_BASE_URL" not in said
