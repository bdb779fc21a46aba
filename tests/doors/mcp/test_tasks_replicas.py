"""Jobs over MCP where one replica accepts, another one runs, and a third is asked what became of it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import anyio
import pytest
from mcp import Client

from chomp_mcp.app import Chomp
from chomp_mcp.doors.mcp.server import build_server
from tests.doors.mcp.test_tasks import TaskClient
from tests.store.conftest import redis_server, redis_url
from tests.support.mcp_doors import MODES, call, running, text_of
from tests.support.scripted import ScriptedRouter

__all__ = ["redis_server", "redis_url"]

pytestmark = pytest.mark.anyio


@pytest.fixture
async def replicas(tmp_path: Path, upstream: ScriptedRouter, redis_url: str) -> AsyncIterator[list[Chomp]]:
    """One that accepts, one that runs, one that is asked."""
    settings = {"CHOMP_STORE": redis_url, "CHOMP_MASTER_KEY": "m" * 32, "CHOMP_JOB_TAKEOVER_SECONDS": "1"}
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(running(tmp_path / name, upstream, **settings)) for name in ("a", "b", "c")
        ]


@pytest.mark.parametrize("mode", MODES)
async def test_a_job_is_collected_with_progress_from_a_replica_that_does_not_run_it(
    replicas: list[Chomp], upstream: ScriptedRouter, mode: str
) -> None:
    accepting, working, asked = replicas
    told_first, seen = anyio.Event(), []
    upstream.stream(["Hello", told_first, " world"])

    async def progress(amount: float, _total: float | None, _message: str | None) -> None:
        seen.append(amount)
        told_first.set()

    async with (
        Client(build_server(accepting, dispatch=accepting.jobs.enqueue), mode=mode) as one,
        Client(build_server(asked), mode=mode) as other,
    ):
        job = await call(one, "dispatch", prompt="hi", router="lab")
        assert job["status"] == "queued"
        assert (await call(other, "result", job_id=job["job_id"]))["status"] == "queued"
        working.jobs.start()
        with anyio.fail_after(20):
            arguments = {"job_id": job["job_id"], "wait_seconds": 15}
            result = await other.call_tool("result", arguments, progress_callback=progress)
        assert text_of(result).startswith("Hello world")
        assert seen[0] == 5
        for client in (one, other):
            [content] = (await client.read_resource("chomp://jobs")).contents
            assert [row["job_id"] for row in json.loads(content.text)] == [job["job_id"]]
    assert working.jobs.counts()["running"] == accepting.jobs.counts()["running"] == 0


async def test_a_task_is_polled_on_another_replica_than_the_one_that_made_it(
    replicas: list[Chomp], upstream: ScriptedRouter
) -> None:
    accepting, working, asked = replicas
    go_on = anyio.Event()
    upstream.answer("done", before=go_on)
    tasks = TaskClient()
    made = build_server(accepting, dispatch=accepting.jobs.enqueue)
    async with (
        Client(made, mode="auto", extensions=[tasks]) as one,
        Client(build_server(asked), mode="auto") as other,
        anyio.create_task_group() as group,
    ):
        working.jobs.start()
        group.start_soon(one.call_tool, "dispatch", {"prompt": "hi", "router": "lab"})
        with anyio.fail_after(20):
            await upstream.saw_request()
            [task] = tasks.tasks
            assert (await call(other, "result", job_id=task.task_id))["status"] == "running"
            go_on.set()
            assert (await call(other, "result", job_id=task.task_id, wait_seconds=15))["text"] == "done"
