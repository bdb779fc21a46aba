"""The tasks extension (io.modelcontextprotocol/tasks, SEP-2663), with chomp's jobs as the tasks.

A task is a job: its id is the job's, it belongs to the caller, it outlives connection and process, and the store
drops it when its time is over. So this file keeps no state of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mcp import MCPError
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.extension import Extension, MethodBinding
from mcp.server.mcpserver import require_client_extension
from mcp.shared.inbound import MCP_NAME_HEADER, decode_header_value
from mcp.types import INVALID_PARAMS, CallToolRequestParams, CallToolResult, RequestParams
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import Field

from chomp_mcp.app import Chomp
from chomp_mcp.doors.caller import current_caller
from chomp_mcp.doors.mcp.answers import settled, unfinished
from chomp_mcp.doors.mcp.attachments import Attachments
from chomp_mcp.doors.mcp.hosts import host_of
from chomp_mcp.doors.mcp.tools import patience
from chomp_mcp.doors.views import iso
from chomp_mcp.errors import JobNotFound
from chomp_mcp.messages import Job, JobStatus

IDENTIFIER = "io.modelcontextprotocol/tasks"
WAIT_SECONDS = 30.0
"""How long `ask` waits at most before it is a task: a task costs some hosts a turn more than an answer does."""
TOOLS = frozenset({"ask", "dispatch"})
KEPT_MS = 24 * 3600 * 1000
POLL_MS = 1000
HEADER_MISMATCH = -32020

STATUSES = {
    JobStatus.QUEUED: "working",
    JobStatus.RUNNING: "working",
    JobStatus.DONE: "completed",
    JobStatus.ERROR: "completed",  # "failed" is for JSON-RPC errors alone; a tool's error is a result
    JobStatus.CANCELLED: "cancelled",
}


class TaskParams(RequestParams):
    """`taskId`, of every method."""

    task_id: str


class UpdateParams(TaskParams):
    """Our tasks never ask for input, so the answers have no addressee."""

    input_responses: dict[str, Any] = Field(default_factory=dict)


class Tasks(Extension):
    """Makes a task of a slow `ask`, and of `dispatch` at once, for the clients that declare the extension."""

    identifier = IDENTIFIER

    def __init__(self, chomp: Chomp, attachments: Attachments) -> None:
        self._chomp = chomp
        self._attachments = attachments

    def methods(self) -> Sequence[MethodBinding]:
        modern = frozenset(MODERN_PROTOCOL_VERSIONS)
        return [
            MethodBinding("tasks/get", TaskParams, self._get, modern),
            MethodBinding("tasks/update", UpdateParams, self._update, modern),
            MethodBinding("tasks/cancel", TaskParams, self._cancel, modern),
        ]

    async def intercept_tool_call(
        self, params: CallToolRequestParams, ctx: ServerRequestContext[Any, Any], call_next: CallNext
    ) -> HandlerResult:
        """What still runs when the tool answers is told as a task."""
        able = ctx.session.client_capabilities
        is_modern = ctx.protocol_version in MODERN_PROTOCOL_VERSIONS
        is_declared = is_modern and able is not None and IDENTIFIER in (able.extensions or {})
        if params.name not in TOOLS or not is_declared:
            return await call_next(ctx)
        token = patience.set(WAIT_SECONDS)
        try:
            result = await call_next(ctx)
        finally:
            patience.reset(token)
        job_id = unfinished(result) if isinstance(result, CallToolResult) else ""
        return {"resultType": "task", **_task(await self._find(job_id))} if job_id else result

    async def _get(self, ctx: ServerRequestContext[Any, Any], params: TaskParams) -> dict[str, Any]:
        job = await self._gate(ctx, params)
        task = _task(job)
        job = await self._attachments.saved(job)
        if task["status"] != "completed":
            return task
        result = settled(job, host_of(ctx)).model_dump(by_alias=True, mode="json", exclude_none=True)
        result.pop("resultType", None)  # the task's own stands beside it
        return {**task, "result": result}

    async def _update(self, ctx: ServerRequestContext[Any, Any], params: UpdateParams) -> dict[str, Any]:
        await self._gate(ctx, params)
        return {}

    async def _cancel(self, ctx: ServerRequestContext[Any, Any], params: TaskParams) -> dict[str, Any]:
        job = await self._gate(ctx, params)
        await self._chomp.jobs.cancel(current_caller.get(), job.id)
        return {}

    async def _gate(self, ctx: ServerRequestContext[Any, Any], params: TaskParams) -> Job:
        """The caller's own task, for a client that declared the extension and whose headers say what its body says."""
        require_client_extension(ctx, IDENTIFIER)
        headers = getattr(ctx.request, "headers", None) or {}
        named = headers.get(MCP_NAME_HEADER)
        if named is not None and decode_header_value(named) != params.task_id:
            raise MCPError(HEADER_MISMATCH, f"The {MCP_NAME_HEADER} header is not params.taskId.")
        return await self._find(params.task_id)

    async def _find(self, task_id: str) -> Job:
        try:
            return await self._chomp.result(task_id, caller=current_caller.get())
        except JobNotFound as error:
            raise MCPError(INVALID_PARAMS, str(error), {"taskId": task_id}) from None


def _task(job: Job) -> dict[str, Any]:
    # With a Z, as the extension's examples have it: some that check times take no offset (zod's `datetime`).
    created, updated = (iso(at).replace("+00:00", "Z") for at in (job.created_at, job.finished_at or job.created_at))
    task = {
        "taskId": job.id,
        "status": STATUSES[job.status],
        "createdAt": created,
        "lastUpdatedAt": updated,
        "ttlMs": KEPT_MS,
        "pollIntervalMs": POLL_MS,
    }
    return {**task, "statusMessage": f"{len(job.text)} characters so far"} if job.text else task
