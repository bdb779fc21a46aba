"""What the HTTP doors share, in pure ASGI: JSON in and out, event streams, and clients that hang up."""

from __future__ import annotations

import asyncio
import logging
import math
import string
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, Self, TypeVar, cast
from urllib.parse import quote

import anyio
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

from chomp_mcp import wire
from chomp_mcp.doors.http import anthropic_errors, google_errors
from chomp_mcp.doors.http.protected_resource import challenge
from chomp_mcp.doors.words import HTTP, spoken
from chomp_mcp.errors import BudgetExceeded, ChompError, InvalidRequest, NotAuthenticated, Overloaded, UpstreamError
from chomp_mcp.messages import Caller

KEEPALIVE_SECONDS = 15.0
"""How long an event stream stays silent before it sends a comment; proxies give up after 30 to 60."""

LAST_WORDS_SECONDS = 1.0
"""How long a client may take to read why its answer ends with the server."""

HANG_UP: Final = "chomp.hang_up"
"""In the scope of a request that has come in whole: the `HangUp` of its connection. See server/http1.py."""

HEADERS: Final = "chomp.headers"
"""In the scope of a request: its headers by their names, in lower case."""

T = TypeVar("T")

_PRINTABLE = string.punctuation + " "
_log = logging.getLogger("chomp_mcp.http")
_UNREAD_BODY = frozenset({408, 413})
"""After these the rest of the body may still be on its way, or never come."""
_EVENT_HEADERS = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
)


class Json(Response):
    """An answer as JSON."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        return wire.dumps(content)


Endpoint = Callable[[Request], Awaitable[Response]]


def by_method(path: str, **endpoints: Endpoint) -> Route:
    """One route with an endpoint for each method, so that a 405 tells all of them."""

    async def endpoint(request: Request) -> Response:
        return await endpoints["GET" if request.method == "HEAD" else request.method](request)

    return Route(path, endpoint, methods=list(endpoints))


def caller_of(scope: Scope) -> Caller:
    """Who asks, as auth.py found out."""
    caller: Caller = scope["state"]["caller"]
    return caller


def request_id_of(scope: Scope) -> str:
    """The id that the answer's `x-request-id` tells."""
    named: bytes = scope["state"]["request_id"]
    return named.decode("latin-1")


async def read_json(receive: Receive) -> dict[str, Any]:
    """The request's body as an object.

    Raises:
        InvalidRequest: empty, not JSON, or not an object.
        ClientDisconnect: the client left before all of it was here.
    """
    parts: list[bytes] = []
    has_more = True
    while has_more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        parts.append(message.get("body", b""))
        has_more = message.get("more_body", False)
    body = parts[0] if len(parts) == 1 else b"".join(parts)  # nearly all come in one part, and need no copy
    try:
        value = wire.loads(body)
    except wire.TooManyValues:
        raise InvalidRequest(
            "The body holds millions of JSON values, which nobody reads.",
            hint="Send less at a time; files travel as text or as base64, in one value.",
        ) from None
    except ValueError as error:
        if not body.strip():
            raise InvalidRequest("The body is empty.", hint="Send a JSON object.") from None
        reason = str(error).rstrip(".")
        raise InvalidRequest(f"The body is not JSON: {reason}.", hint="Send a JSON object in UTF-8.") from None
    if not isinstance(value, dict):
        raise InvalidRequest(f"The body is a JSON {type(value).__name__}.", hint="Send a JSON object.")
    return value


def number(text: str | None, name: str, *, default: float, most: float) -> float:
    """A query parameter from 0 up; more than `most` is cut to it. `InvalidRequest` for anything else."""
    if text is None or not text.strip():
        return default
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not value >= 0:
        raise InvalidRequest(f"{name} is not a number of at least 0.", hint=f"Try ?{name}={default:g}.", param=name)
    return min(value, most)


def header_value(text: str) -> bytes:
    """Text as a header's value: anything but printable ASCII is percent-encoded, so nothing can split the head."""
    if text.isascii() and text.isprintable():
        return text.encode()
    return quote(text, safe=_PRINTABLE, errors="replace").encode()


async def send_json(send: Send, body: bytes, headers: list[tuple[bytes, bytes]], status: int = 200) -> None:
    """JSON that is ready, on the shortest way out."""
    head = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body)), *headers]
    await send({"type": "http.response.start", "status": status, "headers": head})
    await send({"type": "http.response.body", "body": body})


def server_sent(value: Mapping[str, Any]) -> bytes:
    """An object as one server-sent event."""
    return b"data: %b\n\n" % wire.dumps(value)


def public_error(error: Exception) -> ChompError:
    """The error a caller may see: our own in this door's words, anything else logged and told without its insides."""
    if isinstance(error, ChompError):
        error.hint = spoken(error.hint, HTTP)
        return error
    _log.error("an unexpected error", exc_info=error)
    return ChompError("The gateway made a mistake.", hint="Its log tells which.")


LONGEST_HEADER_SECONDS = 10.0


