"""Lines on stdin that the SDK cannot parse, and drops without a word: mended, or answered with an error."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

import anyio
from mcp.server.mcpserver import MCPServer
from mcp.server.stdio import stdio_server
from mcp.shared._stream_protocols import ReadStream, WriteStream
from mcp.shared.message import SessionMessage
from mcp.types import (
    INVALID_REQUEST,
    PARSE_ERROR,
    ErrorData,
    JSONRPCError,
    RequestId,
    jsonrpc_message_adapter,
)
from pydantic import ValidationError

__all__ = ["serve_lines"]

Item = SessionMessage | Exception


async def serve_lines(server: MCPServer[Any]) -> None:
    """`MCPServer.run_stdio_async`, with `Lines` on stdin."""
    lowlevel = server._lowlevel_server  # noqa: SLF001 - its one way to a stream of our own
    async with stdio_server() as (read, write):
        await lowlevel.run(Lines(read, write), write, lowlevel.create_initialization_options())


class Lines:
    """The SDK's stream of messages from stdin, where what could not be read comes as an exception.

    JavaScript writes half an emoji as a lone surrogate, which JSON allows and UTF-8 does not: it becomes U+FFFD, and
    the message goes its way. Anything else is answered, so that no client waits for ever. What was read costs nothing.
    """

    def __init__(self, read: ReadStream[Item], write: WriteStream[SessionMessage]) -> None:
        self._read = read
        self._write = write

    def __getattr__(self, name: str) -> Any:
        """`last_context`, which the SDK looks for on its own streams."""
        return getattr(self._read, name)

    async def receive(self) -> Item:
        """The next message (`anyio.EndOfStream` after the last one)."""
        while True:
            item = await self._read.receive()
            message = await self._again(item) if isinstance(item, ValidationError) else item
            if message is not None:
                return message

    async def aclose(self) -> None:
        """Close the SDK's stream."""
        await self._read.aclose()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Item:
        try:
            return await self.receive()
        except anyio.EndOfStream:
            raise StopAsyncIteration from None

    async def __aenter__(self) -> Self:
        await self._read.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        return await self._read.__aexit__(kind, error, trace)

    async def _again(self, error: ValidationError) -> SessionMessage | None:
        line = _line(error)
        if line is not None:
            try:
                return SessionMessage(jsonrpc_message_adapter.validate_json(mended(line), by_name=False))
            except ValidationError as still:
                error = still
        answer = refusal(error)
        if answer is not None:
            await self._write.send(SessionMessage(answer))
        return None


_SURROGATES = re.compile(
    r"(\\\\|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})|\\u[dD][89a-fA-F][0-9a-fA-F]{2}"
)
"""An escaped backslash or a whole pair, which stay; or half a pair."""


def mended(text: str) -> str:
    """JSON text with U+FFFD for each escaped half of a surrogate pair."""
    return _SURROGATES.sub(lambda match: match[1] or r"\ufffd", text)


_ID = re.compile(r'"jsonrpc"\s*:\s*"2\.0"\s*,\s*"id"\s*:\s*(?:(-?\d{1,18})\b|"([^"\\]{1,200})")')
"""How the SDKs write it: Python's at the beginning of the line, TypeScript's at its end."""


def refusal(error: ValidationError) -> JSONRPCError | None:
    """The JSON-RPC error for a line that is no message; None for an empty line and for answers, which get none."""
    line = _line(error)
    if line is None:
        return _no_message(error)
    if not line.strip():
        return None
    reason = "it is nested too deeply" if "recursion limit" in str(error) else "it is not JSON"
    found = _ID.search(line) if '"method"' in line else None
    return _error((found[2] or int(found[1])) if found else None, PARSE_ERROR, f"Parse error: {reason}.")


def _no_message(error: ValidationError) -> JSONRPCError | None:
    """For JSON that is no JSON-RPC; pydantic tells of an object as a whole where it misses a field."""
    rows = error.errors(include_url=False, include_context=False)
    whole: Any = next((row["input"] for row in rows if row["type"] == "missing"), None)
    given = whole if isinstance(whole, Mapping) else {}
    if "method" not in given and ("result" in given or "error" in given):
        return None
    name = given.get("id") if type(given.get("id")) in {str, int} else None
    return _error(name, INVALID_REQUEST, "Invalid request: this is no JSON-RPC 2.0.")


def _line(error: ValidationError) -> str | None:
    """The line, where it is no JSON at all."""
    first = error.errors(include_url=False, include_context=False)[0]
    return str(first["input"]) if first["type"] == "json_invalid" else None


def _error(request_id: RequestId | None, code: int, message: str) -> JSONRPCError:
    return JSONRPCError(jsonrpc="2.0", id=request_id, error=ErrorData(code=code, message=message))
