"""`doctor`: everything that can be wrong between a client's configuration and a model's answer, looked at once."""

from __future__ import annotations

import argparse
import os
import queue
import stat
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial

import anyio

from chomp_mcp.doors.cli import exit_code, launch
from chomp_mcp.doors.cli.client_checks import client_rows, entries, environment_of
from chomp_mcp.doors.cli.clients import Launch
from chomp_mcp.doors.cli.key_checks import Check, check, key_rows
from chomp_mcp.doors.cli.output import as_typed, plain, show_json
from chomp_mcp.doors.cli.probe import HELLO, NoAnswer, Server
from chomp_mcp.doors.cli.status_line import StatusLine
from chomp_mcp.doors.cli.stores import repaired, try_stores
from chomp_mcp.errors import ChompError
from chomp_mcp.messages import Router
from chomp_mcp.policy.secrets import without_password
from chomp_mcp.routers import catalog
from chomp_mcp.settings import Settings

SLOW_SECONDS = 5.0
"""The shortest time that a known client gives a server to start (pydantic-ai)."""
NAME_WIDTH = 22


def doctor(args: argparse.Namespace) -> int:
    """Print the checks as they come.

    The exit code is that of the first thing that is wrong here; where nothing is, the highest of keys and clients.
    """
    doing = "looking at what is installed"
    with StatusLine(lambda: doing) as line:

        def shown(checks: Iterable[Check]) -> Iterator[Check]:
            for row in checks:
                if not args.json:
                    mark, detail = "ok" if row["ok"] else "!!", plain(as_typed(row["detail"]))
                    line.tell(f"{mark}  {row['name']:<{NAME_WIDTH}}  {detail}")
                yield row

        if not args.json:
            line.tell(f"    {'CHECK':<{NAME_WIDTH}}  FOUND")
        try:
            settings = Settings.load()
            routers = catalog.load(settings).values()
        except ChompError as error:
            here, around = list(shown([check("settings", str(error), failed=2)])), []
        else:
            here = list(shown(_installation(settings, routers, repair=args.repair)))
            doing = "asking the routers, and starting what clients start"
            found = entries()
            around = list(shown(_together([partial(client_rows, found), *_keys(settings, routers, found)])))
    if args.json:
        show_json([*here, *around])
    worst = max((row["exit_code"] for row in around), default=0)
    return next((row["exit_code"] for row in here if row["exit_code"]), worst)


def _installation(settings: Settings, routers: Iterable[Router], *, repair: bool) -> Iterator[Check]:
    if repair:
        try:
            yield check("repair", repaired(settings) or "state.db is not damaged")
        except OSError as error:
            yield check("repair", f"state.db cannot be moved: {error.strerror}", failed=5)
    config = settings.home / "config.toml"
    place = f"home {settings.home}, {'config.toml' if config.is_file() else 'no config.toml'}"
    yield check("settings", f"{place}, {settings.store.partition(':')[0] or 'local files'}")
    for router in routers:  # one that is not where the catalog has it: forgotten variables are easy to miss
        if router.url_from:
            whose = ", of this shell" if router.url_from in os.environ else ""
            yield check(router.id, f"is at {without_password(router.url)} ({router.url_from}{whose})")
    path = settings.home / "keys.json"
    if os.name == "nt":  # it has no bits to look at
        yield check("key file", str(path))
    elif not os.path.exists(path):  # noqa: PTH110 - False too where the folder may not be looked into
        yield check("key file", f"{path} (none yet)")
    else:
        modes = {place: stat.S_IMODE(place.stat().st_mode) for place in (path, path.parent)}
        wide = [f"chmod {'700' if place.is_dir() else '600'} {place}" for place, mode in modes.items() if mode & 0o077]
        detail = f"others can read it: run {' && '.join(wide)}" if wide else f"{path} is readable by you alone"
        yield check("key file", detail, failed=5 if wide else 0)
    # Nothing works without the store, and nothing opens it before the first call.
    wrong, keys = anyio.run(try_stores, settings)
    yield check("store", str(wrong or "can be written"), failed=exit_code(wrong) if wrong else 0)
    if isinstance(keys, ChompError):
        yield check("keys at rest", str(keys), failed=exit_code(keys))
    else:
        yield check("keys at rest", keys["note"], failed=5 if keys["sealed"] and not keys["master_key"] else 0)
    # The server, as a client would start it, and every line that it writes to stdout.
    env = {**launch.client_environment(os.environ), "CHOMP_HOME": str(settings.home)}
    started = time.monotonic()
    try:
        with Server(launch.command(), env) as server:
            hello = server.ask("initialize", HELLO)
            took = time.monotonic() - started
            server.tell("notifications/initialized")
            tools = server.ask("tools/list", {})["tools"]
            listed = time.monotonic() - started - took
    except NoAnswer as error:
        yield check("server", str(error), failed=2)
        return
    slow = ": some clients wait no longer than 5 s" if took >= SLOW_SECONDS else ""
    yield check("server", f"{hello['serverInfo']['name']} answered initialize in {took:.2f} s{slow}")
    yield check("tools", f"{', '.join(t['name'] for t in tools)} in {listed:.2f} s", failed=0 if tools else 2)
    detail = f"something prints to it: {server.noise[0][:60]!r}" if server.noise else "nothing but MCP on it"
    yield check("stdout", detail, failed=2 if server.noise else 0)


def _together(sources: Iterable[Callable[[], Iterator[Check]]]) -> Iterator[Check]:
    """The rows of all of them as they come, each source in a thread of its own."""
    rows: queue.Queue[Check | None] = queue.Queue()

    def read(source: Callable[[], Iterator[Check]]) -> None:
        try:
            for row in source():
                rows.put(row)
        finally:
            rows.put(None)

    threads = [threading.Thread(target=read, args=(source,), daemon=True) for source in sources]
    for thread in threads:
        thread.start()
    running = len(threads)
    while running:
        row = rows.get()
        if row is None:
            running -= 1
        else:
            yield row


def _keys(
    settings: Settings, routers: Iterable[Router], found: Mapping[str, Launch | str | None]
) -> Iterator[Callable[[], Iterator[Check]]]:
    """A source of rows per environment that clients' servers have; without an entry, that of one that has none."""
    environments: dict[tuple[tuple[str, str], ...], list[str]] = {}
    for name, entry in found.items():
        if isinstance(entry, Launch) and entry.command:
            environments.setdefault(tuple(sorted(environment_of(entry).items())), []).append(name)
    if not environments:  # what `install` would write
        moved = {"CHOMP_HOME": str(settings.home)} if os.environ.get("CHOMP_HOME") else {}
        carried = {**launch.client_environment(os.environ), **launch.network(os.environ), **moved}
        environments[tuple(carried.items())] = []
    variables = {router.key_variable for router in routers if router.key_variable}
    here = {name: value for name, value in os.environ.items() if name in variables and value.strip()}

    def rows(env: Mapping[str, str], names: Sequence[str]) -> Iterator[Check]:
        suffix = f" ({', '.join(names)})" if len(environments) > 1 else ""
        for row in key_rows(env, {name: value for name, value in here.items() if name not in env}):
            yield {**row, "name": f"{row['name']}{suffix}"}

    return (partial(rows, dict(env), names) for env, names in environments.items())
