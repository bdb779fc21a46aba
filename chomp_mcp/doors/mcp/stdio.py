"""`chomp-mcp` without arguments: the MCP server on stdin and stdout, until the client closes them."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chomp_mcp.settings import Settings
from chomp_mcp.telemetry.lossy import LossyStream

if TYPE_CHECKING:
    from chomp_mcp.app import Chomp
    from chomp_mcp.doors.pages.key_page import KeyPages
    from chomp_mcp.gateway.jobs import JobRunner
    from chomp_mcp.messages import Job
    from chomp_mcp.telemetry.report import Observer

__all__ = ["serve_stdio"]

WAITING = """\
chomp-mcp is an MCP server and waits for a client on stdin. Clients start it themselves:
  chomp-mcp install claude-desktop   adds it to a client
  chomp-mcp demo                     shows what it does
Ctrl-C ends it.
"""


def serve_stdio(settings: Settings) -> None:
    """Serve until stdin ends.

    Nothing slow happens before `initialize` is answered: the store, the network and the key page open when a call needs
    them. stdout belongs to the protocol: what else is printed while the modules load, or later, goes to stderr, which
    nobody has to read.

    Raises:
        InvalidSetting: a wrong row in config.toml.
    """
    sys.stderr = LossyStream(sys.stderr)
    sys.stdout = sys.stderr
    with _no_collection():
        import anyio

        from chomp_mcp.app import Chomp
        from chomp_mcp.doors.mcp.server import build_server
        from chomp_mcp.doors.mcp.stdio_lines import serve_lines
        from chomp_mcp.doors.pages.key_page import KeyPages

        chomp = Chomp(settings, observers=_log(settings.log))
        pages = KeyPages(chomp)
        server = build_server(chomp, pages=pages, dispatch=partial(_dispatch, chomp.jobs), started_in=_working_folder())
        serve = partial(serve_lines, server)
    if sys.stdin.isatty():
        sys.stderr.write(WAITING)
    anyio.run(_serve, serve, chomp, pages, backend_options={"use_uvloop": find_spec("uvloop") is not None})


def _working_folder() -> str:
    try:
        return str(Path.cwd())
    except OSError:  # it was deleted under us
        return ""


async def _dispatch(jobs: JobRunner, *args: Any, **named: Any) -> Job:
    """In a process of its own: this one ends with its client."""
    from chomp_mcp.gateway import detached

    return await detached.dispatch(jobs, *args, **named)


def _log(level: str) -> list[Observer]:
    """Log lines on stderr, which clients keep; only where CHOMP_LOG asks for them."""
    if not level:
        return []
    from chomp_mcp.telemetry.log import LogObserver, configure

    configure(level)
    return [LogObserver()]


async def _serve(serve: Callable[[], Awaitable[None]], chomp: Chomp, pages: KeyPages) -> None:
    """Until stdin ends; then until the jobs that `ask` left behind have ended, if the client lets us live that long.

    The SDKs' clients send SIGTERM 2 s after they closed stdin: what still runs then is told as stopped.
    """

    async def close(grace_seconds: float = 0.0) -> None:
        await pages.close()
        await chomp.close(grace_seconds)

    _leave_on_signals(close)
    try:
        await serve()
    finally:
        await close(chomp.settings.upstream_timeout_seconds)


def _leave_on_signals(close: Callable[[], Awaitable[None]]) -> None:
    """Ctrl-C and SIGTERM close what is open and end the process; the second one ends it at once.

    The hard way out: a thread of the SDK sits in a read of stdin, and an orderly one would wait for its next line.
    """
    loop = asyncio.get_running_loop()
    leaving: list[asyncio.Task[None]] = []

    async def leave(number: int) -> None:
        try:
            await close()
        finally:
            _last_words()
            os._exit(128 + number)

    def caught(number: int, _frame: object) -> None:
        if leaving:
            os._exit(128 + number)
        loop.call_soon_threadsafe(lambda: leaving.append(loop.create_task(leave(number))))

    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, caught)


def _last_words() -> None:
    if isinstance(sys.stderr, LossyStream):
        sys.stderr.drain()


@contextlib.contextmanager
def _no_collection() -> Iterator[None]:
    """Thousands of classes come to life while the SDK loads, none of them garbage; looking for some takes time."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
