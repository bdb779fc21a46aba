"""`files` and `save_to` of a call: which folders its client may mean, and what becomes of the request."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import anyio
from mcp import MCPError
from mcp.server.mcpserver import Context
from mcp.types import InputRequiredResult, ListRootsRequest, ListRootsResult
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from chomp_mcp.app import Chomp
from chomp_mcp.doors.caller import current_caller
from chomp_mcp.doors.files import folders_for, saved, target_for, with_files
from chomp_mcp.doors.mcp.hosts import host_of
from chomp_mcp.errors import NotAllowed
from chomp_mcp.gateway.jobs import MAX_WAIT_SECONDS
from chomp_mcp.messages import ChatRequest, Job

ROOTS_SECONDS: Final = 5.0
"""How long a client that declares roots may take to tell them."""
INPUT: Final = "roots"

SaveTo = Mapping[str, Any]


class Attachments:
    """The files of one machine. `started_in` is where the server was started; None where clients are elsewhere."""

    def __init__(self, chomp: Chomp, started_in: str | None) -> None:
        self._chomp = chomp
        self._started_in = started_in
        self._saving: set[asyncio.Task[None]] = set()

    async def attach(
        self, ctx: Context[Any, Any], request: ChatRequest, prompt: str, files: Sequence[str], save_to: str
    ) -> tuple[ChatRequest, SaveTo | None] | InputRequiredResult:
        """The request with its files, and where its answer goes; or the question for the client's roots first.

        Raises:
            ChompError: a file that cannot be sent, or a place that cannot be written; nothing was sent.
        """
        if not files and not save_to.strip():
            return request, None
        if self._started_in is None:
            why = "Over HTTP no file of this machine is read or written: the client may be on another one."
            raise NotAllowed(why, hint="Put the text into the prompt, or connect over stdio.")
        roots = await self._roots(ctx)
        if isinstance(roots, InputRequiredResult):
            return roots
        settings = self._chomp.settings
        folders = await anyio.to_thread.run_sync(folders_for, settings.files, roots, self._started_in, settings.home)
        target = await target_for(self._chomp, save_to, folders) if save_to.strip() else None
        if files:
            request = await with_files(self._chomp, current_caller.get(), request, prompt, files, folders)
        return request, target

    async def _roots(self, ctx: Context[Any, Any]) -> Iterable[str] | InputRequiredResult:
        """What the client says that it works in; nothing where the user has said it, or the client cannot."""
        able = ctx.client_capabilities
        if self._chomp.settings.files or able is None or able.roots is None:
            return ()
        if ctx.protocol_version in MODERN_PROTOCOL_VERSIONS:
            answer = (ctx.input_responses or {}).get(INPUT)
            if answer is None and host_of(ctx.request_context).reads_input_required:
                return InputRequiredResult(input_requests={INPUT: ListRootsRequest()}, request_state=INPUT)
            return [str(root.uri) for root in answer.roots] if isinstance(answer, ListRootsResult) else ()
        if not ctx.session.can_send_request:
            return ()
        try:
            with anyio.fail_after(ROOTS_SECONDS):
                listed = await ctx.session.send_request(ListRootsRequest(), ListRootsResult)
        except (MCPError, TimeoutError, ValueError):
            return ()
        return [str(root.uri) for root in listed.roots]

    async def saved(self, job: Job) -> Job:
        """The job, told by where its answer was saved if it was to be."""
        return await saved(self._chomp, job)

    def save_later(self, job: Job) -> None:
        """Write the answer of a job that this process still runs, as soon as it is there."""
        if job.save_to and not job.status.is_final:
            caller = current_caller.get()

            async def save() -> None:
                ended = job
                while not ended.status.is_final:
                    ended = await self._chomp.result(job.id, wait_seconds=MAX_WAIT_SECONDS, caller=caller)
                await saved(self._chomp, ended)

            task = asyncio.create_task(save())
            # The event loop holds its tasks by weak references only.
            self._saving.add(task)
            task.add_done_callback(self._saving.discard)
