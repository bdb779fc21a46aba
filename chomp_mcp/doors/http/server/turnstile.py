"""The connections of a port that several processes share: one at a time, and those with fewer go first.

An event loop takes all that wait at once, and of idle processes always the same one wakes first: it would serve all
clients for as long as they keep their connections.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections.abc import Callable

__all__ = ["Turnstile"]

COURTESY_SECONDS = 0.001
"""How long a process that is ahead leaves a new connection to the others, before it takes it all the same."""
RELIEF_SECONDS = 1.0
"""How long nothing is accepted when the process, or the machine, has no room for another socket."""
_NO_ROOM = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})

_log = logging.getLogger("chomp_mcp.http")


class Turnstile:
    """Accepts from when it is made until `close`; what `asyncio.Server` is for whoever only ends it."""

    def __init__(
        self, listening: socket.socket, protocol: Callable[[], asyncio.Protocol], is_ahead: Callable[[], bool]
    ) -> None:
        self._listening = listening
        self._protocol = protocol
        self._is_ahead = is_ahead
        self._loop = asyncio.get_running_loop()
        self._entering: set[asyncio.Task[object]] = set()
        self._pause: asyncio.TimerHandle | None = None
        listening.setblocking(False)
        self._open()

    def _open(self) -> None:
        self._loop.add_reader(self._listening, self._answer)

    def _answer(self) -> None:
        """Somebody is at the door."""
        if self._is_ahead():
            self._rest(COURTESY_SECONDS)
        else:
            self._let_in()

    def _rest(self, seconds: float) -> None:
        self._loop.remove_reader(self._listening)
        self._pause = self._loop.call_later(seconds, self._go_on)

    def _go_on(self) -> None:
        self._open()
        self._let_in()

    def _let_in(self) -> None:
        try:
            connection, _ = self._listening.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return  # another process was quicker, or the client has left again
        except OSError as error:
            if error.errno not in _NO_ROOM:
                raise
            _log.error("no room for another connection: %s", error.strerror)
            self._rest(RELIEF_SECONDS)
            return
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        task = self._loop.create_task(self._loop.connect_accepted_socket(self._protocol, connection))
        self._entering.add(task)
        task.add_done_callback(self._entering.discard)

    def close(self) -> None:
        if self._pause is not None:
            self._pause.cancel()
        self._loop.remove_reader(self._listening)

    async def wait_closed(self) -> None:
        if self._entering:
            await asyncio.wait(self._entering)
