"""The MCP server: tools, resources, prompts, completion and tasks, for stdio, SSE and Streamable HTTP alike."""

from __future__ import annotations

import secrets
from http import HTTPStatus
from typing import Any

from mcp import MCPError
from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken
from mcp.server.caching import CacheHint
from mcp.server.context import ServerRequestContext
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.request_state import RequestStateSecurity
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.types import (
    INVALID_PARAMS,
    GetPromptResult,
    InputRequiredResult,
    JSONRPCError,
    ListResourcesResult,
    ListToolsResult,
    PaginatedRequestParams,
)
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.types import Message, Receive, Scope, Send

from chomp_mcp.app import Chomp
from chomp_mcp.doors.caller import current_caller
from chomp_mcp.doors.mcp import panel
from chomp_mcp.doors.mcp.attachments import Attachments
from chomp_mcp.doors.mcp.hosts import host_of
from chomp_mcp.doors.mcp.incoming import read
from chomp_mcp.doors.mcp.keys import KeyDesk
from chomp_mcp.doors.mcp.probes import answer_probes_aside
from chomp_mcp.doors.mcp.prompts import add_completion, add_prompts
from chomp_mcp.doors.mcp.resources import add_resources
from chomp_mcp.doors.mcp.tasks import Tasks
from chomp_mcp.doors.mcp.tools import Dispatch, tools
from chomp_mcp.doors.pages.key_page import KeyPages
from chomp_mcp.errors import InvalidRequest
from chomp_mcp.messages import MAX_PROMPT_BYTES
from chomp_mcp.version import version

INSTRUCTIONS = (
    "Asks other language models behind the user's own router keys. ask waits for one answer; dispatch and result run "
    "several or long ones. list_models shows what is there, status what works and what it costs. Without a key, call "
    "register_keys."
)
UNCHANGING = CacheHint(ttl_ms=3_600_000, scope="public")
BY_HOST = CacheHint(ttl_ms=3_600_000, scope="private")
TEXT_ALONE = frozenset({"ask", "dispatch", "result"})
MAX_BODY_BYTES = 4 * MAX_PROMPT_BYTES
"""Room for a prompt over our limit, so that the refusal comes from us and says what to do."""


class _Server(MCPServer[Any]):
    """The SDK's server, with tools as the host of the moment takes them."""

    async def _handle_list_tools(
        self, ctx: ServerRequestContext[Any], params: PaginatedRequestParams | None
    ) -> ListToolsResult:
        """Where text stands alone, no schema may promise more: clients refuse a result that breaks the promise."""
        listed = await super()._handle_list_tools(ctx, params)
        if host_of(ctx).takes_text_alone:
            for tool in listed.tools:
                if tool.name in TEXT_ALONE:
                    tool.output_schema = None
        return panel.linked(ctx, listed)

    async def _handle_list_resources(
        self, ctx: ServerRequestContext[Any], params: PaginatedRequestParams | None
    ) -> ListResourcesResult:
        return panel.listed(ctx, await super()._handle_list_resources(ctx, params))

    async def get_prompt(
        self, name: str, arguments: dict[str, Any] | None = None, context: Context[Any, Any] | None = None
    ) -> GetPromptResult | InputRequiredResult:
        """A prompt that is not there is the client's mistake, not one of ours with a traceback."""
        try:
            return await super().get_prompt(name, arguments, context)
        except ValueError as error:  # the SDK's for an unknown name and for missing arguments
            raise MCPError(INVALID_PARAMS, f"{error}. prompts/list tells the names and arguments.") from None


