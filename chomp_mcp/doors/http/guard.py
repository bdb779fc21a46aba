"""The ring around every HTTP path: request ids, Host and Origin, CORS, bodies bounded in size and time, errors."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Mapping
from functools import lru_cache
from http import HTTPStatus
from typing import Final
from urllib.parse import urlsplit

import anyio
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chomp_mcp.doors.http.asgi import HANG_UP, LAST_WORDS_SECONDS, error_answer, shutting_down, told
from chomp_mcp.doors.http.auth import is_loopback
from chomp_mcp.errors import NotAllowed, TooLarge, TooSlow
from chomp_mcp.settings import Settings

__all__ = ["BODY_SECONDS", "MAX_BODY_BYTES", "Edge", "Traffic", "request_id"]

MAX_BODY_BYTES: Final = 32 * 1024 * 1024
"""One request: the longest conversation with a few images in it."""
BODY_SECONDS: Final = 30.0
"""From the end of the head to the end of the body."""

_DRAIN_SECONDS = 5.0
_SANE_ID = re.compile(rb"[A-Za-z0-9._:-]{1,128}")
_METHODS = b"GET, POST, DELETE, OPTIONS"
_EXPOSED = (
    b"x-request-id, x-chomp-router, x-chomp-model, x-chomp-attempts, x-chomp-notes, retry-after, x-should-retry, "
    b"mcp-session-id"
)

Headers = Mapping[bytes, bytes]


class Traffic:
    """Requests in flight, so that a shutdown can wait until the last one has settled."""

    def __init__(self) -> None:
        self._requests = 0
        self._quiet = anyio.Event()

    def __enter__(self) -> None:
        self._requests += 1

    def __exit__(self, *_: object) -> None:
        self._requests -= 1
        if not self._requests:
            self._quiet.set()

    async def drained(self, seconds: float) -> None:
        """Wait until nothing is in flight, at most so long."""
        with anyio.move_on_after(seconds):
            while self._requests:
                self._quiet = anyio.Event()
                await self._quiet.wait()


class Edge:
    """Pure ASGI around the app; the only place where an exception becomes an answer."""

    def __init__(
        self, app: ASGIApp, settings: Settings, *, traffic: Traffic, body_seconds: float = BODY_SECONDS
    ) -> None:
        self._app = app
        self._traffic = traffic
        self._body_seconds = body_seconds
        self._is_local = is_loopback(settings.host)
        self._own_host = settings.host
        self._origins = frozenset(origin.rstrip("/").lower().encode() for origin in settings.cors_origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        # RFC 9110, 5.5: blanks around a value are not part of it; httptools leaves those at its end.
        scope["headers"] = [(name, value.strip()) for name, value in scope["headers"]]
        headers: Headers = dict(scope["headers"])
        scope.setdefault("state", {})["request_id"] = named = request_id(headers)
        answer = _Answer(send, [(b"x-request-id", named), *self._cors(headers)])
        try:
            with self._traffic:
                await self._pass(scope, headers, receive, answer)
                await answer.finish()
        except ClientDisconnect:
            pass
        except Exception as error:
            if answer.has_started:
                raise
            if isinstance(error, TooLarge) and b"expect" not in headers:
                await _drain(receive)
            await error_answer(told(error), scope)(scope, receive, answer)
        except asyncio.CancelledError:
            # Nobody but the server cancels a whole request: its patience at a shutdown is over, and it ends after us.
            with anyio.move_on_after(LAST_WORDS_SECONDS):
                last = error_answer(shutting_down(), scope)
                await (answer.finish() if answer.has_started else last(scope, receive, answer))

    async def _pass(self, scope: Scope, headers: Headers, receive: Receive, answer: _Answer) -> None:
        self._check_host(headers)
        self._check_origin(headers)
        if _is_preflight(scope, headers):
            await self._allow(headers, answer)
        else:
            is_here = HANG_UP in scope
            await self._app(scope, receive if is_here else _BoundedBody(receive, headers, self._body_seconds), answer)

    def _check_host(self, headers: Headers) -> None:
        """On loopback a browser may be led here by a foreign name (DNS rebinding); elsewhere a token is due."""
        if self._is_local and not _is_ours(headers.get(b"host", b""), self._own_host):
            error = NotAllowed(
                "The Host header names another machine.", hint="Use http://127.0.0.1 or http://localhost."
            )
            error.status = HTTPStatus.MISDIRECTED_REQUEST
            raise error

    def _check_origin(self, headers: Headers) -> None:
        origin = headers.get(b"origin")
        if origin is None or self._is_listed(origin) or _is_same(origin, headers):
            return
        if self._is_local and origin != b"null" and is_loopback(_hostname(origin)):
            return
        raise NotAllowed("Pages of this origin may not call the gateway.", hint="Add it to CORS_ALLOWED_ORIGINS.")

    def _is_listed(self, origin: bytes) -> bool:
        return origin.lower() in self._origins or b"*" in self._origins

    def _cors(self, headers: Headers) -> list[tuple[bytes, bytes]]:
        origin = headers.get(b"origin")
        if origin is None or not self._is_listed(origin):
            return []
        return [
            (b"access-control-allow-origin", origin),
            (b"access-control-expose-headers", _EXPOSED),
            (b"vary", b"origin"),
        ]

    async def _allow(self, headers: Headers, send: Send) -> None:
        """Answer a preflight; without CORS headers, which only listed origins get, the browser takes it as a no."""
        asked = headers.get(b"access-control-request-headers", b"authorization, content-type")
        granted = [
            (b"access-control-allow-methods", _METHODS),
            (b"access-control-allow-headers", asked),
            (b"access-control-max-age", b"600"),
        ]
        await send({"type": "http.response.start", "status": 204, "headers": granted})
        await send({"type": "http.response.body", "body": b""})


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

    async def __call__(self, message: Message) -> None:
        is_head = message["type"] == "http.response.start"
        if is_head:
            self._is_over = self.has_started
            self.has_started = True
            message["headers"] = [*message.get("headers", ()), *self._extra]
        if not self._is_over:
            self._is_open = is_head or message.get("more_body", False)
            await self._send(message)

    async def finish(self) -> None:
        if self._is_open:
            await self._send({"type": "http.response.body"})


class _BoundedBody:
    """`receive` that raises TooLarge or TooSlow while the body comes in, and is nothing but `receive` afterwards."""

    __slots__ = ("_deadline", "_left", "_receive", "_seconds")

    def __init__(self, receive: Receive, headers: Headers, seconds: float) -> None:
        self._receive = receive
        self._left = MAX_BODY_BYTES
        self._seconds = seconds
        self._deadline = asyncio.get_running_loop().time() + seconds
        announced = headers.get(b"content-length", b"0")
        if announced.isdigit() and int(announced) > MAX_BODY_BYTES:
            raise _too_large()

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
            raise _too_large()
        if not message.get("more_body", False):
            self._left = -1
        return message


async def _drain(receive: Receive) -> None:
    """Let the client send on for a moment: a connection that closes with unread bytes takes our answer with it."""
    left = 4 * MAX_BODY_BYTES
    with anyio.move_on_after(_DRAIN_SECONDS):
        while left > 0:
            message = await receive()
            left -= len(message.get("body", b""))
            if not message.get("more_body", False):
                return


def _too_large() -> TooLarge:
    return TooLarge(f"The body is larger than {MAX_BODY_BYTES >> 20} MiB.", hint="Send less, or in parts.")


def request_id(headers: Headers) -> bytes:
    """The client's own where it is sane, else a new one."""
    given = headers.get(b"x-request-id", b"")
    return given if _SANE_ID.fullmatch(given) else b"req_" + os.urandom(16).hex().encode()


def _is_preflight(scope: Scope, headers: Headers) -> bool:
    return scope["method"] == "OPTIONS" and b"origin" in headers and b"access-control-request-method" in headers


@lru_cache(maxsize=256)
def _is_ours(host_header: bytes, own_host: str) -> bool:
    host = _hostname(b"//" + host_header)
    return host == own_host or is_loopback(host)


def _hostname(url: bytes) -> str:
    try:
        return urlsplit(url.decode("latin-1")).hostname or ""
    except ValueError:
        return ""


def _is_same(origin: bytes, headers: Headers) -> bool:
    return origin.partition(b"://")[2].lower() == headers.get(b"host", b"\0").lower()
