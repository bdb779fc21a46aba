"""Requests to routers: send one, hand back status, headers and bytes as they come.

Whatever goes wrong on the way is an `Unreachable` that names the host and never a header or a key. The `mock://` URLs
of the built-in router are played here without a socket, so that they pass through everything else as any router does.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import anyio

from chomp_mcp import wire
from chomp_mcp.dialects.values import as_mapping
from chomp_mcp.messages import FailureKind, WireRequest
from chomp_mcp.routers.dns import LookUps
from chomp_mcp.routers.response import MAX_BODY_BYTES, Response, Unreachable
from chomp_mcp.routers.sockets import listens
from chomp_mcp.routers.target import PORTS

if TYPE_CHECKING:
    from chomp_mcp.routers.connector import Session


CONNECTIONS_PER_ROUTER = 1000
"""Whoever comes when all are in use waits ten seconds for one."""
PROBE_SECONDS = 0.3
PROBE_KEPT_SECONDS = 2.0
"""Whoever starts a program on this machine sees it within so much; many that ask at once look once."""
MOCK_SCHEME = "mock://"


class Client:
    """One pool of connections for all routers. TLS is verified, redirects are not followed, cookies are not kept.

    `upstream_timeout` (seconds) limits the way to the headers as a whole, then the waits for the body, as `Response`
    says. Proxies come from the environment, except for this machine itself. At most `connections` requests are under
    way to one router.
    """

    def __init__(self, *, upstream_timeout: float, connections: int = CONNECTIONS_PER_ROUTER) -> None:
        self._patience = upstream_timeout
        self._connections = connections
        self._look_ups = LookUps()
        self._session: Session | None = None
        self._probed: dict[str, tuple[float, bool]] = {}

    def send(self, request: WireRequest) -> Coroutine[Any, Any, Response]:
        """Send, and wait for the headers. `Unreachable` when they do not come."""
        if request.url.startswith(MOCK_SCHEME):
            return _play(request)
        if self._session is None:
            from chomp_mcp.routers.connector import Session  # loads aiohttp, which a start does not wait for

            self._session = Session(patience=self._patience, connections=self._connections, look_ups=self._look_ups)
        return self._session.send(request)

    async def fetch(self, request: WireRequest, most: int = MAX_BODY_BYTES) -> tuple[Response, bytes]:
        """Send, read the body and close: the response is for status and headers; `Unreachable` above `most` bytes."""
        response = await self.send(request)
        try:
            return response, await response.read(most)
        finally:
            response.close()

    async def reachable(self, url: str) -> bool:
        """Whether anything listens there, or did two seconds ago."""
        if url.startswith(MOCK_SCHEME):
            return True
        now = asyncio.get_running_loop().time()
        until, is_there = self._probed.get(url, (0.0, False))
        if now >= until:
            parts, is_there = urlsplit(url), False
            # Asked with a TCP connection and the patience of a glance.
            with anyio.move_on_after(PROBE_SECONDS), suppress(OSError):
                addresses = await self._look_ups.addresses(parts.hostname or "")
                is_there = await listens(addresses, parts.port or PORTS.get(parts.scheme, 80))
            self._probed[url] = now + PROBE_KEPT_SECONDS, is_there
        return is_there

    async def close(self) -> None:
        """End all connections; a later `send` opens new ones."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()


async def _play(request: WireRequest) -> Response:
    from chomp_mcp.dialects.mock import play

    try:
        body = as_mapping(wire.loads(request.body) if request.body else {})
    except ValueError:
        body = {}
    script = play(body, bool(body.get("stream")))

    async def frames() -> AsyncIterator[bytes]:
        for frame in script.frames:
            if frame.delay_seconds:
                await anyio.sleep(frame.delay_seconds)
            if frame.data:
                yield frame.data
        if script.cut:
            raise Unreachable(FailureKind.TRANSIENT, "mock broke the connection off.")

    pieces = frames()
    return Response(script.status, script.headers, lambda: anext(pieces, b""), host="mock")
