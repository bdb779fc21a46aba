"""`chomp-mcp` without arguments: the MCP server on stdin and stdout, until the client closes them."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from chomp_mcp.settings import Settings
from chomp_mcp.telemetry.lossy import LossyStream

if TYPE_CHECKING:
    from chomp_mcp.app import Chomp
    from chomp_mcp.doors.pages.key_page import KeyPages
    from chomp_mcp.gateway.detached import Launcher
    from chomp_mcp.telemetry.report import Observer


LOOK_SECONDS = 1.0
"""How often we look whether our parent lives."""
GRACE_SECONDS = 1.5
"""For the jobs that `ask` left behind."""

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
    parent = os.getppid()  # now: it may be gone when all is loaded
    sys.stderr = LossyStream(sys.stderr)
    sys.stdout = sys.stderr
    # Thousands of classes come to life while the SDK loads, none of them garbage; looking for some takes time.
    gc.disable()
    try:
        import anyio

        from chomp_mcp.app import Chomp
        from chomp_mcp.doors.mcp.server import build_server
        from chomp_mcp.doors.mcp.stdio_lines import serve_lines
        from chomp_mcp.doors.pages.key_page import KeyPages
        from chomp_mcp.gateway.detached import Launcher, queue_of

        observers: list[Observer] = []
        if settings.log:  # clients keep what comes on stderr: log lines only where they were asked for
            from chomp_mcp.telemetry.log import LogObserver, configure

            configure(settings.log)
            observers = [LogObserver()]
        try:
            started_in = str(Path.cwd())
        except OSError:  # it was deleted under us
            started_in = ""
        chomp = Chomp(settings, observers=observers)
        pages = KeyPages(chomp)
        launcher = Launcher(chomp.jobs, chomp.job_processes, queue_of(settings, chomp.routers))
        server = build_server(chomp, pages=pages, dispatch=launcher.dispatch, started_in=started_in)
        serve = partial(serve_lines, server)
    finally:
        # What was loaded stays for ever: no later collection has to walk through it.
        gc.freeze()
        gc.enable()
    if sys.stdin.isatty():
        sys.stderr.write(WAITING)
    options = {"use_uvloop": find_spec("uvloop") is not None}
    anyio.run(_serve, serve, chomp, pages, launcher, parent, backend_options=options)


async def _serve(
    serve: Callable[[], Awaitable[None]], chomp: Chomp, pages: KeyPages, launcher: Launcher, parent: int
) -> None:
    """Until stdin ends, a signal comes, or whoever started us is gone."""

    async def close(grace_seconds: float) -> None:
        try:
            await launcher.leave(grace_seconds)
        finally:
            await pages.close()
            await chomp.close()

    leave = _leave_on_signals(close)

    async def watch_parent() -> None:
        """Stdin stays open where the parent was killed and one of its other children holds the pipe."""
        while os.getppid() == parent:  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(LOOK_SECONDS)
        leave(0)

    watching = asyncio.create_task(watch_parent())
    try:
        await serve()
    finally:
        watching.cancel()
        # The jobs that `ask` left behind get a moment: the SDKs' clients send SIGTERM 2 s after they closed stdin. Then
        # they go on in a process of their own, from the beginning.
        await close(GRACE_SECONDS)


def _leave_on_signals(close: Callable[[float], Awaitable[None]]) -> Callable[[int], None]:
    """Ctrl-C and SIGTERM close what is open and end the process, as what comes back does for an exit code."""
    loop = asyncio.get_running_loop()
    leaving: list[asyncio.Task[None]] = []

    async def left(code: int) -> None:
        try:
            await close(0.0)
        finally:
            if isinstance(sys.stderr, LossyStream):
                sys.stderr.drain()  # `os._exit` flushes nothing
            # The hard way out: somebody may sit in a write that nobody reads.
            os._exit(code)

    def leave(code: int) -> None:
        if not leaving:
            leaving.append(loop.create_task(left(code)))

    def caught(number: int, _frame: object) -> None:
        if leaving:
            # The second signal: whoever sent it waits no longer for an orderly end.
            os._exit(128 + number)
        loop.call_soon_threadsafe(leave, 128 + number)

    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, caught)
    return leave
