"""The ring around every HTTP path: request ids, Host and Origin, CORS, bodies bounded in size and time, errors."""

from __future__ import annotations

import asyncio
import logging
import random
import re
from collections.abc import Awaitable, Mapping
from fnmatch import fnmatchcase
from functools import lru_cache
from http import HTTPStatus
from typing import Final
from urllib.parse import urlsplit

import anyio
import anyio.lowlevel
from starlette.datastructures import Headers as StarletteHeaders
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chomp_mcp.doors.http import anthropic_errors
from chomp_mcp.doors.http.asgi import HANG_UP, HEADERS, LAST_WORDS_SECONDS, error_answer, public_error, shutting_down
from chomp_mcp.doors.http.auth import CREDENTIALS, HEALTH_PATHS, is_loopback, is_open
from chomp_mcp.doors.http.traffic import SHARE, Share, Traffic
from chomp_mcp.errors import InvalidRequest, NotAllowed, StoreError, TooLarge, TooSlow
from chomp_mcp.settings import Settings

_log = logging.getLogger("chomp_mcp.http")

MAX_BODY_BYTES: Final = 32 * 1024 * 1024
"""One request: the longest conversation with a few images in it."""
BODY_SECONDS: Final = 30.0
"""From the end of the head to the end of the body."""

_DRAIN_SECONDS = 5.0
_GOOGLES_CALLS: Final = (":generateContent", ":streamGenerateContent", ":countTokens")
_SANE_ID = re.compile(rb"[A-Za-z0-9._:-]{1,128}")
_EXPOSED = (
    "x-request-id", "request-id", "x-chomp-router", "x-chomp-model", "x-chomp-attempts", "x-chomp-notes", "retry-after",
    "x-should-retry", "mcp-session-id",
)  # fmt: skip

Headers = Mapping[bytes, bytes]


