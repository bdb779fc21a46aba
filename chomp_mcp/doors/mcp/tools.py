"""The six tools: the names, parameters and defaults of the contract, in few enough bytes for a model to carry along."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import replace
from functools import partial
from typing import Annotated, Any, Final

import anyio
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ToolError, UnexpectedToolError
from mcp.server.mcpserver.tools import Tool
from mcp.types import CallToolResult, InputRequiredResult, ToolAnnotations
from pydantic import Field, ValidationError

from chomp_mcp.app import Chomp
from chomp_mcp.doors.caller import current_caller
from chomp_mcp.doors.mcp.answers import OUTPUTS, asked, collected, dispatched, models_listed, status_shown, utf8
from chomp_mcp.doors.mcp.arguments import fitted
from chomp_mcp.doors.mcp.attachments import Attachments
from chomp_mcp.doors.mcp.hosts import host_of
from chomp_mcp.doors.mcp.keys import KeyDesk, merged
from chomp_mcp.doors.mcp.panel import with_panel
from chomp_mcp.errors import ChompError, StoreError
from chomp_mcp.messages import ChatRequest, Job
from chomp_mcp.policy.shown import shown

_log = logging.getLogger("chomp_mcp.mcp")

LONGEST_WAIT_SECONDS = 45
PROGRESS_SECONDS = 0.25
"""Between two progress notifications: often enough to watch, rarely enough to cost nothing."""
NOTHING: Final[dict[str, Any]] = {}
NO_FILES: Final[list[str]] = []
NO_NEEDS: Final[list[str]] = []

patience: ContextVar[float] = ContextVar("chomp_patience", default=float("inf"))
"""Seconds that `ask` may take before it becomes a job, where that is less than the deadline (the tasks extension)."""

Dispatch = Callable[..., Awaitable[Job]]
"""Starts a job: `await dispatch(caller, request, prompt=…, system=…)`."""

ModelRef = Annotated[str, Field(description='"auto", "router/model" or a model name; see list_models')]
RouterId = Annotated[str, Field(description='"auto" or a router, never answered by another')]
Options = Annotated[
    dict[str, Any],
    Field(description="Chat completions' fields: temperature, max_tokens, response_format, tools, messages (history)"),
]
AnyObject = dict[str, Any]
Files = Annotated[list[str], Field(description="Paths or globs to send along: text, images, PDFs")]
SavePath = Annotated[str, Field(description="File for the answer; you get its first lines")]
Wait = Annotated[float, Field(json_schema_extra={"maximum": LONGEST_WAIT_SECONDS})]


class Tools:
    """The tools' bodies: words in, one call of the core, words out."""

    def __init__(self, chomp: Chomp, desk: KeyDesk, dispatch: Dispatch, attachments: Attachments) -> None:
        self._chomp = chomp
        self._attachments = attachments
        self._desk = desk
        self._dispatch = dispatch

    async def ask(
        self,
        ctx: Context[Any, Any],
        prompt: str,
        model: ModelRef = "auto",
        router: RouterId = "auto",
        system: str = "",
        options: Options = NOTHING,
        files: Files = NO_FILES,
        save_to: SavePath = "",
    ) -> CallToolResult | InputRequiredResult:
        """Ask another model, over the user's router keys. A slow answer becomes a running job: then call result."""
        host = host_of(ctx.request_context)
        request = ChatRequest.from_prompt(prompt, model=model, router=router, system=system, options=options)
        attached = await self._attachments.attach(ctx, request, prompt, files, save_to)
        if isinstance(attached, InputRequiredResult):
            return attached
        request, target = attached
        job = await self._chomp.jobs.ask(
            current_caller.get(),
            request,
            prompt=prompt,
            system=system,
            save_to=target,
            deadline_seconds=min(self._chomp.settings.deadline_seconds, host.ask_seconds, patience.get()),
            on_progress=_progress(ctx),
            door="mcp",
        )
        self._attachments.save_later(job)
        return asked(await self._attachments.saved(job), host)

    async def dispatch(
        self,
        ctx: Context[Any, Any],
        prompt: str,
        model: str = "auto",
        router: str = "auto",
        system: str = "",
        options: AnyObject = NOTHING,
        files: list[str] = NO_FILES,
        save_to: str = "",
    ) -> CallToolResult | InputRequiredResult:
        """Like ask, in the background: returns a job_id at once. For long work, or several models at a time."""
        request = ChatRequest.from_prompt(prompt, model=model, router=router, system=system, options=options)
        attached = await self._attachments.attach(ctx, request, prompt, files, save_to)
        if isinstance(attached, InputRequiredResult):
            return attached
        request, target = attached
        job = await self._dispatch(current_caller.get(), request, prompt=prompt, system=system, save_to=target)
        return dispatched(job, host_of(ctx.request_context))

    async def result(self, ctx: Context[Any, Any], job_id: str, wait_seconds: Wait = 0) -> CallToolResult:
        """A job's answer, or its text so far. Kept for 24 hours."""
        wait = min(max(wait_seconds, 0), LONGEST_WAIT_SECONDS)
        job = await self._chomp.jobs.result(current_caller.get(), job_id, wait, on_progress=_progress(ctx))
        return collected(await self._attachments.saved(job), host_of(ctx.request_context))

    async def list_models(
        self,
        router: Annotated[str, Field(description="auto: all that have a key")] = "auto",
        query: Annotated[str, Field(description="Part of the id or name")] = "",
        free_only: bool = False,
        needs: list[str] = NO_NEEDS,
        limit: int = 50,
        cursor: str = "",
    ) -> CallToolResult:
        """The models the user's keys reach, with context length and prices."""
        caller = current_caller.get()
        page = await self._chomp.list_models(
            router, query=query, free_only=free_only, needs=needs, limit=limit, cursor=cursor, caller=caller
        )
        return models_listed(replace(page, models=tuple(await self._chomp.priced(page.models, caller=caller))))

    async def register_keys(
        self,
        ctx: Context[Any, Any],
        router: Annotated[str, Field(description="Whose key")] = "",
        keys: Annotated[
            dict[str, str], Field(description='{router: key}; "" removes. Never ask for keys in the chat')
        ] = NOTHING,
        openrouter_key: str = "",
    ) -> CallToolResult | InputRequiredResult:
        """Add or remove router keys. Call it without keys: the user types them on a page, not here."""
        given = merged(keys, openrouter_key)
        return await (self._desk.given(ctx, given) if given else self._desk.asked(ctx, router))

    async def status(self, ctx: Context[Any, Any]) -> CallToolResult:
        """Keys, health and quota of the routers, spend against budgets, recent jobs."""
        shown = status_shown(await self._chomp.status(current_caller.get()))
        return await with_panel(ctx.request_context, self._chomp, shown)


