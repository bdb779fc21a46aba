"""One HTTP/1.1 connection to a router: a request goes out, its answer comes in as the bytes do; llhttp parses it.

Whom to call, and with what, is decided in `client.py`; how to get through to them in `pool.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

import httptools

from chomp_mcp.messages import FailureKind

__all__ = ["Connection", "Stale", "Unreachable"]

MAX_HEAD_BYTES = 64 * 1024
MAX_WAITING_BYTES = 256 * 1024
"""Of an answer, not yet taken by whoever asked; the router has to wait then."""
FIRST_FINAL_STATUS = 200
_BODYLESS = frozenset({204, 304})


class Unreachable(Exception):
    """No answer, or the rest of one did not come.

    `kind` is TRANSIENT (refused, reset, cut, too much sent) or TIMEOUT, and BAD_KEY where the key itself cannot stand
    in a header. The text names the host and what happened.
    """

    def __init__(self, kind: FailureKind, message: str) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message


class Stale(Unreachable):
    """The router hung up before the first byte of its answer, as it may at any time between two exchanges."""


class Connection(asyncio.Protocol):
    """One exchange after the other: `await start(…)`, read `status` and `headers`, take the body, `release`.

    `host` is for the texts of errors.
    """

    def __init__(self, host: str) -> None:
        self.host = host
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._parser: Any = httptools.HttpResponseParser(self)
        self._waiter: asyncio.Future[None] | None = None
        self._is_idle = True
        self._begin()

    def _begin(self) -> None:
        """Nothing of the next answer has come."""
        self.status = 0
        self.headers: dict[str, str] = {}
        """Names in lower case; of those that are repeated, the last."""
        self._head_bytes = 0
        self._has_head = False
        self._parts: list[bytes] = []
        self._waiting_bytes = 0
        self._is_paused = False
        self._has_ended = False
        self._is_reusable = False
        self._is_broken = False

    @property
    def is_open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    @property
    def transport(self) -> asyncio.Transport:
        if self._transport is None:
            raise Stale(FailureKind.TRANSIENT, f"{self.host} broke the connection off.")
        return self._transport

    async def start(self, request: bytes, *, patience: float, until: float) -> None:
        """Send, and wait for the answer's head: `patience` seconds from when it all began, to `until` (loop's clock).

        After an `Unreachable`, or when cancelled, the connection is of no more use: `abort` it.
        """
        self._begin()
        self._is_idle = False
        self.transport.write(request)
        while not self._has_head:
            await self._news(patience, until)

    async def chunks(self, *, patience: float, limit: int) -> AsyncIterator[bytes]:
        """The body as it comes in. `Unreachable` if it breaks off, stalls for `patience` seconds or exceeds `limit`."""
        left = limit
        while True:
            if self._parts:
                data = self._taken()
                left -= len(data)
                if left < 0:
                    raise Unreachable(FailureKind.TRANSIENT, f"{self.host} sent more than {limit / 1024**2:.3g} MiB.")
                yield data
            elif self._has_ended:
                return
            else:
                await self._news(patience, self._loop.time() + patience)

    def arrived(self) -> bytes | None:
        """The whole body, where it is here already, as short ones are with their head; None: take the chunks."""
        return self._taken() if self._has_ended else None

    def release(self) -> bool:
        """End the exchange; whether another may follow. To hang up in mid-answer is how a router learns to stop."""
        if not (self._has_ended and self._is_reusable and self.is_open):
            self.abort()
            return False
        self._taken()
        self._is_idle = True
        return True

    def abort(self) -> None:
        """Hang up, and leave unsent what is unsent."""
        if self._transport is not None:
            self._transport.abort()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def _taken(self) -> bytes:
        parts, self._parts, self._waiting_bytes = self._parts, [], 0
        if self._is_paused and self.is_open:
            self._is_paused = False
            self.transport.resume_reading()
        return parts[0] if len(parts) == 1 else b"".join(parts)

    async def _news(self, patience: float, until: float) -> None:
        """Wait for something to happen: the head's end, some of the body, or all of it."""
        if self._is_broken:
            kind = Unreachable if self._head_bytes else Stale
            raise kind(FailureKind.TRANSIENT, f"{self.host} broke the connection off.")
        waiter = self._waiter = self._loop.create_future()
        timer = self._loop.call_at(until, self._lose_patience, waiter, patience)
        try:
            await waiter
        finally:
            self._waiter = None
            timer.cancel()

    def _lose_patience(self, waiter: asyncio.Future[None], patience: float) -> None:
        if not waiter.done():
            waiter.set_exception(Unreachable(FailureKind.TIMEOUT, f"{self.host} sent nothing for {patience:g} s."))

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _break(self) -> None:
        """What comes is no HTTP, or too much of it."""
        self._is_broken = not self._has_ended
        self._is_reusable = False
        self.abort()
        self._wake()

    # The event loop's side.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if self._is_idle:  # nobody has asked anything
            self.abort()
            return
        if not self._has_head:
            self._head_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._break()
            return
        if self._has_head:
            if self._waiting_bytes > MAX_WAITING_BYTES and not self._is_paused and self.is_open:
                self._is_paused = True
                self.transport.pause_reading()
            self._wake()
        elif self._head_bytes > MAX_HEAD_BYTES:
            self._break()

    def eof_received(self) -> None:
        """A body whose length nobody told ends here (RFC 9112, 6.3)."""
        told = self.headers.keys() & {"content-length", "transfer-encoding"}
        self._has_ended = self._has_ended or (self._has_head and not told)

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002 - what it was makes no difference
        self._is_broken = not self._has_ended
        self._transport = None
        self._parser = None  # each holds the other
        self._wake()

    # The parser's side.

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._has_head:  # else a trailer
            self.headers[name.decode("latin-1").lower()] = value.decode("latin-1").strip()

    def on_headers_complete(self) -> None:
        if self._has_head:  # of an answer that nobody asked for
            self._is_reusable = False
            return
        status = self._parser.get_status_code()
        if status < FIRST_FINAL_STATUS:  # 100 and 103: the answer itself is still to come
            self.headers = {}
            return
        self.status = status
        self._has_head = True

    def on_body(self, data: bytes) -> None:
        if not self._has_ended:
            self._parts.append(data)
            self._waiting_bytes += len(data)

    def on_message_complete(self) -> None:
        if self._has_head and not self._has_ended:
            self._has_ended = True
            self._is_reusable = self._parser.should_keep_alive()
