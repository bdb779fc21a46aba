"""`doctor`: everything that can be wrong between a client's configuration and a model's answer, looked at once."""

from __future__ import annotations

import argparse
import os
import queue
import stat
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Self

import anyio

from chomp_mcp.doors.cli import exit_code, launch
from chomp_mcp.doors.cli.client_checks import client_rows, entries, environment_of
from chomp_mcp.doors.cli.clients import CLIENTS, Launch
from chomp_mcp.doors.cli.key_checks import key_rows
from chomp_mcp.doors.cli.output import as_typed, plain, show_json
from chomp_mcp.doors.cli.probe import HELLO, NoAnswer, Server
from chomp_mcp.doors.cli.status_line import StatusLine
from chomp_mcp.doors.cli.stores import repaired, try_stores
from chomp_mcp.errors import ChompError
from chomp_mcp.messages import Router
from chomp_mcp.policy.secrets import without_password
from chomp_mcp.routers import catalog
from chomp_mcp.settings import NETWORK, Settings

__all__ = ["doctor"]

SLOW_SECONDS = 5.0
"""The shortest time that a known client gives a server to start (pydantic-ai)."""
NAME_WIDTH = 22


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at; `exit_code` is what the command ends with if this is the first that is not well."""

    name: str
    ok: bool
    detail: str
    exit_code: int = 0

    @classmethod
    def of(cls, name: str, detail: str, *, failed: int) -> Self:
        """`failed`: the exit code of what is not well, else 0."""
        return cls(name, not failed, detail, failed)


def doctor(args: argparse.Namespace) -> int:
    """Print the checks as they come.

    The exit code is that of the first thing that is wrong here; where nothing is, the highest of keys and clients.
    """
    doing = "looking at what is installed"
    with StatusLine(lambda: doing) as line:

        def shown(checks: Iterable[Check]) -> Iterator[Check]:
            for check in checks:
                if not args.json:
                    line.tell(
                        f"{'ok' if check.ok else '!!'}  {check.name:<{NAME_WIDTH}}  {plain(as_typed(check.detail))}"
                    )
                yield check

        if not args.json:
            line.tell(f"    {'CHECK':<{NAME_WIDTH}}  FOUND")
        try:
            settings = Settings.load()
            routers = catalog.load(settings).values()
        except ChompError as error:
            here, around = list(shown([Check.of("settings", str(error), failed=2)])), []
        else:
            here = list(shown(_installation(settings, routers, repair=args.repair)))
            doing = "asking the routers, and starting what clients start"
            found = entries()

            def clients() -> Iterator[Check]:
                for row in client_rows(found):
                    name, failed = CLIENTS[row.client].name, 0 if row.ok else 2
                    yield Check.of(f"client {row.client}", f"{name}: {row.detail}", failed=failed)

            around = list(shown(_together([clients, *_keys(settings, routers, found)])))
    if args.json:
        show_json([asdict(check) for check in (*here, *around)])
    worst = max((check.exit_code for check in around), default=0)
    return next((check.exit_code for check in here if check.exit_code), worst)


def _installation(settings: Settings, routers: Iterable[Router], *, repair: bool) -> Iterator[Check]:
    if repair:
        try:
            done = repaired(settings)
            yield Check("repair", ok=True, detail=done or "state.db is not damaged")
        except OSError as error:
            yield Check.of("repair", f"state.db cannot be moved: {error.strerror}", failed=5)
    config = settings.home / "config.toml"
    place = f"home {settings.home}, {'config.toml' if config.is_file() else 'no config.toml'}"
    yield Check("settings", ok=True, detail=f"{place}, {settings.store.partition(':')[0] or 'local files'}")
    for router in routers:  # one that is not where the catalog has it: forgotten variables are easy to miss
        if router.url_from:
            yield Check(router.id, ok=True, detail=f"is at {without_password(router.url)} ({router.url_from})")
    path = settings.home / "keys.json"
    if os.name == "nt":  # it has no bits to look at
        yield Check("key file", ok=True, detail=str(path))
    elif not os.path.exists(path):  # noqa: PTH110 - False too where the folder may not be looked into
        yield Check("key file", ok=True, detail=f"{path} (none yet)")
    else:
        modes = {place: stat.S_IMODE(place.stat().st_mode) for place in (path, path.parent)}
        wide = [f"chmod {'700' if place.is_dir() else '600'} {place}" for place, mode in modes.items() if mode & 0o077]
        detail = f"others can read it: run {' && '.join(wide)}" if wide else f"{path} is readable by you alone"
        yield Check.of("key file", detail, failed=5 if wide else 0)
    # Nothing works without the store, and nothing opens it before the first call.
    wrong, keys = anyio.run(try_stores, settings)
    yield Check.of("store", str(wrong or "can be written"), failed=exit_code(wrong) if wrong else 0)
    if isinstance(keys, ChompError):
        yield Check.of("keys at rest", str(keys), failed=exit_code(keys))
    else:
        yield Check.of("keys at rest", keys["note"], failed=5 if keys["sealed"] and not keys["master_key"] else 0)
    yield from _server(settings)


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


def _server(settings: Settings) -> Iterator[Check]:
    """Start the server as a client would, and read every line that it writes to stdout."""
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
        yield Check.of("server", str(error), failed=2)
        return
    name = hello["serverInfo"]["name"]
    slow = ": some clients wait no longer than 5 s" if took >= SLOW_SECONDS else ""
    yield Check("server", ok=True, detail=f"{name} answered initialize in {took:.2f} s{slow}")
    yield Check.of("tools", f"{', '.join(t['name'] for t in tools)} in {listed:.2f} s", failed=0 if tools else 2)
    noise = server.noise
    detail = f"something prints to it: {noise[0][:60]!r}" if noise else "nothing but MCP on it"
    yield Check.of("stdout", detail, failed=2 if noise else 0)


def _keys(
    settings: Settings, routers: Iterable[Router], found: Mapping[str, Launch | str | None]
) -> Iterator[Callable[[], Iterator[Check]]]:
    """A source of rows per environment that clients' servers have; without an entry, that of one that has none."""
    environments: dict[tuple[tuple[str, str], ...], list[str]] = {}
    for name, entry in found.items():
        if isinstance(entry, Launch) and entry.command:
            environments.setdefault(tuple(sorted(environment_of(entry).items())), []).append(name)
    if not environments:  # what `install` would write
        carried = {name: os.environ[name] for each in NETWORK for name in (each, each.lower()) if name in os.environ}
        moved = {"CHOMP_HOME": str(settings.home)} if os.environ.get("CHOMP_HOME") else {}
        environments[tuple({**launch.client_environment(os.environ), **carried, **moved}.items())] = []
    variables = {router.key_variable for router in routers if router.key_variable}
    here = {name: value for name, value in os.environ.items() if name in variables and value.strip()}

    def rows(env: Mapping[str, str], names: Sequence[str]) -> Iterator[Check]:
        suffix = f" ({', '.join(names)})" if len(environments) > 1 else ""
        for row in key_rows(env, {name: value for name, value in here.items() if name not in env}):
            yield Check.of(f"{row['name']}{suffix}", str(row["detail"]), failed=int(row["exit_code"]))

    return (partial(rows, dict(env), names) for env, names in environments.items())
