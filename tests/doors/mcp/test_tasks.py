"""The tasks extension: a slow `ask` becomes a task, which is the caller's job, for clients that declare it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import anyio
import pytest
from mcp import Client, MCPError
from mcp.client.extension import ClaimContext, ClientExtension, ResultClaim
from mcp.types import CallToolResult, Request, RequestParams, Result

from chomp_mcp.doors.caller import current_caller
from chomp_mcp.doors.mcp.server import build_server
from chomp_mcp.doors.mcp.tasks import IDENTIFIER
from chomp_mcp.messages import Caller
from tests.support.mcp_doors import call, partial, running, text_of
from tests.support.scripted import ScriptedRouter

pytestmark = pytest.mark.anyio


class Task(Result):
    """What comes instead of a result."""

    result_type: Literal["task"] = "task"
    task_id: str
    status: str
    status_message: str = ""
    created_at: str
    last_updated_at: str
    ttl_ms: int
    poll_interval_ms: int


class TaskState(Result):
    status: str
    status_message: str = ""
    result: dict[str, Any] | None = None


class TaskParams(RequestParams):
    task_id: str


class TaskRequest(Request[TaskParams, str]):
    method: str
    params: TaskParams


class TaskClient(ClientExtension):
    """A client that understands tasks, and polls one to its end."""

    identifier = IDENTIFIER

    def __init__(self) -> None:
        self.tasks: list[Task] = []

    def claims(self) -> Sequence[ResultClaim[Any]]:
        return [ResultClaim(result_type="task", model=Task, resolve=self.resolve)]

    async def resolve(self, task: Task, ctx: ClaimContext) -> CallToolResult:
        self.tasks.append(task)
        while True:
            state = await ctx.session.send_request(request("tasks/get", task.task_id), TaskState)
            if state.status != "working":
                assert state.result is not None, state
                return CallToolResult.model_validate(state.result)
            await anyio.sleep(task.poll_interval_ms / 10_000)


def request(method: str, task_id: str) -> Any:
    return TaskRequest(method=method, params=TaskParams(task_id=task_id))


async def ask(client: Client) -> Task:
    """A slow question, as the task it turns into."""
    with anyio.fail_after(10):
        task = await client.session.call_tool("ask", {"prompt": "hi", "router": "lab"}, allow_claimed=True)
    assert isinstance(task, Task)
    return task


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chomp_mcp.doors.mcp.tasks.WAIT_SECONDS", 0.3)


async def test_a_slow_ask_is_a_task_and_its_result_that_of_ask(tmp_path: Path, upstream: ScriptedRouter) -> None:
    rest = anyio.Event()
    upstream.stream(["Hello", rest, " world"])
    extension = TaskClient()
    async with (
        running(tmp_path, upstream) as chomp,
        Client(build_server(chomp), extensions=[extension]) as client,
        anyio.create_task_group() as group,
    ):
        task = await ask(client)
        assert task.status == "working"
        assert task.task_id.startswith("job_")
        assert task.created_at.endswith("Z")
        await partial(client, task.task_id, "Hello")
        state = await client.session.send_request(request("tasks/get", task.task_id), TaskState)
        assert (state.status, state.result, state.status_message) == ("working", None, "5 characters so far")
        rest.set()
        group.cancel_scope.deadline = anyio.current_time() + 10
        result = await extension.resolve(
            task, ClaimContext(session=client.session, tool_name="ask", read_timeout_seconds=None)
        )
        told = result.structured_content or {}
        assert (told["status"], told["text"]) == ("done", "Hello world")
        assert told["receipt"]["cost_usd"] is None
        assert text_of(result).startswith("Hello world\n\nlab/scripted-small")
        assert (await call(client, "result", job_id=task.task_id))["text"] == "Hello world"


async def test_dispatch_is_a_task_at_once_and_its_result_the_answer(tmp_path: Path, upstream: ScriptedRouter) -> None:
    rest = anyio.Event()
    upstream.stream(["Hello", rest, " world"])
    extension = TaskClient()
    async with running(tmp_path, upstream) as chomp, Client(build_server(chomp), extensions=[extension]) as client:
        arguments = {"prompt": "hi", "model": "lab/scripted-small"}
        task = await client.session.call_tool("dispatch", arguments, allow_claimed=True)
        assert isinstance(task, Task)
        rest.set()
        with anyio.fail_after(10):
            claim = ClaimContext(session=client.session, tool_name="dispatch", read_timeout_seconds=None)
            result = await extension.resolve(task, claim)
        assert text_of(result).startswith("Hello world\n\nlab/scripted-small")
        told = result.structured_content or {}
        assert (told["job_id"], told["status"], told["model"]) == (task.task_id, "done", "lab/scripted-small")


async def test_an_answer_that_is_soon_there_is_no_task(
    tmp_path: Path, upstream: ScriptedRouter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chomp_mcp.doors.mcp.tasks.WAIT_SECONDS", 30)
    extension = TaskClient()
    async with running(tmp_path, upstream) as chomp, Client(build_server(chomp), extensions=[extension]) as client:
        assert (await call(client, "ask", prompt="hi", router="lab"))["text"] == "hello"
        refused = await client.call_tool("ask", {"prompt": ""})
        assert refused.is_error
    assert extension.tasks == []


async def test_a_task_that_fails_completes_with_a_tool_error(tmp_path: Path, upstream: ScriptedRouter) -> None:
    rest = anyio.Event()
    upstream.cut(["Hello", rest])
    async with running(tmp_path, upstream) as chomp, Client(build_server(chomp), extensions=[TaskClient()]) as client:
        task = await ask(client)
        rest.set()
        await call(client, "result", job_id=task.task_id, wait_seconds=5)
        state = await client.session.send_request(request("tasks/get", task.task_id), TaskState)
        assert state.status == "completed"
        assert state.result
        assert state.result["isError"] is True
        assert "ask again" in state.result["content"][0]["text"]


async def test_a_cancelled_task_hangs_up_on_the_router(tmp_path: Path, upstream: ScriptedRouter) -> None:
    upstream.hang(after=["Hello"])
    async with running(tmp_path, upstream) as chomp, Client(build_server(chomp), extensions=[TaskClient()]) as client:
        task = await ask(client)
        await client.session.send_request(request("tasks/cancel", task.task_id), Result)
        await upstream.saw_disconnect()
        state = await client.session.send_request(request("tasks/get", task.task_id), TaskState)
        assert state.status == "cancelled"
        await client.session.send_request(request("tasks/update", task.task_id), Result)


async def test_a_task_belongs_to_its_caller(tmp_path: Path, upstream: ScriptedRouter) -> None:
    upstream.hang(after=["Hello"])
    async with running(tmp_path, upstream) as chomp, Client(build_server(chomp), extensions=[TaskClient()]) as client:
        task = await ask(client)
        current_caller.set(Caller("somebody else"))
        for method in ("tasks/get", "tasks/cancel", "tasks/update"):
            with pytest.raises(MCPError, match="There is no job") as refused:
                await client.session.send_request(request(method, task.task_id), Result)
            assert refused.value.error.code == -32602
        assert not upstream.disconnects


async def test_a_client_that_declares_no_tasks_gets_none(tmp_path: Path, upstream: ScriptedRouter) -> None:
    rest = anyio.Event()
    upstream.stream(["Hello", rest])
    async with (
        running(tmp_path, upstream, CHOMP_DEADLINE_SECONDS="0.5") as chomp,
        Client(build_server(chomp)) as client,
    ):
        told = await call(client, "ask", prompt="hi", router="lab")
        assert told["status"] == "running"
        with pytest.raises(MCPError) as refused:
            await client.session.send_request(request("tasks/get", told["job_id"]), Result)
        assert refused.value.error.code == -32021
        rest.set()


async def test_a_legacy_client_gets_no_tasks(tmp_path: Path, upstream: ScriptedRouter) -> None:
    rest = anyio.Event()
    upstream.stream(["Hello", rest])
    async with (
        running(tmp_path, upstream, CHOMP_DEADLINE_SECONDS="0.5") as chomp,
        Client(build_server(chomp), mode="legacy", extensions=[TaskClient()]) as client,
    ):
        assert (await call(client, "ask", prompt="hi", router="lab"))["status"] == "running"
        rest.set()
