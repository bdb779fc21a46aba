"""`doctor`: everything that can be wrong between a client's configuration and a model's answer, looked at once."""

from __future__ import annotations

import argparse
import os
import queue
import stat
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
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
        if not args.json:
            line.tell(f"    {'CHECK':<{NAME_WIDTH}}  FOUND")
        shown = partial(_shown, tell=None if args.json else line.tell)
        try:
            settings = Settings.load()
            catalog.load(settings)
        except ChompError as error:
            here, around = list(shown([Check.of("settings", str(error), failed=2)])), []
        else:
            done = list(shown(_repaired(settings) if args.repair else ()))
            here = [*done, *shown(_installation(settings))]
            doing = "asking the routers, and starting what clients start"
            found = entries()
            around = list(shown(_together([partial(_clients, found), *_keys(settings, found)])))
    if args.json:
        show_json([asdict(check) for check in (*here, *around)])
    return next((check.exit_code for check in here if check.exit_code), 0) or max(
        (c.exit_code for c in around), default=0
    )


def _shown(checks: Iterable[Check], *, tell: Callable[[str], None] | None) -> Iterator[Check]:
    """The checks as they come, each told at once."""
    for check in checks:
        if tell:
            tell(f"{'ok' if check.ok else '!!'}  {check.name:<{NAME_WIDTH}}  {plain(as_typed(check.detail))}")
        yield check


def _installation(settings: Settings) -> Iterator[Check]:
    config = settings.home / "config.toml"
    place = f"home {settings.home}, {'config.toml' if config.is_file() else 'no config.toml'}"
    yield Check("settings", ok=True, detail=f"{place}, {settings.store.partition(':')[0] or 'local files'}")
    yield from _moved(settings)
    yield from _permissions(settings)
    yield from _store(settings)
    yield from _server(settings)


def _repaired(settings: Settings) -> Iterator[Check]:
    try:
        done = repaired(settings)
    except OSError as error:
        yield Check.of("repair", f"state.db cannot be moved: {error.strerror}", failed=5)
        return
    yield Check("repair", ok=True, detail=done or "state.db is not damaged")


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


def _moved(settings: Settings) -> Iterator[Check]:
    """A router that is not where the catalog has it: forgotten variables are easy to miss."""
    for router in catalog.load(settings).values():
        if router.url_from:
            yield Check(router.id, ok=True, detail=f"is at {without_password(router.url)} ({router.url_from})")


def _permissions(settings: Settings) -> Iterator[Check]:
    """keys.json is for its owner's eyes only; where the system has no such bits there is nothing to look at."""
    path = settings.home / "keys.json"
    if os.name == "nt" or not os.path.exists(path):  # noqa: PTH110 - False too where the folder may not be looked into
        yield Check("key file", ok=True, detail=f"{path}{'' if os.name == 'nt' else ' (none yet)'}")
        return
    modes = {place: stat.S_IMODE(place.stat().st_mode) for place in (path, path.parent)}
    wide = [f"chmod {'700' if place.is_dir() else '600'} {place}" for place, mode in modes.items() if mode & 0o077]
    detail = f"others can read it: run {' && '.join(wide)}" if wide else f"{path} is readable by you alone"
    yield Check.of("key file", detail, failed=5 if wide else 0)


def _store(settings: Settings) -> Iterator[Check]:
    """Nothing works without the store, and nothing opens it before the first call."""
    wrong, keys = anyio.run(try_stores, settings)
    yield Check.of("store", str(wrong or "can be written"), failed=exit_code(wrong) if wrong else 0)
    if isinstance(keys, ChompError):
        yield Check.of("keys at rest", str(keys), failed=exit_code(keys))
    else:
        yield Check.of("keys at rest", keys["note"], failed=5 if keys["sealed"] and not keys["master_key"] else 0)


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


def _clients(found: Mapping[str, Launch | str | None]) -> Iterator[Check]:
    for row in client_rows(found):
        yield Check.of(f"client {row.client}", f"{CLIENTS[row.client].name}: {row.detail}", failed=0 if row.ok else 2)


def _keys(settings: Settings, found: Mapping[str, Launch | str | None]) -> list[Callable[[], Iterator[Check]]]:
    """A source of rows per environment that clients' servers have; without an entry, that of one that has none."""
    entered = {name: entry for name, entry in found.items() if isinstance(entry, Launch) and entry.command}
    environments: dict[tuple[tuple[str, str], ...], list[str]] = {}
    for name, entry in entered.items():
        environments.setdefault(tuple(sorted(environment_of(entry).items())), []).append(name)
    if not environments:
        moved = {"CHOMP_HOME": str(settings.home)} if os.environ.get("CHOMP_HOME") else {}
        environments[tuple({**launch.client_environment(os.environ), **_carried(), **moved}.items())] = []
    variables = {router.key_variable for router in catalog.load(settings).values() if router.key_variable}
    here = {name: value for name, value in os.environ.items() if name in variables and value.strip()}
    sources: list[Callable[[], Iterator[Check]]] = []
    for env, names in environments.items():
        lacking = {name: value for name, value in here.items() if name not in dict(env)}
        suffix = f" ({', '.join(names)})" if len(environments) > 1 else ""
        sources.append(partial(_key_rows, dict(env), lacking, suffix))
    return sources


def _carried() -> dict[str, str]:
    """What `install` would write into an entry besides."""
    return {name: os.environ[name] for each in NETWORK for name in (each, each.lower()) if name in os.environ}


def _key_rows(env: Mapping[str, str], shell: Mapping[str, str], suffix: str) -> Iterator[Check]:
    for row in key_rows(env, shell):
        yield Check.of(f"{row['name']}{suffix}", str(row["detail"]), failed=int(row["exit_code"]))
