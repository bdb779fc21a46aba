"""What the hosts that people run show their models, by clients of their names, on every transport and in both eras."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp import Client
from mcp.types import CallToolResult, Implementation

from chomp_mcp.doors.mcp.hosts import host_named
from chomp_mcp.doors.mcp.server import build_server
from tests.doors.mcp.test_server_http import TRANSPORTS, connected
from tests.doors.mcp.test_tasks import Task, TaskClient, TaskState, request
from tests.support.mcp_doors import MODES, running, stdio, text_of
from tests.support.scripted import ScriptedRouter
from tests.support.serving import Served, serving, settings_for

pytestmark = pytest.mark.anyio

TEXT_ALONE = ["claude-code", "codex-mcp-client", "Visual Studio Code", "Visual Studio Code - Insiders", "qwen-code"]
BOTH = ["opencode", "gemini-cli-mcp-client", "claude-ai", "somebody", "mcp", ""]
JOB_TOOLS = {"ask", "dispatch", "result"}
CODE = 'def f():\n    print("a\\tb")\n'


def named(name: str) -> Implementation:
    return Implementation(name=name, version="1.0")


@asynccontextmanager
async def in_memory(home: Path, upstream: ScriptedRouter, name: str, mode: str, **more: Any) -> AsyncIterator[Client]:
    async with (
        running(home, upstream) as chomp,
        Client(build_server(chomp), mode=mode, client_info=named(name), **more) as client,
    ):
        yield client


def seen(result: CallToolResult) -> str:
    """What a host shows that prefers structured content."""
    told = result.structured_content
    return text_of(result) if told is None else json.dumps(told)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", TEXT_ALONE)
async def test_a_short_answer_costs_at_most_60_bytes_more_where_structure_would_be_shown(
    tmp_path: Path, upstream: ScriptedRouter, name: str, mode: str
) -> None:
    upstream.answer("four")
    async with in_memory(tmp_path, upstream, name, mode) as client:
        result = await client.call_tool("ask", {"prompt": "2+2?", "router": "lab"})
    assert seen(result) == "four\n\nlab/scripted-small"
    assert len(seen(result).encode()) <= 4 + 60
    assert result.meta
    assert result.meta["chomp/receipt"]["served"] == "lab/scripted-small"
    assert result.meta["chomp/job"]["status"] == "done"


@pytest.mark.parametrize(
    "model", ["mock/echo", "auto", "lab/an-id-that-is-much-longer-than-those-of-models-usually-are"]
)
async def test_nor_do_mocks_and_long_names_cost_more(tmp_path: Path, upstream: ScriptedRouter, model: str) -> None:
    upstream.answer("four")
    home = upstream if model.startswith("lab") else None
    async with (
        running(tmp_path, home) as chomp,
        Client(build_server(chomp), client_info=named("claude-code")) as client,
    ):
        result = await client.call_tool("ask", {"prompt": "four", "model": model})
    assert seen(result).startswith("four\n\n")
    assert len(seen(result).encode()) <= 4 + 60


@pytest.mark.parametrize("mode", MODES)
async def test_code_arrives_unescaped(tmp_path: Path, upstream: ScriptedRouter, mode: str) -> None:
    upstream.answer(CODE)
    async with in_memory(tmp_path, upstream, "claude-code", mode) as client:
        result = await client.call_tool("ask", {"prompt": "code", "router": "lab"})
    assert seen(result).startswith(CODE)


@pytest.mark.parametrize("mode", MODES)
async def test_running_and_failed_jobs_say_so_first(tmp_path: Path, upstream: ScriptedRouter, mode: str) -> None:
    rest = anyio.Event()
    upstream.cut(["Hel", rest])
    async with in_memory(tmp_path, upstream, "codex-mcp-client", mode) as client:
        begun = await client.call_tool("dispatch", {"prompt": "hi", "model": "lab/scripted-small"})
        assert begun.meta
        job_id = begun.meta["chomp/job"]["job_id"]
        assert seen(begun).startswith(f"Job {job_id} is running")
        arguments = {"job_id": job_id}
        running = await client.call_tool("result", arguments)
        assert seen(running).startswith(f"Still running as job {job_id}.")
        rest.set()
        failed = await client.call_tool("result", {**arguments, "wait_seconds": 10})
        assert seen(failed).startswith(f"Job {job_id} failed: ")
        assert failed.meta
        assert failed.meta["chomp/job"]["status"] == "error"
        for result in (begun, running, failed):
            assert (result.structured_content, len(result.content)) == (None, 1)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", [*TEXT_ALONE, *BOTH])
async def test_schemas_promise_structure_only_where_it_comes(
    tmp_path: Path, upstream: ScriptedRouter, name: str, mode: str
) -> None:
    async with in_memory(tmp_path, upstream, name, mode) as client:
        listed = await client.list_tools()
        result = await client.call_tool("ask", {"prompt": "hi", "router": "lab"})
    promised = {tool.name for tool in listed.tools if tool.output_schema}
    others = {"list_models", "register_keys", "status"}
    assert promised == (others if name in TEXT_ALONE else others | JOB_TOOLS)
    assert (result.structured_content is None) == (name in TEXT_ALONE)
    if mode == "auto":
        assert listed.cache_scope == "private"


async def test_ask_is_loaded_at_once_and_the_others_are_found(tmp_path: Path, upstream: ScriptedRouter) -> None:
    async with in_memory(tmp_path, upstream, "claude-code", "auto") as client:
        meta = {tool.name: tool.meta or {} for tool in (await client.list_tools()).tools}
    assert meta.pop("ask") == {"anthropic/alwaysLoad": True}
    assert all(list(hints) == ["anthropic/searchHint"] for hints in meta.values())


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", ["claude-code", "somebody"])
async def test_what_a_model_must_read_about_keys_stands_in_both_channels(
    tmp_path: Path, upstream: ScriptedRouter, name: str, mode: str
) -> None:
    from chomp_mcp.doors.pages.key_page import KeyPages

    async with running(tmp_path, upstream) as chomp:
        pages = KeyPages(chomp)
        async with Client(build_server(chomp, pages=pages), mode=mode, client_info=named(name)) as client:
            result = await client.call_tool("register_keys", {"router": "groq"})
        await pages.close()
    for channel in (text_of(result), json.dumps(result.structured_content)):
        assert "Never ask for the key in the chat." in channel
        assert "chomp-mcp keys add groq" in channel


@pytest.mark.parametrize("mode", MODES)
async def test_over_stdio(tmp_path: Path, upstream: ScriptedRouter, mode: str) -> None:
    async with Client(stdio(tmp_path, upstream), mode=mode, client_info=named("claude-code")) as client:
        result = await client.call_tool("ask", {"prompt": "hi", "router": "lab"})
    assert seen(result) == "hello\n\nlab/scripted-small"


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_over_http(gateway: Served, transport: str) -> None:
    async with connected(gateway, transport, client_info=named("codex-mcp-client")) as client:
        result = await client.call_tool("ask", {"prompt": "hi", "model": "lab/m"})
    assert seen(result) == "hello\n\nlab/m"
    async with connected(gateway, transport, client_info=named("other")) as client:
        assert (await client.call_tool("ask", {"prompt": "hi", "model": "lab/m"})).structured_content


async def test_a_tasks_result_is_what_the_host_takes(
    tmp_path: Path, upstream: ScriptedRouter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chomp_mcp.doors.mcp.tasks.WAIT_SECONDS", 0.3)
    rest = anyio.Event()
    upstream.stream(["Hello", rest])
    async with in_memory(tmp_path, upstream, "claude-code", "auto", extensions=[TaskClient()]) as client:
        task = await client.session.call_tool("ask", {"prompt": "hi", "router": "lab"}, allow_claimed=True)
        assert isinstance(task, Task)
        rest.set()
        await client.call_tool("result", {"job_id": task.task_id, "wait_seconds": 10})
        state = await client.session.send_request(request("tasks/get", task.task_id), TaskState)
    assert state.result
    assert state.result["content"] == [{"type": "text", "text": "Hello\n\nlab/scripted-small"}]
    assert "structuredContent" not in state.result


@pytest.mark.parametrize(
    ("name", "alone"),
    [
        *((name, True) for name in TEXT_ALONE),
        *((name, False) for name in BOTH),
        ("Claude Code", True),
        ("claude-code/2.1.332 (cli)", True),
        ("Codex", True),
        ("Code - OSS", True),
        ("vscode", True),
        ("cursor-vscode", False),
        ("not claude-code", False),
    ],
)
def test_names_are_known_however_they_are_spelt(name: str, alone: bool) -> None:
    assert host_named(name).takes_text_alone is alone


def test_a_plugin_that_ends_calls_after_30_seconds_waits_less() -> None:
    assert host_named("github-copilot-developer").ask_seconds < 30


async def test_a_request_without_a_session_is_known_by_its_user_agent(home: Path, upstream: ScriptedRouter) -> None:
    call = {"name": "ask", "arguments": {"prompt": "hi", "model": "lab/m"}}
    headers = {"accept": "application/json, text/event-stream", "user-agent": "claude-code/2.1.332 (cli)"}
    async with serving(settings_for(home, environ={"GATEWAY_WORKERS": "2"}, lab=upstream.url)) as gateway:
        body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call}
        answer = await gateway.http.post("/mcp", json=body, headers=headers)
    (line,) = [line for line in answer.text.splitlines() if line.startswith("data: {")]
    assert "structuredContent" not in json.loads(line.removeprefix("data: "))["result"]
