"""`server/discover` beside the connection: a client that asks what we speak has not yet said what it will.

The SDK's loop takes the first request for the connection's protocol generation. A client whose probe was answered too
late for its patience (Vercel's waits 1 s, C#'s 5 s) goes on with `initialize`, and would be refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import anyio
from anyio.abc import ObjectReceiveStream, ObjectSendStream
from mcp.server.lowlevel import Server
from mcp.server.models import InitializationOptions
from mcp.shared._stream_protocols import ReadStream, WriteStream
from mcp.shared.message import SessionMessage
from mcp.types import JSONRPCRequest
from mcp_types import PROTOCOL_VERSION_META_KEY

Item = SessionMessage | Exception
MOST_WAITING = 16


def answer_probes_aside(server: Server[Any]) -> None:
    """Let every duplex connection of `server` (stdio, SSE, memory) answer probes without taking them for its first."""
    serve = server.run

    async def run(
        read: ReadStream[Item],
        write: WriteStream[SessionMessage],
        options: InitializationOptions,
        raise_exceptions: bool = False,
    ) -> None:
        probes, probes_read = anyio.create_memory_object_stream[Item](MOST_WAITING)
        async with anyio.create_task_group() as group:
            group.start_soon(serve, probes_read, _Shared(write), options, raise_exceptions)
            async with probes:
                await serve(_WithoutProbes(read, probes), write, options, raise_exceptions)

    server.run = run  # type: ignore[method-assign,assignment]


class _WithoutProbes(ObjectReceiveStream[Item]):
    """A connection's messages, except for the probes."""

    def __init__(self, read: ReadStream[Item], probes: WriteStream[Item]) -> None:
        self._read = read
        self._probes = probes

    def __getattr__(self, name: str) -> Any:
        """`last_context`, which the SDK looks for on its own streams."""
        return getattr(self._read, name)

    async def receive(self) -> Item:
        while True:
            item = await self._read.receive()
            if not isinstance(item, SessionMessage) or not isinstance(item.message, JSONRPCRequest):
                return item
            # Only with a modern client's envelope; without one the request is the connection's own.
            envelope = (item.message.params or {}).get("_meta")
            is_modern = isinstance(envelope, Mapping) and PROTOCOL_VERSION_META_KEY in envelope
            if item.message.method != "server/discover" or not is_modern:
                return item
            await self._probes.send(item)

    async def aclose(self) -> None:
        await self._read.aclose()


class _Shared(ObjectSendStream[SessionMessage]):
    """The way out of the connection, which the side that answers probes must not close."""

    def __init__(self, write: WriteStream[SessionMessage]) -> None:
        self._write = write

    async def send(self, item: SessionMessage) -> None:
        await self._write.send(item)

    async def aclose(self) -> None:
        pass
