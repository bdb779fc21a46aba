"""The MCP paths of the HTTP app: there from the start, while what serves them is loaded behind the first answers.

Importing the MCP SDK takes as long as the rest of a start, and many clients of this app never speak MCP.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import anyio
from starlette.routing import BaseRoute, Route, Router
from starlette.types import Receive, Scope, Send

if TYPE_CHECKING:
    from mcp.server.streamable_http_manager import StreamableHTTPSessionManager


QUIET_SECONDS = 0.5
"""How long the first answers have the process to themselves; a request for MCP ends that at once."""

_log = logging.getLogger("chomp_mcp.doors.mcp.server")


class LateMcp:
    """Stands where the routes of `load` will be, and lets requests wait for them; `load` blocks no event loop."""

    def __init__(
        self,
        load: Callable[[], Awaitable[tuple[Sequence[BaseRoute], StreamableHTTPSessionManager]]],
        *,
        quiet_seconds: float = QUIET_SECONDS,
    ) -> None:
        self._load = load
        self._quiet_seconds = quiet_seconds
        self._wanted = asyncio.Event()
        self._served: asyncio.Future[Router] | None = None

    def routes(self) -> list[BaseRoute]:
        """For the app; `run` must be around all that comes in."""
        return [Route(path, self) for path in ("/mcp", "/sse", "/messages/")]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._served is None:
            raise RuntimeError("MCP is served within the app's lifespan only: run the app with it.")
        self._wanted.set()
        served = await asyncio.shield(self._served)
        await served(scope, receive, send)

    @asynccontextmanager
    async def run(self) -> AsyncIterator[None]:
        """Load, then keep the sessions, for as long as the block lasts."""
        self._served = asyncio.get_running_loop().create_future()
        keeping = asyncio.create_task(self._keep())
        try:
            yield
        finally:
            keeping.cancel()
            with suppress(asyncio.CancelledError):
                await keeping

    async def _keep(self) -> None:
        """In a task of its own, because the SDK's sessions are entered late and must be left in the same one."""
        with anyio.move_on_after(self._quiet_seconds):
            await self._wanted.wait()
        while served := self._served:
            try:
                routes, sessions = await self._load()
                async with sessions.run():
                    served.set_result(Router(routes))
                    await asyncio.Event().wait()
            except Exception as error:  # noqa: BLE001 - it may be anything, and the other doors go on
                _log.exception("MCP cannot be served; the next request for it tries again")
                self._served = asyncio.get_running_loop().create_future()
                self._wanted.clear()
                if not served.done():
                    served.set_exception(error)
                    served.exception()  # told above, also when no request asks for it
            await self._wanted.wait()