def error_answer(error: ChompError, scope: Scope | None = None) -> Json:
    """The envelope, `retry-after` where known, and `x-should-retry: false` when the plan or the budget is used up.

    The SDKs retry 408, 409, 429 and 5xx by themselves; after our own failover that would multiply the tries. Others
    read `retry-after` alone: beside a "do not retry" a long wait of a router is told in the message only, or they hang
    for as long (Vercel's AI SDK, for a minute). The envelope is OpenAI's, or Anthropic's or Google's
    where `scope` is a request of that API.
    """
    headers: dict[str, str] = {}
    retry_after = error.retry_after
    is_long = isinstance(error, UpstreamError) and retry_after is not None and retry_after > LONGEST_HEADER_SECONDS
    if retry_after is not None and not is_long:
        headers["retry-after"] = str(max(1, math.ceil(retry_after)))
        headers["retry-after-ms"] = str(math.ceil(retry_after * 1000))
    if isinstance(error, UpstreamError | BudgetExceeded):
        headers["x-should-retry"] = "false"
    if isinstance(error, UpstreamError) and error.receipt is not None:
        headers["x-chomp-attempts"] = str(len(error.receipt.attempts))
    if error.status in _UNREAD_BODY:
        headers["connection"] = "close"
    if isinstance(error, NotAuthenticated):
        headers["www-authenticate"] = challenge(scope)
    if scope is not None and google_errors.are_asked_for(scope):
        return Json(google_errors.envelope(error), error.status, headers)
    if scope is None or not anthropic_errors.are_asked_for(scope):
        return Json(error.envelope(), error.status, headers)
    return Json(anthropic_errors.envelope(error, request_id_of(scope)), anthropic_errors.status(error), headers)


class EventStream:
    """Server-sent events on their way out: `async with EventStream(send, failure, pulse) as events`.

    `pulse` keeps a silent stream alive. `last` ends it, or what `failure` makes of an error that comes behind `start`;
    one before it goes on to the caller. Being cancelled while the client is there is such an error: then the server's
    patience at a shutdown is over.
    """

    def __init__(self, send: Send, failure: Callable[[ChompError], bytes], pulse: bytes) -> None:
        self._send = send
        self._failure = failure
        self._pulse = pulse
        self._now = asyncio.get_running_loop().time
        self._wrote_at = math.inf
        self._has_ended = False
        self.has_lost_client = False
        self.last = b""
        """The frames that end the stream."""

    @property
    def has_started(self) -> bool:
        return self._wrote_at != math.inf

    async def start(self, headers: list[tuple[bytes, bytes]]) -> None:
        """Promise a 200; from here on errors are events."""
        self._wrote_at = self._now()
        await self._send({"type": "http.response.start", "status": 200, "headers": [*_EVENT_HEADERS, *headers]})

    def write(self, frames: bytes) -> Awaitable[None]:
        """Frames that are ready, as one ASGI message."""
        self._wrote_at = self._now()
        return self._send({"type": "http.response.body", "body": frames, "more_body": True})

    @property
    def silent_until(self) -> float:
        """When a comment is due, on the event loop's clock."""
        return (self._wrote_at if self.has_started else self._now()) + KEEPALIVE_SECONDS

    async def keep_alive(self) -> None:
        if self.has_started and not self._has_ended and self._now() >= self.silent_until:
            await self.write(self._pulse)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        if not self.has_started or self.has_lost_client:
            return False
        if isinstance(error, asyncio.CancelledError):
            with anyio.move_on_after(LAST_WORDS_SECONDS):
                await self._end(self._failure(shutting_down()))
            return True
        if not isinstance(error, Exception | None):
            return False
        await self._end(self.last if error is None else self._failure(public_error(error)))
        return True

    async def _end(self, frames: bytes) -> None:
        self._has_ended = True  # a keep-alive behind it would be a write to an answer that is over
        await self._send({"type": "http.response.body", "body": frames, "more_body": False})


def shutting_down() -> Overloaded:
    """What is told to requests that the server's end cuts off."""
    return Overloaded("The gateway is shutting down.", hint="Ask again in a moment.", retry_after=1.0)


class HangUp:
    """Tells that the client of a connection has left, without a task that waits for it."""

    __slots__ = ("_has_happened", "_task")

    def __init__(self) -> None:
        self._has_happened = False
        self._task: asyncio.Task[Any] | None = None
        """Whose work it interrupts; the requests of a connection are answered one after the other."""

    def happen(self) -> None:
        self._has_happened = True
        if self._task is not None:
            self._task.cancel()

    async def interrupts(self, work: Callable[[], Awaitable[T]]) -> T:
        """Do the work. `ClientDisconnect` when the client leaves first."""
        # A cancel scope would cost ten times as much, for what no task group is part of.
        self._task = task = cast("asyncio.Task[Any]", asyncio.current_task())
        if self._has_happened:
            task.cancel()
        try:
            return await work()
        except asyncio.CancelledError:
            # Unless the server, at its end, has cancelled it as well.
            if self._has_happened and not task.uncancel():
                raise ClientDisconnect from None
            raise
        finally:
            self._task = None


def while_connected(
    scope: Scope, receive: Receive, work: Callable[[], Awaitable[T]], events: EventStream | None = None
) -> Awaitable[T]:
    """Do the work, keep `events` alive, and cancel both when the client hangs up; the body must have been read.

    Raises:
        ClientDisconnect: the client left first.
    """
    hang_up: HangUp | None = scope.get(HANG_UP)
    return hang_up.interrupts(work) if hang_up and events is None else _watched(receive, work, events)


async def _watched(receive: Receive, work: Callable[[], Awaitable[T]], events: EventStream | None) -> T:
    """For a client whose connection tells nobody that it has gone, or that must hear from us meanwhile."""

    async def watch() -> None:
        message: Message = {"type": ""}
        while message["type"] != "http.disconnect":
            with anyio.CancelScope(deadline=events.silent_until if events else math.inf):
                message = await receive()
            if events is not None:
                await events.keep_alive()
        if events is not None:
            events.has_lost_client = True
        cancelling.cancel()

    # A scope and a bare task: a task group would cost four times as much, and wrap what the work raises.
    with anyio.CancelScope() as cancelling:
        watching = asyncio.create_task(watch())
        try:
            return await work()
        finally:
            watching.cancel()
    raise ClientDisconnect
