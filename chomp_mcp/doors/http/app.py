"""The one Starlette app: route table, error handler, lifespan; and `serve`, which runs it."""

from __future__ import annotations

import gc
import secrets
import signal
import socket
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Generator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import anyio
import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from chomp_mcp.app import Chomp
from chomp_mcp.doors.http import chat_completions, chomp_api, gateway_api, messages, models, responses
from chomp_mcp.doors.http.asgi import error_answer
from chomp_mcp.doors.http.auth import Authentication, check_bind, is_loopback
from chomp_mcp.doors.http.guard import BODY_SECONDS, MAX_BODY_BYTES, Edge, Traffic
from chomp_mcp.doors.http.server.http1 import Protocol
from chomp_mcp.doors.http.server.turnstile import Turnstile
from chomp_mcp.doors.http.server.workers import IS_FORKING, Share, is_orphan, supervise
from chomp_mcp.doors.mcp.lazy import LateMcp
from chomp_mcp.doors.pages.key_page import KeyPages
from chomp_mcp.errors import InvalidRequest, InvalidSetting
from chomp_mcp.settings import Settings
from chomp_mcp.telemetry.log import LogObserver, configure

if TYPE_CHECKING:
    from mcp.server.streamable_http_manager import StreamableHTTPSessionManager

__all__ = ["GRACE_SECONDS", "Server", "build_app", "serve"]

GRACE_SECONDS = 10
"""How long answers in flight may go on after SIGTERM."""
_SETTLE_SECONDS = 5.0
_MOST_SOCKETS = 65_536
_KEEP_ALIVE_SECONDS = 75
"""Longer than the pools of the common clients keep a connection, so that they never write into a closing one."""


def build_app(
    chomp: Chomp,
    *,
    body_seconds: float = BODY_SECONDS,
    grace_seconds: float = GRACE_SECONDS,
    state_key: bytes = b"",
) -> Starlette:
    """All paths on one app. Its lifespan closes `chomp`; handlers find the caller as auth.py left it.

    `body_seconds` is what a request's body may take to come in, `grace_seconds` what jobs may still take at the end.
    `state_key` (32 bytes) seals what MCP clients bring back; the processes of one port need the same.
    """
    traffic = Traffic()
    pages = _key_pages(chomp)
    mcp = LateMcp(partial(_load_mcp, chomp, pages, state_key))

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with mcp.run():
            yield
        await traffic.drained(_SETTLE_SECONDS)
        if pages:
            await pages.close()
        await chomp.close(_grace_left(app, grace_seconds))

    return _App(
        edge=partial(Edge, settings=chomp.settings, traffic=traffic, body_seconds=body_seconds),
        authentication=partial(Authentication, settings=chomp.settings, keyring=chomp.keyring),
        direct={
            ("POST", "/v1/chat/completions"): chat_completions.ChatCompletions(chomp),
            ("POST", "/v1/messages"): messages.Messages(chomp),
            ("POST", "/v1/responses"): responses.Responses(chomp),
        },
        routes=[
            *chat_completions.routes(chomp),
            *messages.routes(chomp),
            *responses.routes(chomp),
            *models.routes(chomp),
            *gateway_api.routes(chomp),
            *chomp_api.routes(chomp),
            *mcp.routes(),
            *(pages.routes() if pages else ()),
        ],
        exception_handlers={HTTPException: _no_such_route},
        lifespan=lifespan,
    )


