"""How agents are told where models are."""

from __future__ import annotations

import json
import shlex

import pytest

from chomp_mcp.doors.cli.agents import AGENTS
from chomp_mcp.doors.cli.parser import AGENTS as NAMES


def test_the_parser_knows_the_agents_of_the_table():
    assert set(NAMES) == set(AGENTS)


@pytest.mark.parametrize("agent", AGENTS)
def test_print_shows_what_would_be_set_and_starts_nothing(run, upstream, agent):
    done = run("run", agent, "-m", "lab/m", "--print", "--", "more words")
    assert done.returncode == 0, done.stderr
    *variables, last = done.stdout.splitlines()
    words = shlex.split(last)
    assert words[0] == AGENTS[agent].program
    assert words[-1] == "more words"
    assert "lab/m" in done.stdout
    assert all(line.startswith(("export ", "unset ")) for line in variables)
    assert not upstream.chats


def test_codex_gets_toml_and_opencode_json(run, upstream):
    import tomllib

    words = shlex.split(run("run", "codex", "-m", "lab/m", "--print").stdout.splitlines()[-1])
    settings = tomllib.loads("\n".join(words[2::2]))
    assert settings["model_providers"]["chomp"]["wire_api"] == "responses"
    assert settings["model_providers"]["chomp"]["base_url"].endswith("/v1")
    assert settings["mcp_servers"]["chomp"]["command"]
    assert settings["mcp_servers"]["chomp"]["required"] is True, "else a headless run begins without the server"
    assert settings["mcp_servers"]["chomp"]["default_tools_approval_mode"] == "approve", "nobody is there to approve"
    lines = run("run", "opencode", "-m", "lab/m", "--print").stdout.splitlines()
    config = next(shlex.split(line)[1] for line in lines if "OPENCODE_CONFIG_CONTENT" in line)
    told = json.loads(config.partition("=")[2])
    assert told["model"] == "chomp/lab/m"
    assert "lab/m" in told["provider"]["chomp"]["models"]
