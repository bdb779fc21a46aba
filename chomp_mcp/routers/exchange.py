"""One exchange with a router over one connection: the request on its way, and the answer's bytes as they come in."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.client_reqrep import ClientRequest, ConnectionKey
from aiohttp.http import StreamWriter
from aiohttp.http_exceptions import ContentEncodingError, HttpProcessingError
from yarl import URL

from chomp_mcp.messages import FailureKind, WireRequest
from chomp_mcp.routers.response import Unreachable
from chomp_mcp.routers.target import Target, basic_credentials, head

if TYPE_CHECKING:
    from aiohttp.connector import Connection
    from aiohttp.http import RawResponseMessage


MAX_HEAD_LINES, MAX_HEAD_LINE_BYTES = 256, 32 * 1024
FIRST_FINAL_STATUS = 200
SWITCHING_PROTOCOLS = 101
"""Final as well, and wrong: nobody asked for another protocol."""
LARGE_BODY_BYTES = 1024 * 1024
"""From here on in pieces, so that others have their turn between them."""
CHUNK_BYTES = 64 * 1024
"""Read ahead of whoever asked: twice that, then the router has to wait."""


class Sent(ClientRequest):
    """A request, and what became of it on the wire."""

    is_resent = False
    is_connecting = False
    is_late = False
    """The router has had its time."""
    protocol: Exchanges | None = None
    """Of the connection that carries it, or has carried it."""
    connection: Connection | None = None
    """While it is not over."""
    content: aiohttp.StreamReader
    """Of the answer, from its head on."""
    sending: asyncio.Task[None] | None = None
    """Of a large body: an answer may come before its end."""
    head = b""
    data = b""

    def __init__(self, target: Target, proxy: SplitResult | None, tls: ssl.SSLContext | bool) -> None:
        """Only the way that it takes: what the connector reads of it."""
        self.target = target
        self.socks = proxy if proxy and proxy.scheme not in {"http", "https"} else None
        self.to_proxy: dict[str, str] = {}
        """Headers for a proxy that passes on what it reads."""
        options: dict[str, Any] = {}
        if proxy is not None and self.socks is None:
            options["proxy"] = URL(proxy._replace(netloc=proxy.netloc.rpartition("@")[2]).geturl())
            if credentials := basic_credentials(proxy):
                to_proxy = {"proxy-authorization": credentials}
                if target.scheme == "http":
                    self.to_proxy = to_proxy
                else:
                    options["proxy_headers"] = to_proxy
        loop = asyncio.get_running_loop()
        super().__init__("GET", URL(target.url, encoded=True), loop=loop, ssl=tls, **options)
        # RFC 9112, 3.2.2: such a proxy is told the whole URL.
        self.path = target.url if self.proxy and not self.is_ssl() else self.url.raw_path_qs
        _ = self.connection_key  # so that the copies have it, too

    def begun(self, request: WireRequest) -> Sent:
        """This request on the way of another; what aiohttp works out of a URL is worked out once."""
        made = object.__new__(Sent)
        made.__dict__.update(self.__dict__)
        made.head, made.data = head(request, self.target, self.path, self.to_proxy), request.body
        return made

    @cached_property
    def connection_key(self) -> ConnectionKey:
        return super().connection_key

    @property
    def was_lost(self) -> bool:
        """It met a connection that had carried others, and that ended before a byte of the answer came."""
        return self.protocol is not None and self.protocol.exchanges > 1 and not self.protocol.has_answered

    async def exchanged(self, connection: Connection) -> RawResponseMessage:
        """The answer's head; its body is `content` then."""
        self.connection = connection
        if self.is_late:
            self.hang_up()
            raise TimeoutError
        protocol: Any = connection.protocol
        self.protocol = protocol
        try:
            protocol.set_response_params(
                read_until_eof=True,
                read_bufsize=CHUNK_BYTES,
                max_line_size=MAX_HEAD_LINE_BYTES,
                max_field_size=MAX_HEAD_LINE_BYTES,
                max_headers=MAX_HEAD_LINES,
            )
            if len(self.data) >= LARGE_BODY_BYTES:
                self.sending = asyncio.create_task(self._send_large(protocol))
            elif protocol.transport is not None:  # it may have ended just now: then reading says why
                protocol.transport.write(self.head + self.data)
            message, self.content = await protocol.read()
            while message.code < FIRST_FINAL_STATUS and message.code != SWITCHING_PROTOCOLS:
                message, self.content = await protocol.read()
        except BaseException:
            self.hang_up()
            raise
        if self.is_late:
            raise TimeoutError
        if type(self.content) is aiohttp.StreamReader:
            self.content.__class__ = _Body
        self.content.on_eof(self._ended)
        return message  # type: ignore[no-any-return]

    async def _send_large(self, protocol: Exchanges) -> None:
        """In pieces, so that others have their turn between them."""
        writer, data = StreamWriter(protocol, self.loop), memoryview(self.data)
        with suppress(aiohttp.ClientConnectionError, OSError):  # whoever reads the answer learns of it
            await writer.write(self.head)
            for start in range(0, len(data), CHUNK_BYTES):
                await writer.write(data[start : start + CHUNK_BYTES])
                await asyncio.sleep(0)

    async def next_bytes(self) -> bytes:
        try:
            return await self.content.readany()
        except aiohttp.ClientPayloadError as error:
            is_packed_wrong = isinstance(error.__cause__, ContentEncodingError)
            what = "sent something that cannot be unpacked." if is_packed_wrong else "broke the connection off."
            raise Unreachable(FailureKind.TRANSIENT, f"{self.target.name} {what}") from None
        except (aiohttp.ClientError, HttpProcessingError, OSError):
            raise Unreachable(FailureKind.TRANSIENT, f"{self.target.name} broke the connection off.") from None

    def at_once(self) -> bytes | None:
        """The whole body, where it has come."""
        return self.content.read_nowait() if self.content.is_eof() and self.content.exception() is None else None

    def _ended(self) -> None:
        """The answer is there: its connection is free for others, unless some of the request is still unsent."""
        if self.sending is not None and not self.sending.done():
            self.hang_up()
        elif self.connection is not None:
            self.connection.release()
            self.connection = None

    def give_up(self) -> None:
        """Who waits for the answer's head waits no more."""
        self.is_late = True
        self.hang_up()

    def hang_up(self) -> None:
        """At once, also where some of the request is still unsent; nothing after the end of the answer."""
        connection, self.connection = self.connection, None
        if self.sending is not None:
            self.sending.cancel()
        if connection is None:
            return
        if connection.transport is not None:
            connection.transport.abort()
        connection.close()