class _App(Starlette):
    """The edge, the authentication, then the busiest path by a look-up and everything else by Starlette's routing.

    Starlette's own outermost layer, which answers errors, is left out: the edge does that.
    """

    def __init__(
        self,
        *,
        edge: Callable[[ASGIApp], ASGIApp],
        authentication: Callable[[ASGIApp], ASGIApp],
        direct: Mapping[tuple[str, str], ASGIApp],
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self._edge = edge
        self._authentication = authentication
        self._direct = direct

    def build_middleware_stack(self) -> ASGIApp:
        routed = ExceptionMiddleware(self.router, handlers=self.exception_handlers)
        direct = self._direct

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            found = direct.get((scope.get("method", ""), scope.get("path", "")), routed)
            await found(scope, receive, send)

        return self._edge(self._authentication(app))


async def _load_mcp(
    chomp: Chomp, pages: KeyPages | None, state_key: bytes
) -> tuple[list[BaseRoute], StreamableHTTPSessionManager]:
    """The prices first: two threads in the imports of pydantic, which both need, could wait for each other."""
    await chomp.prices.load()
    return await anyio.to_thread.run_sync(_mcp, chomp, pages, state_key)


def _mcp(
    chomp: Chomp, pages: KeyPages | None, state_key: bytes
) -> tuple[list[BaseRoute], StreamableHTTPSessionManager]:
    from chomp_mcp.doors.mcp.server import build_server, mcp_routes

    served = mcp_routes(
        build_server(chomp, pages=pages, state_key=state_key),
        host="",  # edge.py checks Host and Origin, and bodies
        max_body_bytes=MAX_BODY_BYTES,
        has_sessions=chomp.settings.workers == 1,
    )
    gc.freeze()  # as _rest_the_collector does
    return served


def _key_pages(chomp: Chomp) -> KeyPages | None:
    """Pages where a person types a key: only where the server listens on this machine alone."""
    return KeyPages(chomp, mounted=True) if is_loopback(chomp.settings.host) else None


def _grace_left(app: Starlette, seconds: float) -> float:
    """What is left for jobs of the time that answers in flight had from the same moment on."""
    stopped_at = getattr(app.state, "stopped_at", None)
    return max(0.0, stopped_at + seconds - time.monotonic()) if stopped_at else 0.0


def _bracketed(host: str) -> str:
    return f"[{host.strip('[]')}]" if ":" in host else host


def _no_such_route(request: Request, error: Exception) -> Response:
    """Starlette's own 404 and 405, in the envelope."""
    status = error.status_code if isinstance(error, HTTPException) else 404
    told = InvalidRequest(
        f"There is no {request.method} {request.url.path[:200]}.", hint="The paths are in the README, under HTTP."
    )
    told.status, told.code = status, HTTPStatus(status).name.lower()
    answer = error_answer(told, request.scope)
    answer.headers.update(getattr(error, "headers", None) or {})
    return answer


class Server(uvicorn.Server):
    """uvicorn that ends with exit code 0 on SIGTERM and SIGINT, after a graceful shutdown, and with its parent."""

    def __init__(self, config: uvicorn.Config, share: Share | None = None) -> None:
        super().__init__(config)
        self._share = share
        """Other processes accept from the same sockets."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        if self._share is None:
            await super().startup(sockets)
            return
        await super().startup([])
        self.servers = [Turnstile(each, self._protocol, self._is_ahead) for each in sockets or ()]  # type: ignore[misc]

    def _protocol(self) -> Protocol:
        return Protocol(self.config, self.server_state, self.lifespan.state)

    def _is_ahead(self) -> bool:
        if self._share is None:
            return False
        self._share.tell(len(self.server_state.connections))
        return self._share.is_ahead

    async def on_tick(self, counter: int) -> bool:
        self._is_ahead()  # for the others: connections also end
        return await super().on_tick(counter) or is_orphan()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self.config.app.state.stopped_at = time.monotonic()  # type: ignore[union-attr]
        await super().shutdown(sockets)

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """The original raises the signal again at its end, and so reports every orderly stop as a failure."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        signals = (signal.SIGINT, signal.SIGTERM)
        before: dict[signal.Signals, Any] = {each: signal.signal(each, self.handle_exit) for each in signals}
        try:
            yield
        finally:
            for each, handler in before.items():
                signal.signal(each, handler)


def configured(app: Starlette, settings: Settings) -> uvicorn.Config:
    """How uvicorn runs here: no access log, no WebSockets, addresses as the socket tells them."""
    return uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        http=Protocol,
        access_log=False,
        log_level="warning",
        ws="none",
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )


def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT; then stop accepting, let answers in flight finish, settle, and return.

    Raises:
        InvalidSetting: a bind beyond loopback without GATEWAY_AUTH_TOKEN, an address that cannot be bound, or what
            `Chomp` finds wrong.
    """
    check_bind(settings)
    _check_workers(settings)
    _allow_many_sockets()
    with _listening(settings) as listening:
        settings = replace(settings, port=listening.getsockname()[1])
        configure(settings.log or "error")
        work = partial(_work, _share(settings), listening, secrets.token_bytes(32))
        if settings.workers == 1:
            work()
            return
        Chomp(settings)  # what is wrong is told here, and once
        if IS_FORKING:
            import chomp_mcp.doors.mcp.server  # noqa: F401 - so that the workers share it
        _announce(settings)
        _rest_the_collector()
        patience = GRACE_SECONDS + 2 * _SETTLE_SECONDS
        supervise(settings.workers, work, before_stop=listening.close, stop_seconds=patience)


def _work(settings: Settings, listening: socket.socket, state_key: bytes, share: Share | None = None) -> None:
    """Serve in this process, which may have a `share` only."""
    configure(settings.log or "error")
    app = build_app(Chomp(settings, observers=[LogObserver()]), state_key=state_key)
    if share is None:
        _announce(settings)
    _rest_the_collector()
    Server(configured(app, settings), share).run(sockets=[listening])


def _announce(settings: Settings) -> None:
    sys.stderr.write(f"chomp-mcp serves http://{_bracketed(settings.host)}:{settings.port}\n")
    sys.stderr.flush()


def _check_workers(settings: Settings) -> None:
    if settings.workers > 1 and sys.platform == "win32":
        raise InvalidSetting(
            "GATEWAY_WORKERS is more than 1, and on Windows one process serves a port.",
            hint="Leave GATEWAY_WORKERS and --workers out.",
        )


def _share(settings: Settings) -> Settings:
    """The settings of one worker: all of them together keep to the rate limit."""
    burst = max(1, settings.rate_burst // settings.workers)
    return replace(settings, rate_rps=settings.rate_rps / settings.workers, rate_burst=burst)


def _rest_the_collector() -> None:
    """What was imported stays for ever, and a request leaves hardly any cycle behind: look less often."""
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


def _listening(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        return socket.create_server((settings.host.strip("[]"), settings.port), family=family, backlog=2048)
    except OSError as error:
        raise InvalidSetting(
            f"{settings.host}:{settings.port} cannot be bound: {error.strerror or error}.",
            hint="Choose another GATEWAY_PORT (0 picks a free one) or GATEWAY_HOST.",
        ) from None


def _allow_many_sockets() -> None:
    """Every stream takes two, and many systems allow 1,024 unless asked."""
    if sys.platform == "win32":
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST_SOCKETS if hard == resource.RLIM_INFINITY else min(hard, _MOST_SOCKETS)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
