"""The one Starlette app: route table, error handler, lifespan."""

from __future__ import annotations

import gc
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import anyio
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from chomp_mcp.app import Chomp
from chomp_mcp.doors.http import (
    chat_completions,
    chomp_api,
    embeddings,
    gateway_api,
    gemini,
    messages,
    models,
    protected_resource,
    responses,
    tokens,
)
from chomp_mcp.doors.http.asgi import error_answer
from chomp_mcp.doors.http.auth import Authentication, is_loopback
from chomp_mcp.doors.http.guard import BODY_SECONDS, MAX_BODY_BYTES, Edge
from chomp_mcp.doors.http.server.process import GRACE_SECONDS
from chomp_mcp.doors.http.traffic import Traffic
from chomp_mcp.doors.mcp.lazy import LateMcp
from chomp_mcp.doors.pages import docs_page, home_page
from chomp_mcp.doors.pages.key_page import KeyPages
from chomp_mcp.errors import InvalidRequest

if TYPE_CHECKING:
    from mcp.server.streamable_http_manager import StreamableHTTPSessionManager


SETTLE_SECONDS = 5.0
"""How long the last exchanges may take to be settled, once nothing more is written to their clients."""

_ROUTES: tuple[Callable[[Chomp], list[Route]], ...] = (
    chat_completions.routes, messages.routes, gemini.routes, responses.routes, embeddings.routes, models.routes,
    gateway_api.routes, chomp_api.routes, tokens.routes, home_page.routes, docs_page.routes,
)  # fmt: skip
"""Each door's paths; openapi.yaml describes them."""


def build_app(
    chomp: Chomp, *, body_seconds: float = BODY_SECONDS, grace_seconds: float = GRACE_SECONDS, state_key: bytes = b""
) -> Starlette:
    """All paths on one app. Its lifespan closes `chomp`; handlers find the caller as auth.py left it.

    `body_seconds` is what a request's body may take to come in, `grace_seconds` what jobs may still take at the end.
    `state_key` (32 bytes) seals what MCP clients bring back; the processes of one port need the same.
    """
    traffic = Traffic(chomp.settings.max_requests, chomp.settings.most_of_caller, chomp.settings.max_request_bytes)
    # Pages where a person types a key: only where the server listens on this machine alone.
    pages = KeyPages(chomp, mounted=True) if is_loopback(chomp.settings.host) else None
    mcp = LateMcp(partial(_load_mcp, chomp, pages, state_key))

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        chomp.ledger.recover()
        chomp.jobs.start()
        app.state.drain = chomp.jobs.engine.stop
        async with mcp.run():
            yield
        await traffic.drained(SETTLE_SECONDS)
        if pages:
            await pages.close()
        # Jobs get what is left of the time that answers in flight had from the same moment on.
        stopped_at = getattr(app.state, "stopped_at", None)
        await chomp.close(max(0.0, stopped_at + grace_seconds - time.monotonic()) if stopped_at else 0.0)

    return _App(
        edge=partial(Edge, settings=chomp.settings, traffic=traffic, body_seconds=body_seconds),
        authentication=partial(
            Authentication, settings=chomp.settings, keyring=chomp.keyring, admission=chomp.admission
        ),
        direct={
            ("POST", "/v1/chat/completions"): chat_completions.ChatCompletions(chomp),
            ("POST", "/v1/messages"): messages.Messages(chomp),
            ("POST", "/v1/responses"): responses.Responses(chomp),
        },
        routes=[
            *(route for routes in _ROUTES for route in routes(chomp)),
            *protected_resource.routes(chomp.settings),
            *mcp.routes(),
            *(pages.routes() if pages else ()),
        ],
        exception_handlers={HTTPException: _no_such_route},
        lifespan=lifespan,
    )


_Ring = Callable[[ASGIApp], ASGIApp]


class _App(Starlette):
    """The edge, the authentication, then the busiest path by a look-up and everything else by Starlette's routing.

    Starlette's own outermost layer, which answers errors, is left out: the edge does that.
    """

    def __init__(
        self, *, edge: _Ring, authentication: _Ring, direct: Mapping[tuple[str, str], ASGIApp], **options: Any
    ) -> None:
        super().__init__(**options)
        self.router.redirect_slashes = False  # the edge takes them off
        self._edge = edge
        self._authentication = authentication
        self._direct = direct

    def build_middleware_stack(self) -> ASGIApp:
        routed = ExceptionMiddleware(self.router, handlers=self.exception_handlers)
        direct = self._direct

        def app(scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
            return direct.get((scope.get("method", ""), scope.get("path", "")), routed)(scope, receive, send)

        return self._edge(self._authentication(app))


async def _load_mcp(
    chomp: Chomp, pages: KeyPages | None, state_key: bytes
) -> tuple[list[BaseRoute], StreamableHTTPSessionManager]:
    settings = chomp.settings
    # Why a client's next request may reach another process, and what to do about it; empty: it will not.
    no_sessions = ""
    if settings.workers > 1:
        no_sessions = "this server has several; connect to /mcp, or start it without --workers"
    elif settings.store and not settings.mcp_sessions:
        no_sessions = (
            "replicas share this store; connect to /mcp, or set CHOMP_MCP_SESSIONS=1 and have the balancer keep"
            " each client on its replica"
        )

    def load() -> tuple[list[BaseRoute], StreamableHTTPSessionManager]:
        from chomp_mcp.doors.mcp.server import build_server, mcp_routes

        served = mcp_routes(
            build_server(chomp, pages=pages, state_key=state_key),
            host="",  # guard.py checks Host and Origin, and bodies
            max_body_bytes=MAX_BODY_BYTES,
            no_sessions=no_sessions,
        )
        gc.freeze()  # as server/serve.py does, and for the same reason
        return served

    # The prices first: two threads in the imports of pydantic, which both need, could wait for each other.
    await chomp.prices.load()
    # In a thread: its imports take as long as the rest of the start, and the event loop would stand still.
    return await anyio.to_thread.run_sync(load)


def _no_such_route(request: Request, error: Exception) -> Response:
    """Starlette's own 404 and 405, in the envelope."""
    status = error.status_code if isinstance(error, HTTPException) else 404
    served = [route.path for route in request.app.routes if isinstance(route, Route) and "{" not in route.path]
    api = [path for path in served if path.startswith("/v1/")]
    headers: Mapping[str, str] = getattr(error, "headers", None) or {}
    hint = f"The models' APIs are {', '.join(dict.fromkeys(api))}; all paths are at /docs."
    if "Allow" in headers:  # a 405
        hint = f"It takes {headers['Allow']}; all paths are at /docs."
    refusal = InvalidRequest(f"There is no {request.method} {request.url.path[:200]}.", hint=hint)
    refusal.status, refusal.code = status, HTTPStatus(status).name.lower()
    answer = error_answer(refusal, request.scope)
    answer.headers.update(headers)
    return answer