def build_server(
    chomp: Chomp,
    *,
    pages: KeyPages | None = None,
    dispatch: Dispatch | None = None,
    state_key: bytes = b"",
    started_in: str | None = None,
) -> MCPServer[Any]:
    """One server for all connections of all transports; it opens nothing and waits for nothing.

    Jobs and keys live in `chomp`, never in a connection: the SDK has a lifespan for every SSE connection. `pages` is
    None where no key page may be opened. `state_key` seals what clients bring back with a retry, which may come to
    another process than the first try did; without one only this server can read it. `dispatch` starts jobs elsewhere
    than in this process. `started_in` is the folder of a server whose clients are on this machine, which may name
    files; "" where there is none any more. Who calls is `current_caller`.
    """
    attachments = Attachments(chomp, started_in)
    server = _Server(
        "chomp",
        title="Chomp",
        instructions=INSTRUCTIONS,
        version=version(),
        tools=tools(chomp, KeyDesk(chomp, pages), attachments, dispatch),
        extensions=[Tasks(chomp, attachments), panel.extension()],
        log_level="WARNING",
        cache_hints={"tools/list": BY_HOST, "prompts/list": UNCHANGING, "resources/templates/list": UNCHANGING},
        request_state_security=RequestStateSecurity(
            keys=[state_key or secrets.token_bytes(32)], bind_principal=lambda _ctx: current_caller.get().id
        ),
    )
    answer_probes_aside(server._lowlevel_server)  # noqa: SLF001 - the SDK shows it nowhere else
    add_resources(server, chomp)
    add_prompts(server)
    add_completion(server, chomp)
    return server


def mcp_routes(
    server: MCPServer[Any], *, host: str = "127.0.0.1", max_body_bytes: int = MAX_BODY_BYTES, no_sessions: str = ""
) -> tuple[list[BaseRoute], StreamableHTTPSessionManager]:
    """`/mcp`, `/sse` and `/messages/`, and the manager that must run, once, while they are served:

        routes, manager = mcp_routes(server, host=host)

        @asynccontextmanager
        async def lifespan(app):
            async with manager.run():
                yield

    `host` is what the app binds. On loopback the SDK checks Host and Origin as well; elsewhere that is the app's task.
    An app that bounds bodies itself, and says so in its own words, gives its bound or a larger one as `max_body_bytes`.
    Sessions live in one process. Where the next request may reach another one, `no_sessions` says why and what to do:
    each request of an older client stands for itself then, which our tools can do, and /sse, which is nothing but a
    session, says so.
    """
    streamable = server.streamable_http_app(
        host=host, max_request_body_size=max_body_bytes, stateless_http=bool(no_sessions)
    )
    if no_sessions:
        reason, _, mend = no_sessions.partition("; ")

        async def refuse(_request: Request) -> Response:
            hint = f"{mend[0].upper()}{mend[1:]}."
            error = InvalidRequest(f"SSE sessions live in one process, and {reason}.", hint=hint)
            error.status, error.code = HTTPStatus.NOT_IMPLEMENTED, "not_implemented"
            raise error

        no_sse = (Route("/sse", refuse), Route("/messages/", refuse))
        return [*map(_entered, streamable.routes), *no_sse], server.session_manager
    sse = server.sse_app(host=host, max_request_body_size=max_body_bytes)
    return [*map(_entered, (*streamable.routes, *sse.routes))], server.session_manager


def _entered(route: BaseRoute) -> BaseRoute:
    """Bodies are mended before the SDK reads them, and it learns who calls."""
    if not isinstance(route, Route | Mount):
        return route
    handle = route.app

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        # Refused by us: the SDK would do it in plain text.
        content_type = Headers(scope=scope).get("content-type", "")
        if scope["method"] == "POST" and not content_type.lower().startswith("application/json"):
            error = InvalidRequest("The body is not called JSON.", hint="Send content-type: application/json.")
            error.status, error.code = HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type"
            raise error
        # What the SDK binds a session to, so that nobody else can go on with it.
        mine = AccessToken(token="", client_id=current_caller.get().id, scopes=[])
        scope.setdefault("user", AuthenticatedUser(mine))
        if scope["method"] == "GET":  # nothing is kept to be sent again, so a stream that is resumed is a new one
            scope["headers"] = [(name, value) for name, value in scope["headers"] if name != b"last-event-id"]
        if scope["method"] == "POST":
            body = await Request(scope, receive).body()
            text = read(body.decode("utf-8", "replace"))
            if isinstance(text, JSONRPCError):
                answer = Response(text.model_dump_json(by_alias=True), 400, media_type="application/json")
                await answer(scope, receive, send)
                return
            # A mended body may be of another length than was announced.
            scope["headers"] = [(name, value) for name, value in scope["headers"] if name != b"content-length"]
            first: list[Message] = [{"type": "http.request", "body": text.encode("utf-8", "replace")}]

            async def replayed() -> Message:
                return first.pop() if first else await receive()

            await handle(scope, replayed, send)
        else:
            await handle(scope, receive, send)

    route.app = app
    return route
