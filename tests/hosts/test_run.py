"""`chomp-mcp run` with the programs themselves: each asks the gateway of its run, once."""

from __future__ import annotations

import sys

import pytest

pytestmark = [pytest.mark.anyio, pytest.mark.hosts, pytest.mark.timeout(500)]

PROGRAMS = {
    "claude": ("@anthropic-ai/claude-code@2.1.332", ("-p", "say hi")),
    "codex": ("@openai/codex", ("exec", "--skip-git-repo-check", "say hi")),
    "gemini": ("@google/gemini-cli", ("--skip-trust", "-p", "say hi")),
    "opencode": ("opencode-ai", ("run", "say hi")),
    "qwen": ("@qwen-code/qwen-code", ("-p", "say hi")),
    "aider": (
        "aider-chat",
        ("--no-git", "--yes-always", "--no-check-update", "--analytics-disable", "--message", "hi"),
    ),
}
OF_PYTHON = ("aider-chat",)


@pytest.mark.parametrize("agent", PROGRAMS)
async def test_the_program_answers_with_the_model_of_the_run(
    agent, installed, installed_from_pypi, run_host, home, upstream
):
    package, arguments = PROGRAMS[agent]
    program = (installed_from_pypi if package in OF_PYTHON else installed)(package, agent)
    home.mkdir()
    (home / "config.toml").write_text(f'[routers.lab]\nurl = "{upstream.url}"\n')
    upstream.answer("the answer of lab")
    done = await run_host(
        sys.executable,
        *("-m", "chomp_mcp", "run", agent, "-m", "lab/m", "--", *arguments),
        PATH=f"{program.parent}:/usr/local/bin:/usr/bin:/bin",
        CHOMP_HOME=str(home),
        GATEWAY_PORT="1",
        IS_SANDBOX="1",
    )
    assert done.code == 0, done.err
    assert "the answer of lab" in done.out
    assert {request.model for request in upstream.chats} == {"m"}


@pytest.mark.parametrize("agent", ["claude", "codex", "opencode"])
async def test_the_tools_are_there_though_the_agent_gets_no_key(agent, installed, run_host, home, upstream):
    package, arguments = PROGRAMS[agent]
    program = installed(package, agent)
    home.mkdir()
    (home / "config.toml").write_text(f'[routers.lab]\nurl = "{upstream.url}"\n')
    upstream.answer("the answer of lab")
    done = await run_host(
        sys.executable,
        *("-m", "chomp_mcp", "run", agent, "-m", "lab/m", "--", *arguments),
        PATH=f"{program.parent}:/usr/local/bin:/usr/bin:/bin",
        CHOMP_HOME=str(home),
        GROQ_API_KEY="gsk_of_the_user",
        GATEWAY_PORT="1",
        IS_SANDBOX="1",
    )
    assert "the answer of lab" in done.out, done.err
    names = [tool["function"]["name"] for request in upstream.chats for tool in request.json.get("tools", ())]
    assert any("chomp" in name and name.endswith("ask") for name in names), sorted(set(names))
