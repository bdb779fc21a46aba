"""One HTTP/1.1 connection to a router: a request goes out, its answer comes in as the bytes do; llhttp parses it.

Whom to call, and with what, is decided in `client.py`; how to get through to them in `pool.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

import httptools

from chomp_mcp.messages import FailureKind

__all__ = ["Connection", "Incoming", "Stale", "Unreachable"]

MAX_HEAD_BYTES = 64 * 1024
MAX_WAITING_BYTES = 256 * 1024
"""Of an answer, not yet taken by whoever asked; the router has to wait then."""
FIRST_FINAL_STATUS = 200


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


class Incoming:
    """An answer on its way in. Its bytes are its own: what comes for the next exchange does not reach it."""

    __slots__ = (
        "_connection",
        "_parts",
        "_waiter",
        "_waiting_bytes",
        "has_ended",
        "has_head",
        "head_bytes",
        "headers",
        "is_broken",
        "status",
    )

    def __init__(self, connection: Connection) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        """Names in lower case; of those that are repeated, the last."""
        self.head_bytes = 0
        self.has_head = False
        self.has_ended = False
        self.is_broken = False
        self._connection = connection
        self._parts: list[bytes] = []
        self._waiting_bytes = 0
        self._waiter: asyncio.Future[None] | None = None

    async def chunks(self, *, patience: float, limit: int) -> AsyncIterator[bytes]:
        """The body as it comes in. `Unreachable` if it breaks off, stalls for `patience` seconds or exceeds `limit`."""
        left = limit
        while True:
            if self._parts:
                data = self._taken()
                left -= len(data)
                if left < 0:
                    raise self._connection.failed(f"{{host}} sent more than {limit / 1024**2:.3g} MiB.")
                yield data
            elif self.has_ended:
                return
            else:
                await self.news(patience, self._connection.loop.time() + patience)

    def arrived(self) -> bytes | None:
        """The whole body, where it is here already, as short ones are with their head; None: take the chunks."""
        return self._taken() if self.has_ended else None

    def _taken(self) -> bytes:
        parts, self._parts, self._waiting_bytes = self._parts, [], 0
        self._connection.resume(self)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def add(self, data: bytes) -> None:
        self._parts.append(data)
        self._waiting_bytes += len(data)

    @property
    def is_waiting(self) -> bool:
        """For whoever asked, with more than may wait."""
        return self._waiting_bytes > MAX_WAITING_BYTES

    async def news(self, patience: float, until: float) -> None:
        """Wait for something to happen: the head's end, some of the body, or all of it."""
        connection = self._connection
        if self.is_broken:
            raise connection.failed("{host} broke the connection off.", Unreachable if self.head_bytes else Stale)
        waiter = self._waiter = connection.loop.create_future()
        timer = connection.loop.call_at(until, self._lose_patience, waiter, patience)
        try:
            await waiter
        finally:
            self._waiter = None
            timer.cancel()

    def _lose_patience(self, waiter: asyncio.Future[None], patience: float) -> None:
        if not waiter.done():
            told = f"{self._connection.host} sent nothing for {patience:g} s."
            waiter.set_exception(Unreachable(FailureKind.TIMEOUT, told))

    def wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class Connection(asyncio.Protocol):
    """One exchange after the other: `await start(…)` gives the answer from its head on; `release` ends the exchange.

    `host` is for the texts of errors.
    """

    def __init__(self, host: str) -> None:
        self.host = host
        self.loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._parser: Any = httptools.HttpResponseParser(self)
        self._incoming: Incoming | None = None
        """None between two exchanges."""
        self._is_paused = False
        self._is_reusable = False

    @property
    def is_open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    @property
    def transport(self) -> asyncio.Transport:
        if self._transport is None:
            raise self.failed("{host} broke the connection off.", Stale)
        return self._transport

    async def start(self, request: bytes, *, patience: float, until: float) -> Incoming:
        """Send, and wait for the answer's head: `patience` seconds from when it all began, to `until` (loop's clock).

        Release the connection whatever happens.
        """
        incoming = self._incoming = Incoming(self)
        self._is_reusable = False
        self.transport.write(request)
        while not incoming.has_head:
            await incoming.news(patience, until)
        return incoming

    def release(self) -> bool:
        """End the exchange; whether another may follow. To hang up in mid-answer is how a router learns to stop."""
        incoming, self._incoming = self._incoming, None
        if incoming is not None and incoming.has_ended and self._is_reusable and self.is_open:
            self._resume()
            return True
        self.abort()
        return False

    def abort(self) -> None:
        """Hang up, and leave unsent what is unsent."""
        if self._transport is not None:
            self._transport.abort()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def resume(self, incoming: Incoming) -> None:
        """Whoever asked for the answer has taken what had come."""
        if incoming is self._incoming:
            self._resume()

    def _resume(self) -> None:
        if self._is_paused and self.is_open:
            self._is_paused = False
            self.transport.resume_reading()

    def failed(self, words: str, kind: type[Unreachable] = Unreachable) -> Unreachable:
        return kind(FailureKind.TRANSIENT, words.format(host=self.host))

    def _break(self) -> None:
        """What comes is no HTTP, or too much of it."""
        self._is_reusable = False
        self.abort()
        if self._incoming is not None:
            self._incoming.is_broken = not self._incoming.has_ended
            self._incoming.wake()

    # The event loop's side.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        incoming = self._incoming
        if incoming is None:  # nobody has asked anything
            self.abort()
            return
        if not incoming.has_head:
            incoming.head_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._break()
            return
        if incoming.has_head:
            if incoming.is_waiting and not self._is_paused and self.is_open:
                self._is_paused = True
                self.transport.pause_reading()
            incoming.wake()
        elif incoming.head_bytes > MAX_HEAD_BYTES:
            self._break()

    def eof_received(self) -> None:
        """A body whose length nobody told ends here (RFC 9112, 6.3)."""
        incoming = self._incoming
        if incoming is not None and incoming.has_head:
            told = incoming.headers.keys() & {"content-length", "transfer-encoding"}
            incoming.has_ended = incoming.has_ended or not told

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002 - what it was makes no difference
        self._transport = None
        self._parser = None  # each holds the other
        if self._incoming is not None:
            self._incoming.is_broken = not self._incoming.has_ended
            self._incoming.wake()

    # The parser's side. An answer that nobody asked for, behind the one that somebody did, ends the connection.

    def on_header(self, name: bytes, value: bytes) -> None:
        incoming = self._incoming
        if incoming is not None and not incoming.has_head:  # else a trailer
            incoming.headers[name.decode("latin-1").lower()] = value.decode("latin-1").strip()

    def on_headers_complete(self) -> None:
        incoming = self._incoming
        if incoming is None or incoming.has_head:
            self._is_reusable = False
            return
        status = self._parser.get_status_code()
        if status < FIRST_FINAL_STATUS:  # 100 and 103: the answer itself is still to come
            incoming.headers = {}
            return
        incoming.status = status
        incoming.has_head = True

    def on_body(self, data: bytes) -> None:
        incoming = self._incoming
        if incoming is not None and not incoming.has_ended:
            incoming.add(data)

    def on_message_complete(self) -> None:
        incoming = self._incoming
        if incoming is not None and incoming.has_head and not incoming.has_ended:
            incoming.has_ended = True
            self._is_reusable = self._parser.should_keep_alive()