class Exchanges(ResponseHandler):
    """A connection that knows how many exchanges it has carried, and that speaks only when asked."""

    exchanges = 0
    has_answered = False
    is_idle = False

    def set_response_params(self, **how: Any) -> None:
        self.exchanges += 1
        self.has_answered = self.is_idle = False
        super().set_response_params(**how)

    def data_received(self, data: bytes) -> None:
        if data and self.is_idle:  # nobody has asked: it must not be taken for the next answer
            self.abort()
            return
        self.has_answered = True
        super().data_received(data)

    def resume_reading(self, resume_parser: bool = True) -> None:
        # aiohttp calls this for every chunk that is read, and enters its parser each time.
        if self._reading_paused:
            super().resume_reading(resume_parser)


class _Body(aiohttp.StreamReader):
    """An answer's body, read all at once as far as it has come; aiohttp's own reader looks at each of its pieces.

    The parser makes that one, and lets nobody choose another: it becomes this one when the head is there.
    """

    __slots__ = ()

    async def readany(self) -> bytes:
        if self._exception is not None:
            raise self._exception
        while not self._buffer and not self._eof:
            await self._wait("readany")
        return self._read_nowait(-1)

    def _read_nowait(self, n: int) -> bytes:  # noqa: ARG002 - always all
        data = b"".join(self._buffer)
        self._buffer.clear()
        self._size = 0
        self._protocol.resume_reading()
        return data

    def begin_http_chunk_receiving(self) -> None:
        """Where chunks begin and end is nothing to whoever reads."""

    def end_http_chunk_receiving(self) -> None:
        # Very small ones take more memory than their bytes do.
        if len(self._buffer) > self._high_water_chunks:
            self._protocol.pause_reading()
