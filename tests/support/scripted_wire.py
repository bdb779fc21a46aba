"""One connection of the scripted router: requests in, answers out, byte by byte."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import parse_qs, urlsplit

__all__ = ["Connection", "CutError", "Play", "Recorded", "Wire"]


@dataclass
class Recorded:
    """A request as it came; header names in lower case."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes
    connection: int
    """Which TCP connection brought it: 0 is the first."""

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, list[str]]:
        return parse_qs(urlsplit(self.target).query)

    @property
    def json(self) -> Any:
        try:
            return json.loads(self.body)
        except ValueError:
            return {}

    @property
    def model(self) -> str:
        return self.json.get("model", "") if isinstance(self.json, dict) else ""

    @property
    def key(self) -> str:
        own = self.headers.get("x-api-key") or self.headers.get("x-goog-api-key", "")
        return self.headers.get("authorization", "").removeprefix("Bearer ") or own

    @property
    def wants_stream(self) -> bool:
        return isinstance(self.json, dict) and bool(self.json.get("stream"))

    @property
    def wants_usage(self) -> bool:
        return bool((self.json.get("stream_options") or {}).get("include_usage"))


class CutError(Exception):
    """The script says: this many bytes, and no more."""


class Wire:
    """One answer on its way out; for scripts of your own (`upstream.play(my_function)`)."""

    def __init__(self, connection: Connection, headers: Mapping[str, str]) -> None:
        self._connection = connection
        self._headers = headers
        self._chunked = False
        self.limit: int | None = None
        """Bytes that may still go out, head included, before the connection is cut."""
        self.reset = False
        """Cut with a reset instead of an end."""

    async def raw(self, data: bytes) -> None:
        if self.limit is not None and len(data) >= self.limit:
            await self._connection.write(data[: self.limit])
            raise CutError
        if self.limit is not None:
            self.limit -= len(data)
        await self._connection.write(data)

    async def head(self, status: int, headers: Mapping[str, str] | None = None, length: int | None = None) -> None:
        """Status line and headers; without a length the body is chunked."""
        self._chunked = length is None
        framing = {"transfer-encoding": "chunked"} if length is None else {"content-length": str(length)}
        fields = {"content-type": "application/json", **framing, **self._headers, **(headers or {})}
        lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        await self.raw(f"HTTP/1.1 {status} Scripted\r\n{lines}\r\n".encode("latin-1"))

    async def send(self, data: bytes) -> None:
        if data:
            await self.raw(b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data)

    async def end(self) -> None:
        if self._chunked:
            await self.raw(b"0\r\n\r\n")

    async def whole(self, status: int, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        await self.head(status, headers, len(body))
        await self.send(body)

    def cut(self) -> None:
        """End the connection here, in the middle of the answer."""
        raise CutError

    async def gone(self) -> None:
        """Wait until the client hangs up (or the test ends)."""
        await asyncio.Event().wait()


Play = Callable[[Recorded, Wire], Awaitable[None]]


class Host(Protocol):
    """What a connection tells and asks its router."""

    headers: dict[str, str]
    connections: set[Connection]
    disconnects: list[Recorded]
    errors: list[Exception]
    finished: int

    def take_number(self) -> int: ...
    def take(self, request: Recorded) -> Play: ...
    def changed(self) -> None: ...


class Connection(asyncio.Protocol):
    """One TCP connection: requests in, answers out, one after the other."""

    def __init__(self, router: Host) -> None:
        self._router = router
        self._number = router.take_number()
        self._buffer = bytearray()
        self._inbox: asyncio.Queue[Recorded] = asyncio.Queue()
        self._writable = asyncio.Event()
        self._writable.set()
        self._playing: Recorded | None = None

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._router.connections.add(self)
        self._task = asyncio.get_running_loop().create_task(self._serve())

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (request := self._parse()) is not None:
            self._inbox.put_nowait(request)

    def connection_lost(self, _error: Exception | None) -> None:
        self._router.connections.discard(self)
        if self._playing is not None:
            self._router.disconnects.append(self._playing)
        self._router.changed()
        self._writable.set()
        self._task.cancel()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    async def write(self, data: bytes) -> None:
        self._transport.write(data)
        await self._writable.wait()
        if self._transport.is_closing():  # the client has gone: `connection_lost` ends this
            await asyncio.Event().wait()

    def abort(self) -> None:
        self._playing = None
        self._transport.abort()

    def _parse(self) -> Recorded | None:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return None
        first, *lines = self._buffer[:end].decode("latin-1").split("\r\n")
        headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        stop = end + 4 + int(headers.get("content-length", 0))
        if len(self._buffer) < stop:
            return None
        method, target, _ = first.split(" ", 2)
        body = bytes(self._buffer[end + 4 : stop])
        del self._buffer[:stop]
        return Recorded(method, target, headers, body, self._number)

    async def _serve(self) -> None:
        while not self._transport.is_closing():
            request = await self._inbox.get()
            self._playing = request
            play = self._router.take(request)
            wire = Wire(self, self._router.headers)
            try:
                await play(request, wire)
            except CutError:
                self._end(reset=wire.reset)
            except Exception as error:  # noqa: BLE001 - the test is told what its script did
                self._router.errors.append(error)
                self._end(reset=True)
            self._playing = None
            self._router.finished += 1
            self._router.changed()
            if request.headers.get("connection", "").lower() == "close":
                self._transport.close()

    def _end(self, *, reset: bool) -> None:
        self._playing = None
        if reset:
            raw = self._transport.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.close()
