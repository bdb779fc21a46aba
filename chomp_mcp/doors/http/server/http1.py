"""HTTP on the wire, around uvicorn: bytes that are no HTTP, heads that never end, and answers in fewer pieces."""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
import sys
import time
from contextlib import suppress
from functools import cache
from http import HTTPStatus
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from chomp_mcp.doors.http.asgi import HANG_UP, HangUp, error_answer
from chomp_mcp.doors.http.guard import request_id
from chomp_mcp.errors import ChompError, InvalidRequest, Overloaded, TooLarge, TooSlow

HEAD_SECONDS = 30.0
"""From the connection, or the first byte of a further request, to the end of the head."""
LINGER_SECONDS = 0.5
"""How long an idle connection still takes a request while the server ends."""
MAX_HEAD_BYTES = 64 * 1024
MAX_HEADERS = 128
MAX_PIPELINED = 32
"""How many requests of one connection may wait for the answer to an earlier one; no client in use sends many."""
SPARE_FILES = 32
"""For the store, logs and modules that are loaded late."""
SPARE_CONNECTIONS = 8
"""Beyond the most, to tell them so."""
SPARE_SECONDS = 1.0
"""How long each of these has for its head."""
TOLD_SECONDS = 10.0
"""How often the log says that there are too many."""
STALLED_SECONDS = 60.0
"""How long a client may leave what we write unread, before its connection is cut and what it holds is freed."""
UNSENT_BYTES = 128 * 1024
"""What the system holds for a client that reads slowly. Its own measure is megabytes, and it takes more only when a
third of them has gone: who reads 20 kB a second would pass for one that reads nothing."""

_log = logging.getLogger("chomp_mcp.http")