class Edge:
    """Pure ASGI around the app; the only place where an exception becomes an answer.

    CORS is Starlette's middleware, for requests that have an Origin. What is by hand has no like there: Starlette's
    TrustedHostMiddleware takes no address range, and answers in plain text without a next step; nobody refuses foreign
    origins, bounds bodies in size, time and sum, or waits at a shutdown.
    """

    def __init__(
        self, app: ASGIApp, settings: Settings, *, traffic: Traffic, body_seconds: float = BODY_SECONDS
    ) -> None:
        self._app = app
        self._traffic = traffic
        self._body_seconds = body_seconds
        self._is_local = is_loopback(settings.host)
        self._is_open = is_open(settings)
        self._minds_hosts = not settings.auth_token
        self._own_hosts = (settings.host, *settings.allowed_hosts)
        self._origins = frozenset(origin.rstrip("/").lower() for origin in settings.cors_origins)
        self._cors = CORSMiddleware(
            app,
            allow_origins=self._origins,
            allow_methods=("GET", "POST", "DELETE"),
            allow_headers=("*",),
            expose_headers=_EXPOSED,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        # RFC 9110, 5.5: blanks around a value are not part of it; httptools leaves those at its end.
        scope["headers"] = [(name, value.strip()) for name, value in scope["headers"]]
        headers: Headers = dict(scope["headers"])
        scope[HEADERS] = headers
        scope.setdefault("state", {})["request_id"] = named = request_id(headers)
        names = [(b"x-request-id", named)]
        if anthropic_errors.are_asked_for(scope):  # where their SDKs look for it
            names.append((b"request-id", named))
        answer = _Answer(send, names)
        try:
            with Share(self._traffic) as share:
                scope[SHARE] = share
                await self._pass(scope, headers, receive, answer)
                await answer.finish()
        except ClientDisconnect:
            pass
        except Exception as error:
            if answer.has_started:
                raise
            if isinstance(error, _BodyTooLarge) and b"expect" not in headers:
                # Let the client send on for a moment: a connection that closes with unread bytes takes our answer with
                # it. Who sent `Expect: 100-continue` has not begun.
                left = 4 * MAX_BODY_BYTES
                with anyio.move_on_after(_DRAIN_SECONDS):
                    while left > 0:
                        message = await receive()
                        left = left - len(message.get("body", b"")) if message.get("more_body", False) else 0
            told = public_error(error)
            caller = scope["state"].get("caller")
            is_owner = caller.is_owner if caller else self._is_open and CREDENTIALS.isdisjoint(headers)
            if isinstance(told, StoreError) and not is_owner:
                _log.error("somebody with a token met: %s", told)
                told.hide_place()
            refusal = error_answer(told, scope)
            if b"origin" in headers:  # a page has to be allowed to read why
                wrapped = CORSMiddleware(refusal, allow_origins=self._origins, expose_headers=_EXPOSED)
                await wrapped.simple_response(scope, receive, answer, request_headers=StarletteHeaders(scope=scope))
            else:
                await refusal(scope, receive, answer)
        except asyncio.CancelledError:
            # Nobody but the server cancels a whole request: its patience at a shutdown is over, and it ends after us.
            with anyio.move_on_after(LAST_WORDS_SECONDS):
                last = error_answer(shutting_down(), scope)
                await (answer.finish() if answer.has_started else last(scope, receive, answer))

    def _pass(self, scope: Scope, headers: Headers, receive: Receive, answer: _Answer) -> Awaitable[None]:
        """What the app makes of it, unless it is refused here."""
        self._check_source(scope, headers)
        # Every path is served with a slash at its end and without; a redirect would lead from TLS to plain HTTP.
        path = scope["path"]
        if path.endswith("/") and len(path) > 1:
            scope["path"] = path = path.rstrip("/") or "/"
        if path == "/messages":  # the one that has it by name: the MCP SDK tells it to clients of /sse
            scope["path"] = "/messages/"
        elif path.startswith("/v1/models/") and path.endswith(_GOOGLES_CALLS):  # as Google's newer SDKs write it
            scope["path"] = f"/v1beta/{path.removeprefix('/v1/')}"
        share: Share = scope[SHARE]
        if not path.startswith(HEALTH_PATHS):  # who asks whether we live is told so under any load
            share.admit()
        announced = headers.get(b"content-length", b"0")
        if announced != b"0" and announced.isdigit():
            if int(announced) > MAX_BODY_BYTES:
                raise _BodyTooLarge
            share.hold(int(announced))
        app = self._cors if b"origin" in headers else self._app
        is_here = HANG_UP in scope
        return app(scope, receive if is_here else _BoundedBody(receive, headers, self._body_seconds, share), answer)

    def _check_source(self, scope: Scope, headers: Headers) -> None:
        """Which names lead here, and which pages may call; programs send no Origin."""
        if len(headers) != len(scope["headers"]) and sum(name == b"host" for name, _ in scope["headers"]) > 1:
            raise InvalidRequest("There are two Host headers.", hint="Send one (RFC 9112, section 3.2).")
        host = headers.get(b"host")
        # A browser may be led here by a foreign name (DNS rebinding), but has no token: where one is due, any goes.
        is_minded = self._minds_hosts and not (host is None and scope["http_version"] == "1.0")
        if is_minded and not _is_ours(host or b"", self._own_hosts):
            error = NotAllowed(
                "The Host header names another machine.",
                hint="Use http://127.0.0.1 or http://localhost, name that host in CHOMP_ALLOWED_HOSTS "
                "(Docker: host.docker.internal), or set GATEWAY_AUTH_TOKEN.",
            )
            error.status = HTTPStatus.MISDIRECTED_REQUEST
            raise error
        origin = headers.get(b"origin")
        if origin is None or "*" in self._origins or origin.decode("latin-1") in self._origins:
            return
        is_own_page = origin.partition(b"://")[2].lower() == headers.get(b"host", b"\0").lower()
        # `null` is the origin of sandboxed frames and of files: any page can send it.
        is_local_page = self._is_local and origin != b"null" and is_loopback(_hostname(origin))
        if not (is_own_page or is_local_page):
            raise NotAllowed("Pages of this origin may not call the gateway.", hint="Add it to CORS_ALLOWED_ORIGINS.")


class _Answer:
    """`send` that puts the edge's headers on the head, and makes of what comes one whole answer.

    At a shutdown the MCP SDK's event streams stop without an end, and /sse sends an empty answer behind its stream.
    """

    __slots__ = ("_extra", "_is_open", "_is_over", "_send", "has_started")

    def __init__(self, send: Send, extra: list[tuple[bytes, bytes]]) -> None:
        self._send = send
        self._extra = extra
        self._is_open = False
        self._is_over = False
        self.has_started = False

    def __call__(self, message: Message) -> Awaitable[None]:
        is_head = message["type"] == "http.response.start"
        if is_head:
            self._is_over = self.has_started
            self.has_started = True
            message["headers"] = [*message.get("headers", ()), *self._extra]
        if self._is_over:
            return anyio.lowlevel.checkpoint()
        self._is_open = is_head or message.get("more_body", False)
        return self._send(message)

    async def finish(self) -> None:
        if self._is_open:
            await self._send({"type": "http.response.body"})


class _BoundedBody:
    """`receive` that raises TooLarge or TooSlow while the body comes in, and is nothing but `receive` afterwards."""

    __slots__ = ("_deadline", "_is_announced", "_left", "_receive", "_seconds", "_share")

    def __init__(self, receive: Receive, headers: Headers, seconds: float, share: Share) -> None:
        self._receive = receive
        self._left = MAX_BODY_BYTES
        self._seconds = seconds
        self._deadline = asyncio.get_running_loop().time() + seconds
        self._share = share
        self._is_announced = b"content-length" in headers

    async def __call__(self) -> Message:
        if self._left < 0:
            return await self._receive()
        try:
            async with asyncio.timeout_at(self._deadline):
                message = await self._receive()
        except TimeoutError:
            raise TooSlow("The body took too long.", hint=f"Send it within {self._seconds:g} seconds.") from None
        self._left -= len(message.get("body", b""))
        if self._left < 0:
            raise _BodyTooLarge
        if not self._is_announced:
            self._share.hold(len(message.get("body", b"")))
        if not message.get("more_body", False):
            self._left = -1
        return message


class _BodyTooLarge(TooLarge):
    """Of a body whose rest is still on its way; what else is too large has come in whole."""

    def __init__(self) -> None:
        super().__init__(f"The body is larger than {MAX_BODY_BYTES >> 20} MiB.", hint="Send less, or in parts.")


def request_id(headers: Headers) -> bytes:
    """The client's own where it is sane, else a new one."""
    given = headers.get(b"x-request-id", b"")
    if given and _SANE_ID.fullmatch(given):
        return given
    return b"req_%032x" % random.getrandbits(128)


@lru_cache(maxsize=256)
def _is_ours(host_header: bytes, own_hosts: tuple[str, ...]) -> bool:
    host = _hostname(b"//" + host_header)
    return is_loopback(host) or any(fnmatchcase(host, own.lower()) for own in own_hosts)


def _hostname(url: bytes) -> str:
    try:
        return urlsplit(url.decode("latin-1")).hostname or ""
    except ValueError:
        return ""
