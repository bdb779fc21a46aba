"""`serve --workers N`: uvicorn's supervisor, which replaces workers that end or freeze, and a socket for each of them.

Workers are always spawned (uvicorn forks none): each loads the modules anew, the same on Linux and macOS. On Linux each
binds the port itself with SO_REUSEPORT, and the kernel deals connections out by a hash of both addresses; an event loop
that shares a socket takes all that wait at once. macOS knows the option and deals nothing out: workers there accept
from one inherited socket. On Windows one process serves a port.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from tempfile import TemporaryDirectory
from typing import Any

import uvicorn
from uvicorn.supervisors import multiprocess

from chomp_mcp.doors.http.server.process import GRACE_SECONDS, Server, hangup, say

FROZEN_SECONDS = 30.0
"""An event loop that has not turned for so long will not turn again: nothing of ours keeps it that long."""
PAUSE_SECONDS = 1.0
"""Between a worker's end and what comes next, so that one that cannot live is not started without pause."""
START_SECONDS = 60.0
LOOK_SECONDS = 0.1
"""Between two looks at a worker that ends."""

_log = logging.getLogger("chomp_mcp.workers")


class SharedPort(socket.socket):
    """A port that this process holds without listening; pickled to another process it binds there, beside this one."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _beside, (int(self.family), self.getsockname())


def _beside(family: int, address: Any) -> SharedPort:
    port = SharedPort(family, socket.SOCK_STREAM)
    port.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    port.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    port.bind(address)
    return port


def bind(listening: socket.socket) -> socket.socket:
    """What the workers get: the port of `listening`, which was bound alone and so is no other server's, or itself."""
    if sys.platform != "linux":
        return listening
    family, address = listening.family, listening.getsockname()
    listening.close()
    return _beside(family, address)


class Worker(multiprocess.Process):
    """A process of the port; its pong is the event loop's, not that of a thread beside it."""

    @property
    def server(self) -> Server:
        if self._server is None:
            self._server = Server(self.config)
        return self._server  # type: ignore[return-value]  # set here alone

    def target(self, sockets: list[socket.socket] | None = None) -> None:
        """A Ctrl-C before there is a server to end is the supervisor's."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        super().target(sockets)

    def pong(self) -> None:
        self.child_conn.recv()
        if self.server.turned_within(FROZEN_SECONDS):
            self.child_conn.send(self.server.started)


multiprocess.Process = Worker  # type: ignore[misc]  # its supervisor has no setting for the class of its processes


class Supervisor(multiprocess.Multiprocess):
    """uvicorn's, which also says what it does, ends on SIGHUP, and waits for nobody for ever."""

    def __init__(
        self, config: uvicorn.Config, port: socket.socket, *, ready: Callable[[], None], stop_seconds: float
    ) -> None:
        hangs_up = hangup()
        super().__init__(config, [port])
        if not hangs_up:  # uvicorn listens for SIGHUP whatever `nohup` said
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
        self._ready = ready
        self._stop_seconds = stop_seconds

    def run(self) -> None:
        """Until SIGTERM, SIGINT or SIGHUP, or until a worker's start fails as it would fail each time.

        Raises:
            SystemExit: a worker could not start.
        """
        # Where the workers keep their counters, so that each of them can show the sum: telemetry/metrics.py.
        with TemporaryDirectory(prefix="chomp-mcp-metrics-") as folder:
            os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
            try:
                super().run()
            finally:
                del os.environ["PROMETHEUS_MULTIPROC_DIR"]
        if any(process.exitcode == uvicorn.config.STARTUP_FAILURE for process in self.processes):
            raise SystemExit(uvicorn.config.STARTUP_FAILURE)

    def init_processes(self) -> None:
        super().init_processes()
        if all(process.wait_until_ready(START_SECONDS, self.should_exit) for process in self.processes):
            self._ready()

    def keep_subprocess_alive(self) -> None:
        before = list(self.processes)
        super().keep_subprocess_alive()
        for number, (old, new) in enumerate(zip(before, self.processes, strict=True), 1):
            if old is not new:
                _log.error("worker %d ended with code %s; another was started", number, old.exitcode)
                self.should_exit.wait(PAUSE_SECONDS)

    def join_all(self) -> None:
        """The original waits as long as it takes, and for a frozen worker for ever."""
        until = time.monotonic() + self._stop_seconds
        is_told = False
        for process in self.processes:
            while process.exitcode is None and time.monotonic() < until:
                process.process.join(LOOK_SECONDS)
                if signal.SIGINT in self.signal_queue and not is_told:  # the second: the workers have heard it, too
                    is_told = True
                    say("chomp-mcp ends now.")
            if process.exitcode is None:
                process.process.kill()
                process.process.join()

    def handle_int(self) -> None:
        super().handle_int()
        say(f"chomp-mcp ends: answers under way have up to {GRACE_SECONDS} s; Ctrl-C again ends at once.")

    def handle_hup(self) -> None:
        """The terminal was closed. uvicorn would restart the workers, with the settings that they had."""
        self.handle_term()