class Joining:
    """A transport that writes the head of an answer together with the first of its body, if that comes in this turn.

    uvicorn writes them apart, and its event loop at once: a system call and a packet more for every answer.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self.is_closing = transport.is_closing
        self._loop = loop
        self._head = b""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        if self._head:
            data, self._head = self._head + data, b""
        elif data.startswith(b"HTTP/1.") and data.endswith(b"\r\n\r\n"):
            # A body that looks so is late by nothing but the rest of the turn.
            self._head = data
            self._loop.call_soon(self._flush)
            return
        self._transport.write(data)

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        if self._head:
            self.write(b"")


class _Cycle(RequestResponseCycle):
    """uvicorn's, but for whole answers: their head is looked through in one step, and goes out with the body.

    uvicorn searches each name and each value of each answer by itself, half of what its `send` costs.
    """

    _head = b""
    """Of a whole answer, until its body is here."""

    async def send(self, message: Any) -> None:
        if self._head and message["type"] == "http.response.body" and not self.disconnected:
            head, self._head = self._head, b""
            body = message.get("body", b"")
            if not message.get("more_body", False) and len(body) == self.expected_content_length:
                self.transport.write(head + body)
                self.response_complete = True
                self.message_event.set()
                self.on_response()
                return
            self.transport.write(head)
        elif not (self.response_started or self.disconnected or self.flow.write_paused) and self.keep_alive:
            headers = [*self.default_headers, *message.get("headers", ())]
            named = dict(headers)
            if _NOT_WHOLE.isdisjoint(named) and b"content-length" in named and self.scope["method"] == "POST":
                lines = b"\r\n".join([b": ".join(header) for header in headers])
                # Between two lines are two control characters, and nowhere else is one, so no value can split the head.
                if len(lines) - len(lines.translate(None, _CONTROLS)) == 2 * (len(headers) - 1):
                    self._head = b"%b%b\r\n\r\n" % (STATUS_LINE[message["status"]], lines)
                    self.expected_content_length = int(named[b"content-length"])
                    self.response_started, self.chunked_encoding = True, False
                    self.waiting_for_100_continue = False
                    return
        await super().send(message)


_NOT_WHOLE = frozenset({b"connection", b"transfer-encoding"})
_CONTROLS = bytes({*range(32), 127} - {ord("\t")})


class Protocol(HttpToolsProtocol):
    """uvicorn's, which tells its refusals in our envelope, and bounds what it has not: heads, and readers that stop.

    By hand because uvicorn has no setting for either: `h11_max_incomplete_event_size` is that of its slower protocol.
    """

    _deadline: asyncio.TimerHandle | None = None
    _stalled: asyncio.TimerHandle | None = None
    _is_one_too_many = False
    _told_at = 0.0
    """Of all connections of the process."""
    _is_ending = False
    _is_full = False
    """More requests came than may wait: the last that may is the connection's last, and no more is read."""
    _unclaimed = 0
    """Bytes that came in since a head, a body or a part of one was complete: an endless head, chunk or trailer."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(cast("asyncio.Transport", Joining(transport, self.loop)))
        self._hang_up = HangUp()
        if hasattr(socket, "TCP_NOTSENT_LOWAT"):
            with suppress(OSError):  # no TCP
                made = transport.get_extra_info("socket")
                made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES)
        if (count := len(self.connections) - most_connections()) > 0:
            self._is_one_too_many = True
            if time.monotonic() - Protocol._told_at > TOLD_SECONDS:
                Protocol._told_at = time.monotonic()
                _log.error("%d connections are open, and more are refused: raise ulimit -n", len(self.connections))
            if count > SPARE_CONNECTIONS:
                self.transport.abort()
        self._mind_the_head()

    def data_received(self, data: bytes) -> None:
        if self._is_full:
            return
        self._unclaimed += len(data)
        super().data_received(data)
        self._mind_the_head()
        if self._unclaimed > MAX_HEAD_BYTES:
            self._refuse(_head_too_large())

    def on_headers_complete(self) -> None:
        self._unclaimed = 0
        if self._is_full:
            return
        size = len(self.url)
        for name, value in self.headers:
            size += len(name) + len(value)
        if len(self.headers) > MAX_HEADERS or size > MAX_HEAD_BYTES:
            self._refuse(_head_too_large())
        elif self._is_one_too_many:
            many = f"{most_connections():,} connections are open, and that is the most."
            hint = "Ask again in a moment; the limit follows from `ulimit -n`."
            self._refuse(Overloaded(many, hint=hint, retry_after=1.0))
        elif len(self.pipeline) >= MAX_PIPELINED:
            # RFC 9112, 9.3.2: a client asks again what a closed connection has left unanswered. One packet may hold
            # thousands of requests of thirty bytes, which are kilobytes each as soon as they are read.
            self._is_full, self.cycle.keep_alive = True, False
        else:
            super().on_headers_complete()
            if bool(self.cycle):
                self.cycle.__class__ = _Cycle  # uvicorn names its own in the middle of that function
                if self._is_ending:
                    self.cycle.keep_alive = False

    def on_body(self, body: bytes) -> None:
        self._unclaimed = 0
        if not self._is_full and self.cycle is not None:  # None after a refused head
            super().on_body(body)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stalled = self.loop.call_later(STALLED_SECONDS, self._cut)

    def _cut(self) -> None:
        """With a reset: what nobody reads would stay in the system's memory, and be offered again for an hour."""
        with suppress(OSError):
            option = struct.pack("ii", 1, 0)
            self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, option)
        self.transport.abort()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._hear_them_read()

    def _hear_them_read(self) -> None:
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None

    def on_message_complete(self) -> None:
        """Most requests come in at once: their bodies need no clock, and no task has to wait for their client's end."""
        self._unclaimed = 0
        if self.transport.is_closing() or self._is_full:
            return  # a refused head, or what nobody reads
        super().on_message_complete()
        cast("dict[str, Any]", self.scope)[HANG_UP] = self._hang_up
        if not self.pipeline:
            # uvicorn stops to read at a large body until somebody takes it, and would not see the client's end.
            self.flow.resume_reading()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.pipeline:  # uvicorn reads on after each answer, while the requests that wait only become more
            self.flow.pause_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        self._relax()
        self._hear_them_read()
        self._hang_up.happen()
        super().connection_lost(exc)

    def shutdown(self) -> None:
        """The server ends. A balancer may be writing into an idle connection just now: that is answered as the last."""
        self._is_ending = True
        if bool(self.cycle) and self.cycle.response_complete:
            self.loop.call_later(LINGER_SECONDS, super().shutdown)
        else:
            super().shutdown()

    def _mind_the_head(self) -> None:
        """A deadline where no request is under way and uvicorn has none of its own, as it has between requests."""
        is_busy = bool(self.cycle) and not self.cycle.response_complete
        if is_busy or self.timeout_keep_alive_task is not None:
            self._relax()
        elif self._deadline is None and not self.transport.is_closing():
            seconds = SPARE_SECONDS if self._is_one_too_many else HEAD_SECONDS
            self._deadline = self.loop.call_later(seconds, self._give_up)

    def _relax(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _give_up(self) -> None:
        if bool(self.scope) and "path" not in self.scope:  # uvicorn sets it at the head's end
            self._refuse(TooSlow("The head took too long.", hint=f"Send it within {HEAD_SECONDS:g} seconds."))
        else:
            self.transport.close()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - "Invalid HTTP request received."
        """What uvicorn calls for bytes that are no HTTP."""
        self._refuse(InvalidRequest("These bytes are no HTTP request.", hint="Speak HTTP/1.1, without TLS."))

    def _refuse(self, error: ChompError) -> None:
        """Answer, unless an answer is on its way already, and close."""
        if self.transport.is_closing():
            return
        has_begun = bool(self.cycle) and self.cycle.response_started and not self.cycle.response_complete
        if not has_begun:
            answer = error_answer(error)
            headers = [*self.server_state.default_headers, *answer.raw_headers, (b"x-request-id", request_id({}))]
            lines = [b"%b: %b\r\n" % header for header in headers if header[0] != b"connection"]
            body = bytes(answer.body)
            self.transport.write(b"".join([STATUS_LINE[error.status], *lines, b"connection: close\r\n\r\n", body]))
        self.transport.close()


@cache
def most_connections() -> int:
    """How many this process serves at once: each may need a second socket, to a router."""
    if sys.platform == "win32":
        return 10_000
    import resource

    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 1_000_000 if files == resource.RLIM_INFINITY else max(SPARE_CONNECTIONS, (files - SPARE_FILES) // 2)


def _head_too_large() -> TooLarge:
    error = TooLarge(
        f"The head is larger than {MAX_HEAD_BYTES >> 10} KiB, or has more than {MAX_HEADERS} headers.",
        hint="Send less.",
    )
    error.status = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
    return error