def tools(chomp: Chomp, desk: KeyDesk, attachments: Attachments, dispatch: Dispatch | None = None) -> list[Tool]:
    """All six, ready for `MCPServer(tools=…)`. Without `dispatch`, dispatched jobs run in this process."""
    # Asking sends the user's words to someone else and may cost money, so it is no read; it destroys nothing.
    bodies = Tools(chomp, desk, dispatch or partial(chomp.jobs.dispatch, door="mcp"), attachments)
    return [
        _tool(bodies.ask, "Ask a model", _hints(open_world=True), {"anthropic/alwaysLoad": True}),
        _tool(bodies.dispatch, "Ask in the background", _hints(open_world=True), _found("ask in the background")),
        _tool(bodies.result, "Collect a job", _hints(reads=True), _found("collect the answer of a chomp job")),
        _tool(bodies.list_models, "List models", _hints(reads=True, open_world=True), _found("list models, prices")),
        _tool(bodies.register_keys, "Manage router keys", _hints(destroys=True), _found("add router API keys")),
        _tool(bodies.status, "Show status", _hints(reads=True), _found("router health, quota, spend, budgets, jobs")),
    ]


def _hints(*, reads: bool = False, destroys: bool = False, open_world: bool = False) -> ToolAnnotations:
    """All four, because the specification takes what is missing for the worst. Every ask is a new one."""
    return ToolAnnotations(
        read_only_hint=reads, destructive_hint=destroys, idempotent_hint=reads or destroys, open_world_hint=open_world
    )


