"""stdin and stdout as MCP's transport: a message a line, whatever hosts write, and an end when they have gone.

The SDK's own has no place before its parser, waits for a thread in stdin when stdout is gone, and drops what it cannot
read without a word.
"""

from __future__ import annotations

import asyncio
import os
import re
import select
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any, Final

import anyio
from anyio.abc import ObjectReceiveStream, ObjectSendStream
from mcp.server.mcpserver import MCPServer
from mcp.shared.message import SessionMessage
from mcp.types import INVALID_REQUEST, PARSE_ERROR, ErrorData, JSONRPCError, RequestId, jsonrpc_message_adapter
from pydantic import ValidationError

from chomp_mcp.doors.mcp.incoming import read

CHUNK_BYTES: Final = 1 << 16
MAX_LINE_BYTES: Final = 64 << 20
"""More is no message; it is read to its end and dropped."""
MOST_WAITING: Final = 16
"""Lines that were read and wait to be served; the pipe holds the rest back."""


def claim() -> tuple[int, int]:
    """Take stdin and stdout for the protocol alone: what else is read is nothing, what else is printed is on stderr."""
    wire = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    try:
        os.dup2(2, 1)
    except OSError:  # the host closed stderr
        os.dup2(nothing, 1)
    os.close(nothing)
    if sys.platform == "win32":
        from mcp.os.win32.utilities import rebind_std_handle_to_fd

        for fd in (0, 1):
            with suppress(OSError):
                rebind_std_handle_to_fd(fd)
    return wire


async def serve_lines(server: MCPServer[Any]) -> None:
    """Serve on stdin and stdout until stdin ends.

    Raises:
        BrokenPipeError: the host closed stdout.
    """
    lowlevel = server._lowlevel_server  # noqa: SLF001 - its one way to a stream of our own
    fd_in, fd_out = claim()
    lines = Lines(fd_in, fd_out)
    await lowlevel.run(lines, lines.out, lowlevel.create_initialization_options())
    if lines.out.is_broken:
        raise BrokenPipeError


class Lines(ObjectReceiveStream[SessionMessage | Exception]):
    """The messages from stdin. Lines that are none are answered, so that no client waits for ever.

    A thread of its own reads, which nobody waits for at the end.
    """

    def __init__(self, fd_in: int, fd_out: int) -> None:
        self.out = Out(fd_out, self._end)
        self._waiting: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._room = threading.Semaphore(MOST_WAITING)
        self._loop = asyncio.get_running_loop()
        threading.Thread(target=self._read, args=(fd_in,), daemon=True, name="stdin").start()

    async def receive(self) -> SessionMessage | Exception:
        """The next message (`anyio.EndOfStream` after the last one)."""
        while True:
            line = await self._waiting.get()
            if line is None:
                self._end()  # the SDK reads once more where the end comes before the first request
                raise anyio.EndOfStream
            self._room.release()
            message = message_of(line)
            if isinstance(message, SessionMessage):
                return message
            if message is not None:
                await self.out.send(SessionMessage(message))

    async def aclose(self) -> None:
        """Nothing to close: the thread ends with stdin, or with the process."""

    def _end(self) -> None:
        self._waiting.put_nowait(None)

    def _read(self, fd: int) -> None:
        with suppress(RuntimeError):  # the loop has ended before stdin did
            for line in split_lines(lambda: os.read(fd, CHUNK_BYTES)):
                self._room.acquire()
                self._loop.call_soon_threadsafe(self._waiting.put_nowait, line)
            self._loop.call_soon_threadsafe(self._end)


class Out(ObjectSendStream[SessionMessage]):
    """The messages to stdout; `on_break` is called when nobody reads them any more."""

    def __init__(self, fd: int, on_break: Callable[[], None]) -> None:
        self._fd = fd
        self._on_break = on_break
        self._turn = anyio.Lock()
        self.is_broken = False
        if hasattr(select, "poll"):  # not on Windows, where the next answer tells
            loop = asyncio.get_running_loop()
            threading.Thread(target=self._watch, args=(loop,), daemon=True, name="stdout").start()

    def _watch(self, loop: asyncio.AbstractEventLoop) -> None:
        """A host that closed our stdout is gone, though its stdin may stay open in a child of its own."""
        gone = select.poll()
        gone.register(self._fd, 0)  # errors and hang-ups are told unasked
        gone.poll()
        self.is_broken = True
        with suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(self._on_break)

    async def send(self, item: SessionMessage) -> None:
        """Write the message's line, after those before it."""
        line = item.message.model_dump_json(by_alias=True, exclude_unset=True).encode() + b"\n"
        async with self._turn:
            if not self.is_broken:
                await anyio.to_thread.run_sync(self._write, line)
                if self.is_broken:
                    self._on_break()

    def _write(self, line: bytes) -> None:
        left = memoryview(line)
        try:
            while left:
                left = left[os.write(self._fd, left) :]
        except OSError:
            self.is_broken = True

    async def aclose(self) -> None:
        """Nothing to close: the process ends soon."""


def split_lines(read_chunk: Callable[[], bytes]) -> Iterator[bytes]:
    """The lines of what comes in, without their ends; of one that is longer than a message may be only a beginning."""
    held: list[bytes] = []
    size = 0
    while True:
        try:
            chunk = read_chunk()
        except OSError:  # a terminal that is gone
            break
        if not chunk:
            break
        *ended, rest = chunk.split(b"\n")
        for part in ended:
            yield b"".join([*held, part])
            held, size = [], 0
        size += len(rest)
        if size <= MAX_LINE_BYTES:
            held.append(rest)
    if any(held):
        yield b"".join(held)


def message_of(line: bytes) -> SessionMessage | JSONRPCError | None:
    """The message; or the answer to a line that is none; None where nothing is to be said."""
    text = read(line.decode("utf-8", "replace"))
    if isinstance(text, JSONRPCError):
        return text
    try:
        return SessionMessage(jsonrpc_message_adapter.validate_json(text, by_name=False))
    except ValidationError as error:
        return refusal(error)


_ID = re.compile(r'"jsonrpc"\s*:\s*"2\.0"\s*,\s*"id"\s*:\s*(?:(-?\d{1,18})\b|"([^"\\]{1,200})")')
"""How the SDKs write it: Python's at the beginning of the line, TypeScript's at its end."""


def refusal(error: ValidationError) -> JSONRPCError | None:
    """The JSON-RPC error for a line that is no message; None for an empty line and for answers, which get none."""
    rows = error.errors(include_url=False, include_context=False)
    if rows[0]["type"] != "json_invalid":
        # JSON that is no JSON-RPC. pydantic tells of an object as a whole only where it misses a field.
        whole: Any = next((row["input"] for row in rows if row["type"] == "missing"), None)
        given = whole if isinstance(whole, Mapping) else {}
        if "method" not in given and ("result" in given or "error" in given):
            return None
        name = given.get("id") if type(given.get("id")) in {str, int} else None  # True is an int, and no id
        return _error(name, INVALID_REQUEST, "Invalid request: this is no JSON-RPC 2.0.")
    line = str(rows[0]["input"])
    if not line.strip():
        return None
    reason = "it is nested too deeply" if "recursion limit" in str(error) else "it is not JSON"
    found = _ID.search(line) if '"method"' in line else None
    return _error((found[2] or int(found[1])) if found else None, PARSE_ERROR, f"Parse error: {reason}.")


def _error(request_id: RequestId | None, code: int, message: str) -> JSONRPCError:
    return JSONRPCError(jsonrpc="2.0", id=request_id, error=ErrorData(code=code, message=message))
