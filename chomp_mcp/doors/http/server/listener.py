"""A small HTTP server on 127.0.0.1 and a free port, inside a process that serves something else."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.routing import BaseRoute

if TYPE_CHECKING:
    import uvicorn


class Listener:
    """Starts with the first `start`, lives until `stop`; both may be called any number of times."""

    def __init__(self, routes: Sequence[BaseRoute]) -> None:
        self._routes = routes
        self._url = ""
        self._server: uvicorn.Server | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> str:
        """The URL without a trailing slash; connections are accepted from here on."""
        if self._task is None:
            listening = socket.create_server(("127.0.0.1", 0))
            self._url = f"http://127.0.0.1:{listening.getsockname()[1]}"
            self._server = _server(Starlette(routes=list(self._routes)))
            self._task = asyncio.create_task(self._server.serve(sockets=[listening]))
        return self._url

    async def stop(self) -> None:
        server, task, self._server, self._task = self._server, self._task, None, None
        if server is not None and task is not None:
            server.should_exit = True
            await task


def _server(app: Starlette) -> uvicorn.Server:
    import uvicorn  # late: most processes never open a page

    class Quiet(uvicorn.Server):
        """Leaves the signals to the process it lives in."""

        @contextmanager
        def capture_signals(self) -> Generator[None, None, None]:
            yield

    return Quiet(
        uvicorn.Config(app, log_config=None, access_log=False, lifespan="off", ws="none", timeout_graceful_shutdown=1)
    )
