"""Codex itself, on a router that speaks chat completions only."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.scripted import ScriptedRouter, chunk
from tests.support.serving import Served, serving, settings_for

pytestmark = [pytest.mark.anyio, pytest.mark.hosts, pytest.mark.timeout(500)]

PATCH = "*** Begin Patch\n*** Add File: hello.txt\n+héllo from a chat router\n*** End Patch"


@pytest.fixture
async def gateway(home: Path, upstream: ScriptedRouter) -> AsyncIterator[Served]:
    settings = settings_for(home, environ={"CHOMP_AGENT_MODEL": "lab/m"}, lab=upstream.url)
    async with serving(settings) as served:
        yield served


@pytest.fixture
def codex(installed, run_host, gateway: Served, tmp_path: Path):
    program = installed("@openai/codex", "codex")

    async def run(prompt: str, *more: str) -> str:
        provider = f'{{name="chomp",base_url="{gateway.url}/v1",env_key="CHOMP_TOKEN",wire_api="responses"}}'
        server = f'{{url="{gateway.url}/mcp",default_tools_approval_mode="approve",required=true}}'
        flags = (
            "--skip-git-repo-check",
            "-s",
            "danger-full-access",
            "-m",
            "lab/m",
            *more,
            "-c",
            'model_provider="chomp"',
        )
        config = ("-c", f"model_providers.chomp={provider}", "-c", f"mcp_servers.chomp={server}")
        folder = tmp_path / "codex"
        folder.mkdir(exist_ok=True)
        done = await run_host(program, "exec", *flags, *config, prompt, CODEX_HOME=str(folder), CHOMP_TOKEN="none")
        assert done.code == 0, done.out + done.err
        return done.out

    return run


def call(number: int, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    function = {"name": name, "arguments": json.dumps(arguments)}
    return chunk(tool_calls=[{"index": 0, "id": f"call_{number}", "type": "function", "function": function}])


def tools_of(request: Any) -> list[str]:
    return [tool["function"]["name"] for tool in request.json["tools"]]


async def test_a_patch_edits_a_file_and_a_tool_of_our_own_server_is_called(codex, upstream, tmp_path):
    script = f"apply_patch <<'EOF'\n{PATCH}\nEOF"
    upstream.stream([call(0, "exec_command", {"cmd": script})], finish="tool_calls")
    upstream.stream([call(1, "mcp__chomp__ask", {"prompt": "ping", "model": "mock/echo"})], finish="tool_calls")
    upstream.stream(["All ", "done."])
    assert "All done." in await codex("make it")
    assert (tmp_path / "work" / "hello.txt").read_text() == "héllo from a chat router\n"
    assert "mcp__chomp__ask" in tools_of(upstream.chats[0])
    results = [message for message in upstream.chats[-1].json["messages"] if message["role"] == "tool"]
    assert [result["tool_call_id"] for result in results] == ["call_0", "call_1"]
    assert "ping" in results[1]["content"]


async def test_the_freeform_tool_of_our_catalogue_edits_a_file(codex, gateway, upstream, tmp_path):
    catalogue = tmp_path / "models.json"
    catalogue.write_text((await gateway.http.get("/v1/models?client_version=0.171.0")).text)
    upstream.stream([call(0, "apply_patch", {"input": PATCH})], finish="tool_calls")
    upstream.stream(["All ", "done."])
    assert "All done." in await codex("make it", "-c", f'model_catalog_json="{catalogue}"')
    assert "apply_patch" in tools_of(upstream.chats[0])
    assert (tmp_path / "work" / "hello.txt").read_text() == "héllo from a chat router\n"


async def test_a_router_that_fails_is_told_once(installed, run_host, gateway, upstream, tmp_path):
    upstream.fail(503)
    provider = f'{{name="chomp",base_url="{gateway.url}/v1",env_key="CHOMP_TOKEN",wire_api="responses"}}'
    flags = ("--skip-git-repo-check", "-m", "lab/m", "-c", 'model_provider="chomp"')
    folder = tmp_path / "codex"
    folder.mkdir()
    done = await run_host(
        installed("@openai/codex", "codex"),
        *("exec", *flags, "-c", f"model_providers.chomp={provider}", "hi"),
        CODEX_HOME=str(folder),
        CHOMP_TOKEN="none",
    )
    assert done.code != 0
    assert len(upstream.chats) <= 2
    assert "scripted 503" in done.out + done.err
