"""The servers: stdio, when there is no command, `serve`, and `worker`, which serves nobody but the queue of jobs."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
from dataclasses import replace

from chomp_mcp.doors.cli.output import remark, show_json
from chomp_mcp.errors import InvalidSetting, StoreError
from chomp_mcp.messages import OWNER
from chomp_mcp.settings import Settings
from chomp_mcp.store.kv.redis_url import place_of


def stdio(_args: argparse.Namespace) -> None:
    """Be an MCP server on stdin and stdout until the client leaves."""
    from chomp_mcp.doors.mcp.stdio import serve_stdio

    serve_stdio(Settings.load())


def serve(args: argparse.Namespace) -> None:
    """Serve HTTP until SIGTERM or Ctrl-C."""
    from chomp_mcp.doors.http.server.serve import serve as serve_http

    given = {name: value for name in ("host", "port", "workers") if (value := getattr(args, name)) is not None}
    settings = replace(Settings.load(), runs_jobs=not args.no_jobs, **given)
    if args.no_jobs:
        _needs_store(settings, "serve --no-jobs leaves jobs to other processes")
    serve_http(settings, as_json=args.json)


def _needs_store(settings: Settings, what: str) -> None:
    if not settings.store:
        hint = "Set CHOMP_STORE to the Redis that all of them share: redis://host:6379/0."
        raise InvalidSetting(f"{what}, and without CHOMP_STORE there are none.", hint=hint)


async def worker(args: argparse.Namespace) -> None:
    """Run jobs that wait in the shared store until SIGTERM or Ctrl-C; what is not done then goes back in line."""
    settings = Settings.load()
    _needs_store(settings, "A worker runs the jobs of other processes")
    from chomp_mcp.app import Chomp
    from chomp_mcp.doors.http.server.process import GRACE_SECONDS
    from chomp_mcp.telemetry.log import LogObserver, configure

    configure(settings.log or "error")
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()

    def stop(number: int, _frame: object) -> None:
        if stopped.is_set():  # the second one: whoever sends it waits no longer for an orderly end
            os._exit(128 + number)
        loop.call_soon_threadsafe(stopped.set)

    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, stop)
    chomp = Chomp(settings, observers=[LogObserver()])
    try:
        await chomp.jobs.recent(OWNER, 1)
    except StoreError as error:
        remark(f"chomp-mcp: {error} It is tried again until it answers.")
    chomp.jobs.start()
    if args.json:
        show_json({"runs": "jobs", "store": place_of(settings.store)})
        sys.stdout.flush()
    remark(f"chomp-mcp worker runs the jobs that wait in {place_of(settings.store)}; Ctrl-C ends it.")
    await stopped.wait()
    await chomp.close(GRACE_SECONDS)
