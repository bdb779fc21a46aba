"""How other programs start chomp-mcp, and in which environment."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.doors.cli.installing import parsed

ROOT = Path(__file__).parents[3]
PROXY = "http://proxy.corp:3128"
pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="the paths are those of Linux"),
    pytest.mark.usefixtures("bare"),
]


def test_what_a_client_does_not_hand_on_is_named(install):
    done = install(
        "cursor", "--print", env={"GROQ_API_KEY": "gsk_0123456789abcdef", "LLM_PROVIDER": "groq", "OTHER_API_KEY": "x"}
    )
    assert "chomp-mcp keys add groq" in done.stderr
    assert "LLM_PROVIDER" in done.stderr
    assert "OTHER_API_KEY" not in done.stderr
    assert "gsk_0123456789abcdef" not in done.stdout + done.stderr


def test_proxies_and_certificates_of_this_shell_go_along_and_are_named(install, tmp_path):
    given = {"HTTPS_PROXY": PROXY, "no_proxy": "localhost", "SSL_CERT_FILE": "corp.pem"}
    done = install("cursor", env={**given, "SSL_CERT_DIR": "/etc/ssl/certs"})
    env = parsed(tmp_path / ".cursor/mcp.json")["mcpServers"]["chomp"]["env"]
    assert {name: env[name] for name in given} == {**given, "SSL_CERT_FILE": str(tmp_path / "corp.pem")}
    assert "SSL_CERT_DIR" not in env
    assert all(name in done.stderr for name in given)


def test_a_password_or_a_key_goes_along_only_when_asked_for(install, tmp_path):
    given = {"HTTPS_PROXY": "http://me:hunter2@proxy:3128", "GROQ_API_KEY": "gsk_0123456789abcdef"}
    done = install("cursor", env=given)
    assert "HTTPS_PROXY holds a password" in done.stderr
    assert "hunter2" not in (tmp_path / ".cursor/mcp.json").read_text() + done.stdout + done.stderr
    done = install("cursor", "--env", "HTTPS_PROXY", "--env", "GROQ_API_KEY", env=given)
    env = parsed(tmp_path / ".cursor/mcp.json")["mcpServers"]["chomp"]["env"]
    assert {name: env[name] for name in given} == given
    assert "hunter2" not in done.stdout + done.stderr
    assert "gsk_0123456789abcdef" not in done.stdout + done.stderr
    assert install("cursor", "--env", "NOT_SET_HERE").returncode == 2


@pytest.mark.parametrize(
    ("cache", "command"),
    [
        (".cache/uv/archive-v0/Xy/bin", ["uvx", "--from", str(ROOT), "chomp-mcp"]),
        (".cache/pipx/73de/bin", ["pipx", "run", "--spec", str(ROOT), "chomp-mcp"]),
        (".local/share/pipx/.cache/1a2/bin", ["pipx", "run", "--spec", str(ROOT), "chomp-mcp"]),
    ],
)
def test_what_runs_from_a_cache_is_started_as_it_was_and_from_where_it_came(run, tmp_path, cache, command):
    folder = tmp_path / cache
    folder.mkdir(parents=True)
    (folder / "python").symlink_to(sys.executable)
    (folder / "chomp-mcp").write_text("#!/bin/sh\n")
    env = {**os.environ, "HOME": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path), "PATH": "/usr/bin:/bin"}

    def told(*args: str) -> subprocess.CompletedProcess[str]:
        words = [folder / "python", "-m", "chomp_mcp", *args]
        return subprocess.run(words, env=env, capture_output=True, text=True, check=False)

    entry = json.loads(told("install", "cursor", "--print").stdout)["mcpServers"]["chomp"]
    assert [entry["command"], *entry["args"]] == command
    assert f"`{shlex.join(command)} keys add groq`" in told("models", "groq").stderr