def _found(words: str) -> dict[str, Any]:
    """Claude Code defers tools and lets its model search for them; what it loads at once costs no search."""
    return {"anthropic/searchHint": words}


def _tool(body: Callable[..., Awaitable[Any]], title: str, hints: ToolAnnotations, meta: dict[str, Any]) -> Tool:
    made = ChompTool.from_function(
        body,
        title=title,
        description=" ".join((body.__doc__ or "").split()),
        annotations=hints,
        meta=meta,
        structured_output=False,
    )
    made.parameters = slim(made.parameters)
    made.fn_metadata.output_schema = OUTPUTS[made.name]
    return made


class ChompTool(Tool):
    """A tool whose failures tell the model the next step: what `mcp` says of them names our classes or pydantic's."""

    async def run(self, arguments: dict[str, Any], context: Context[Any, Any], convert_result: bool = False) -> Any:
        given = fitted(arguments, self.parameters)
        known = self.parameters.get("properties", {})
        if unknown := sorted(given.keys() - known.keys()):
            more = " Fields of chat completions go into options." if "options" in known else ""
            raise ToolError(shown(utf8(f"{self.name} takes no {unknown[0]}; it takes {', '.join(known)}.{more}")))
        try:
            return await super().run(given, context, convert_result)
        except ToolError as error:
            cause = error.__cause__
            if isinstance(cause, StoreError) and not current_caller.get().is_owner:
                _log.error("somebody with a token met: %s", cause)
                cause.hide_place()
            if isinstance(cause, ChompError):
                raise ToolError(shown(utf8(str(cause)))) from cause
            if isinstance(cause, ValidationError):
                # Without the values, one of which may be a key.
                details = cause.errors(include_url=False, include_context=False, include_input=False)
                wrong = [
                    f"{'.'.join(map(str, each['loc']))} {_WRONG.get(each['type'], 'is wrong')}" for each in details
                ]
                raise ToolError(f"{self.name}: {', '.join(wrong)}. Correct that and call again.") from cause
            raise UnexpectedToolError(
                f"{self.name} failed inside chomp. The server's log (stderr) says why; status shows what works."
            ) from cause


_WRONG = {
    "missing": "is missing",
    "string_type": "is not text",
    "string_unicode": "is not valid Unicode",
    "dict_type": "is not an object",
    **dict.fromkeys(("bool_parsing", "bool_type"), "is not true or false"),
    **dict.fromkeys(("int_parsing", "int_type", "int_from_float"), "is not a whole number"),
    **dict.fromkeys(("float_parsing", "float_type"), "is not a number"),
}
"""pydantic's error types in words; none repeats the value, which may be a key."""


def _progress(ctx: Context[Any, Any]) -> Callable[[int], Awaitable[None]]:
    """Tells the client how many characters have come; a client that gave no token costs nothing."""
    sent_at, sent = float("-inf"), 0

    async def tell(characters: int) -> None:
        nonlocal sent_at, sent
        now = anyio.current_time()
        if characters > sent and now - sent_at >= PROGRESS_SECONDS:
            sent_at, sent = now, characters
            await ctx.report_progress(characters, None, f"{characters} characters so far")

    return tell


def slim(schema: Any) -> Any:
    """A schema without what says nothing to a model: pydantic's titles."""
    # An open object goes on saying so: frameworks close one that does not to `{}` (pydantic-ai; hermes #96734).
    if isinstance(schema, list):
        return [slim(inner) for inner in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {}
    for name, inner in schema.items():
        if name == "properties":
            kept[name] = {parameter: slim(its) for parameter, its in inner.items()}
        elif not (name == "title" and isinstance(inner, str)):
            kept[name] = slim(inner)
    return kept
