"""One process that serves: uvicorn as it runs here."""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import uvicorn
from starlette.applications import Starlette

from chomp_mcp.doors.http.server.http1 import Protocol
from chomp_mcp.settings import Settings

GRACE_SECONDS = 10
"""How long answers in flight may go on after SIGTERM."""
_KEEP_ALIVE_SECONDS = 75
"""Longer than the pools of the common clients keep a connection, so that they never write into a closing one."""


class Server(uvicorn.Server):
    """uvicorn that ends in good order and with exit code 0 on SIGTERM, SIGINT and SIGHUP, and with its parent."""

    _turned_at = 0.0

    def turned_within(self, seconds: float) -> bool:
        """Whether the event loop is alive; one that has not begun yet counts as such."""
        return not self.started or time.monotonic() - self._turned_at < seconds

    async def on_tick(self, counter: int) -> bool:
        self._turned_at = time.monotonic()
        # A worker whose parent is gone: nobody would stop it any more.
        parent = multiprocessing.parent_process()
        return await super().on_tick(counter) or (parent is not None and os.getppid() != parent.pid)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._turned_at = time.monotonic()
        await super().startup(sockets)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        state = self.config.loaded_app.state
        state.stopped_at = getattr(state, "stopped_at", time.monotonic())
        if drain := getattr(state, "drain", None):
            await drain()  # before the answers in flight, which may take long: no new job is to begin here
        await super().shutdown(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """The first signal says what is waited for; a second Ctrl-C ends at once, and what it cuts off is no error."""
        was_told = self.should_exit
        if app := getattr(self.config, "loaded_app", None):  # not ready from this moment on, on open connections too
            app.state.stopped_at = getattr(app.state, "stopped_at", time.monotonic())
        super().handle_exit(sig, frame)  # first: the next signal may come while we write
        if self.force_exit:
            logging.getLogger("uvicorn.error").disabled = True
        if multiprocessing.parent_process() is not None:
            return  # a worker hears Ctrl-C from the terminal as its supervisor does, which does the talking
        if self.force_exit:
            say("chomp-mcp ends now.")
        elif sig == signal.SIGINT and not was_told:
            count = len(getattr(self.config.loaded_app.state, "under_way", ()))
            answers = f"{count} answer{'s' * (count != 1)} under way"
            waits = f"chomp-mcp waits up to {GRACE_SECONDS} s for {answers}; Ctrl-C again ends at once."
            say(waits if count else "chomp-mcp ends.")

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """The original raises the signal again at its end, and so reports every orderly stop as a failure."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        signals = (signal.SIGINT, signal.SIGTERM, *hangup())
        before: dict[signal.Signals, Any] = {each: signal.signal(each, self.handle_exit) for each in signals}
        try:
            yield
        finally:
            is_worker = multiprocessing.parent_process() is not None
            for each, handler in before.items():  # a worker is as good as gone: the next Ctrl-C is no error of its own
                signal.signal(each, signal.SIG_IGN if is_worker else handler)


def hangup() -> tuple[signal.Signals, ...]:
    """The signal of a terminal that was closed; none under `nohup`, which is there to outlive it, and on Windows."""
    if sys.platform == "win32" or signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:
        return ()
    return (signal.SIGHUP,)


def say(text: str) -> None:
    """A line on stderr, for the person at the terminal."""
    # The second Ctrl-C may come while the first one's line is written, and Python's own stream refuses a write within
    # a write.
    with contextlib.suppress(OSError, ValueError):
        os.write(sys.stderr.fileno(), f"{text}\n".encode())


def configured(
    app: Starlette | Callable[[], Starlette], settings: Settings, *, factory: bool = False
) -> uvicorn.Config:
    """How uvicorn runs here: no access log, no WebSockets, addresses as the socket tells them."""
    return uvicorn.Config(
        app,
        factory=factory,
        host=settings.host,
        port=settings.port,
        workers=settings.workers,
        http=Protocol,
        access_log=False,
        log_level="warning",
        ws="none",
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
