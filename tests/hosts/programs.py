"""Claude Code, Codex and OpenCode, run once without a person against a scripted model and this server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.hosts.model import ScriptedModel

__all__ = ["PACKAGES", "PROGRAMS", "claude_environment", "run", "version"]

SERVER = Path(sys.executable).parent / ("chomp-mcp.exe" if os.name == "nt" else "chomp-mcp")
SECONDS = 180
PROMPT = "Do what you were told."
Prepared = tuple[list[str], dict[str, str]]


def run(program: str, path: Path, model: ScriptedModel, folder: Path, **settings: str) -> str:
    """What it printed; `settings` are the server's. Home, configuration and working directory are in `folder`."""
    work = folder / "work"
    work.mkdir(parents=True, exist_ok=True)
    server = [sys.executable, "-m", "tests.hosts.tee", str(folder / "frames.jsonl"), str(SERVER)]
    env = {"CHOMP_HOME": str(folder / "chomp"), "PYTHONPATH": str(Path(__file__).parents[2]), **settings}
    command, more = PROGRAMS[program](model, folder, server, env)
    here = {"HOME": str(folder), "PATH": os.environ["PATH"], "XDG_CONFIG_HOME": str(folder / ".config")}
    done = subprocess.run(
        [path, *command],
        env={**here, **more},
        cwd=work,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=SECONDS,
        check=False,
    )
    told = done.stdout.decode() + done.stderr.decode()
    if done.returncode:
        raise AssertionError(f"{program} ended with {done.returncode}: {told[-2000:]}")
    return told


def _claude(model: ScriptedModel, folder: Path, server: list[str], env: Mapping[str, str]) -> Prepared:
    config = folder / "mcp.json"
    entry = {"type": "stdio", "command": server[0], "args": server[1:], "env": dict(env)}
    config.write_text(json.dumps({"mcpServers": {"chomp": entry}}))
    options = ["--strict-mcp-config", "--allowedTools", "mcp__chomp", "--model", "claude-sonnet-4-5"]
    return ["-p", PROMPT, "--mcp-config", str(config), *options], claude_environment(model, folder)


def claude_environment(model: ScriptedModel, folder: Path) -> dict[str, str]:
    """Its model, its folder, and nothing that goes out."""
    return {
        "ANTHROPIC_BASE_URL": model.url,
        "ANTHROPIC_AUTH_TOKEN": "none",
        "CLAUDE_CONFIG_DIR": str(folder / ".claude"),
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "DISABLE_TELEMETRY": "1",
        "DISABLE_AUTOUPDATER": "1",
    }


def _codex(model: ScriptedModel, folder: Path, server: list[str], env: Mapping[str, str]) -> Prepared:
    home = folder / ".codex"
    home.mkdir()
    (home / "config.toml").write_text(f"""
model = "scripted"
model_provider = "scripted"
[model_providers.scripted]
name = "Scripted"
base_url = "{model.url}"
wire_api = "responses"
[mcp_servers.chomp]
command = {json.dumps(server[0])}
args = {json.dumps(server[1:])}
default_tools_approval_mode = "approve"
required = true
startup_timeout_sec = 60
[mcp_servers.chomp.env]
{chr(10).join(f"{name} = {json.dumps(value)}" for name, value in env.items())}
""")
    return ["exec", "--skip-git-repo-check", PROMPT], {"CODEX_HOME": str(home)}


def _opencode(model: ScriptedModel, folder: Path, server: list[str], env: Mapping[str, str]) -> Prepared:
    provider = {
        "npm": "@ai-sdk/openai-compatible",
        "name": "Scripted",
        "options": {"baseURL": model.url, "apiKey": "none"},
        "models": {"m": {"name": "M", "limit": {"context": 200000, "output": 8000}}},
    }
    entry = {"type": "local", "command": server, "environment": dict(env), "enabled": True}
    (folder / "work" / "opencode.json").write_text(
        json.dumps({"provider": {"scripted": provider}, "mcp": {"chomp": entry}, "permission": {"*": "allow"}})
    )
    return ["run", "--model", "scripted/m", PROMPT], {"OPENCODE_DISABLE_AUTOUPDATE": "1"}


PROGRAMS: Mapping[str, Callable[[ScriptedModel, Path, list[str], Mapping[str, str]], Prepared]] = {
    "claude": _claude,
    "codex": _codex,
    "opencode": _opencode,
}


PACKAGES = {"claude": "@anthropic-ai/claude-code", "codex": "@openai/codex", "opencode": "opencode-ai"}
"""What npm calls them."""


def version(path: Path) -> str:
    """As the program says it."""
    done = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=SECONDS, check=True)
    return next(word for word in done.stdout.split() if word[0].isdigit())
