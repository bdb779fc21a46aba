"""`chomp-mcp run AGENT`: the agent is a script of ours that tells what it was given and asks the gateway once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx2
import pytest

from chomp_mcp.doors.cli.agents import AGENTS
from tests.support.commands import COMMAND
from tests.support.scripted import Recorded, ScriptedRouter, Wire

TELL = """\
import json, os, sys, urllib.request
env = os.environ
url = env.get("ANTHROPIC_BASE_URL")
if url:
    body = {"model": env["ANTHROPIC_MODEL"], "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
    headers = {"authorization": "Bearer " + env["ANTHROPIC_AUTH_TOKEN"], "content-type": "application/json"}
    request = urllib.request.Request(url + "/v1/messages", json.dumps(body).encode(), headers)
    answer = json.load(urllib.request.urlopen(request))
    foreign = urllib.request.Request(url + "/v1/models", headers={"authorization": "Bearer someone"})
    try:
        urllib.request.urlopen(foreign)
        stranger = 200
    except urllib.error.HTTPError as error:
        stranger = error.code
    print(json.dumps({"arguments": sys.argv[1:], "text": answer["content"][0]["text"], "stranger": stranger,
                      "url": url, "environment": dict(env)}))
sys.exit(7)
"""


@pytest.fixture
def programs(tmp_path: Path) -> dict[str, str]:
    """A PATH on which every agent is the script."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for agent in AGENTS.values():
        script = folder / agent.program
        script.write_text(f"#!{sys.executable}\n{TELL}")
        script.chmod(0o755)
    return {"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}", "ANTHROPIC_API_KEY": "sk-ant-of-the-user"}


def test_the_agent_gets_a_gateway_a_token_and_the_model_and_its_exit_code_is_ours(run, upstream, programs, tmp_path):
    upstream.models([{"id": "m", "context_length": 64_000, "max_output_tokens": 8_000}])
    before = {path for path in tmp_path.rglob("*") if "home" not in path.parts}
    done = run("run", "claude", "-m", "lab/m", "--", "-p", "--flag=1", "words", env={**programs, "GATEWAY_PORT": "1"})
    assert done.returncode == 7, done.stderr
    told = json.loads(done.stdout)
    assert told["text"] == "hello"
    assert told["stranger"] == 401, "the gateway of this run takes the token of this run alone"
    assert told["arguments"][-3:] == ["-p", "--flag=1", "words"]
    environment = told["environment"]
    assert environment["ANTHROPIC_MODEL"] == "claude-via-chomp/lab/m"
    assert environment["CLAUDE_CODE_MAX_CONTEXT_TOKENS"] == "64000"
    assert environment["CLAUDE_CODE_MAX_OUTPUT_TOKENS"] == "8000"
    assert "ANTHROPIC_API_KEY" not in environment
    assert environment["ANTHROPIC_AUTH_TOKEN"] not in " ".join(told["arguments"])
    assert upstream.chats[0].model == "m"
    assert {path for path in tmp_path.rglob("*") if "home" not in path.parts} == before, "no file is written"
    with pytest.raises(OSError, match="refused"):
        __import__("urllib.request").request.urlopen(told["url"], timeout=5)


SECRETS = {
    "CHOMP_MASTER_KEY": "master-key-of-the-user-000000000000",
    "GROQ_API_KEY": "gsk_of_the_user",
    "OPENAI_API_KEY": "sk-of-the-user",
}


def test_no_key_of_the_user_reaches_the_agent(run, upstream, programs):
    upstream.models(["m"])
    done = run("run", "claude", "-m", "lab/m", env={**programs, **SECRETS, "GATEWAY_PORT": "1"})
    told = json.loads(done.stdout)
    assert told["text"] == "hello"
    assert not SECRETS.keys() & told["environment"].keys()
    assert not any(secret in done.stdout + done.stderr for secret in SECRETS.values())
    server = json.loads(next(word for word in told["arguments"] if "mcpServers" in word).partition("=")[2])
    assert server["mcpServers"]["chomp"] == {
        "type": "http",
        "url": f"{told['url']}/mcp",
        "headers": {"Authorization": "Bearer ${CHOMP_RUN_TOKEN}"},
    }
    assert "without files" in done.stderr


@pytest.mark.parametrize("agent", AGENTS)
def test_print_shows_what_is_withheld_and_no_secret(run, upstream, agent):
    done = run("run", agent, "-m", "lab/m", "--print", env=SECRETS)
    lines = done.stdout.splitlines()
    assert {"unset CHOMP_MASTER_KEY", "unset GROQ_API_KEY"} <= set(lines)
    assert not any(secret in done.stdout + done.stderr for secret in SECRETS.values())
    assert (agent in ("claude", "codex", "opencode")) is ("/mcp" in lines[-1] or "/mcp" in done.stdout)


def test_a_gateway_that_serves_already_is_found(run, upstream, programs, home):
    serving = subprocess.Popen(
        [*COMMAND, "serve", "--port", "0"], env={**os.environ, "CHOMP_HOME": str(home)}, stderr=-1, text=True
    )
    try:
        url = serving.stderr.readline().split()[-1]
        done = run("run", "claude", "-m", "lab/m", env={**programs, "GATEWAY_PORT": url.rpartition(":")[2]})
        assert json.loads(done.stdout)["url"] == url
        assert serving.poll() is None, "it goes on"
    finally:
        serving.kill()
        serving.communicate()


def test_a_stranger_on_the_port_of_the_gateway_gets_neither_token_nor_prompt(run, upstream, programs, home):
    """It answers anything with a 200, or passes the challenge on to the gateway, which listens elsewhere by now."""
    serving = subprocess.Popen(
        [*COMMAND, "serve", "--port", "0"], env={**os.environ, "CHOMP_HOME": str(home)}, stderr=-1, text=True
    )

    async def passed_on(request: Recorded, wire: Wire) -> None:
        async with httpx2.AsyncClient(base_url=url, trust_env=False) as http:
            told = await http.get(request.target)
        await wire.whole(told.status_code, told.content)

    try:
        url = serving.stderr.readline().split()[-1]
        token = "owner-token-0123456789"
        with ScriptedRouter() as stranger:
            proof = stranger.on(path="/chomp-gateway")
            proof.reply(200, b"a" * 64)
            proof.play(passed_on)
            stranger.on(path="/v1/providers").reply(200, b"{}", {"x-request-id": "1"})
            env = {**programs, "GATEWAY_PORT": str(stranger.port), "GATEWAY_AUTH_TOKEN": token}
            for asked in (1, 2):
                done = run("run", "claude", "-m", "lab/m", env=env)
                assert json.loads(done.stdout)["text"] == "hello", done.stderr
                assert json.loads(done.stdout)["url"] not in (stranger.base, url)
                assert "is not the gateway of" in done.stderr
                assert len(stranger.requests) == asked
            assert not any(request.headers.get("authorization") or request.body for request in stranger.requests)
            assert not any(token in str(request) for request in stranger.requests)
    finally:
        serving.kill()
        serving.communicate()


def test_a_program_that_is_not_there_is_named_with_the_way_to_get_it(run, upstream):
    done = run("run", "claude", "-m", "lab/m", env={"PATH": "/nonexistent"})
    assert done.returncode == 127
    assert "npm install -g @anthropic-ai/claude-code" in done.stderr


def test_a_signal_reaches_the_agent_and_the_gateway_ends_with_it(upstream, home, tmp_path):
    script = tmp_path / "claude"
    script.write_text(
        "#!/bin/sh\ntrap 'echo got it; exit 3' TERM\necho $ANTHROPIC_BASE_URL\nwhile :; do sleep 0.1; done\n"
    )
    script.chmod(0o755)
    env = {**os.environ, "CHOMP_HOME": str(home), "PATH": f"{tmp_path}:{os.environ['PATH']}", "GATEWAY_PORT": "1"}
    running = subprocess.Popen([*COMMAND, "run", "claude", "-m", "lab/m"], env=env, stdout=-1, text=True)
    url = running.stdout.readline().strip()
    running.send_signal(signal.SIGTERM)
    out, _ = running.communicate(timeout=40)
    assert (out, running.returncode) == ("got it\n", 3)
    assert url.startswith("http://127.0.0.1:")
    with pytest.raises(OSError, match="refused"):
        __import__("urllib.request").request.urlopen(url, timeout=5)


def test_the_models_of_a_hanging_router_do_not_hold_the_agent_up(run, upstream, programs, home):
    with ScriptedRouter() as slow:
        slow.on(path="/models").hang()
        (home / "config.toml").write_text(f'[routers.lab]\nurl = "{slow.url}"\n')
        began = time.monotonic()
        done = run("run", "claude", "-m", "lab/m", env={**programs, "GATEWAY_PORT": "1"})
        assert done.returncode == 7, done.stderr
        assert "CLAUDE_CODE_MAX_CONTEXT_TOKENS" not in json.loads(done.stdout)["environment"]
        assert time.monotonic() - began < 40
