"""`doctor`: everything that can be wrong between a client's configuration and a model's answer, looked at once."""

from __future__ import annotations

import argparse
import os
import stat
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import anyio

from chomp_mcp.app import Chomp
from chomp_mcp.doors.cli import exit_code, launch
from chomp_mcp.doors.cli.output import show_json, table
from chomp_mcp.doors.cli.probe import NoAnswer, Server
from chomp_mcp.doors.cli.stores import try_stores
from chomp_mcp.errors import ChompError
from chomp_mcp.gateway.book import key_id
from chomp_mcp.gateway.model_list import ModelList
from chomp_mcp.messages import OWNER
from chomp_mcp.policy.secrets import without_password
from chomp_mcp.routers import catalog
from chomp_mcp.settings import Settings
from chomp_mcp.store.kv.sqlite import Sqlite

__all__ = ["doctor"]

SLOW_SECONDS = 5.0
"""The shortest time that a known client gives a server to start (pydantic-ai)."""


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
    """Print the checks; the exit code is that of the first that failed."""
    checks = list(_checks())
    if args.json:
        show_json([asdict(check) for check in checks])
    else:
        table(("", "CHECK", "FOUND"), [("ok" if c.ok else "!!", c.name, c.detail) for c in checks])
    return next((check.exit_code for check in checks if not check.ok), 0)


def _checks() -> Iterator[Check]:
    try:
        settings = Settings.load()
    except ChompError as error:
        yield Check.of("settings", str(error), failed=2)
        return
    config = settings.home / "config.toml"
    place = f"home {settings.home}, {'config.toml' if config.is_file() else 'no config.toml'}"
    yield Check("settings", ok=True, detail=f"{place}, {settings.store.partition(':')[0] or 'local files'}")
    yield from _moved(settings)
    yield from _permissions(settings)
    yield _store(settings)
    yield from _server(settings)
    try:
        yield from anyio.run(_keys, settings)
    except ChompError as error:
        yield Check.of("keys", str(error), failed=exit_code(error))


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


def _store(settings: Settings) -> Check:
    """Nothing works without the store, and nothing opens it before the first call."""
    try:
        anyio.run(try_stores, settings)
    except ChompError as error:
        return Check.of("store", str(error), failed=exit_code(error))
    return Check("store", ok=True, detail="can be written")


def _server(settings: Settings) -> Iterator[Check]:
    """Start the server as a client would, and read every line that it writes to stdout."""
    env = {**launch.client_environment(os.environ), "CHOMP_HOME": str(settings.home)}
    started = time.monotonic()
    try:
        with Server(launch.command(), env) as server:
            hello = server.ask("initialize", _HELLO)
            took = time.monotonic() - started
            server.tell("notifications/initialized")
            tools = server.ask("tools/list", {})["tools"]
            listed = time.monotonic() - started - took
    except NoAnswer as error:
        yield Check.of("server", str(error), failed=2)
        return
    name = hello["serverInfo"]["name"]
    slow = took >= SLOW_SECONDS
    yield Check.of("server", f"{name} answered initialize in {took:.2f} s", failed=2 if slow else 0)
    yield Check.of("tools", f"{', '.join(t['name'] for t in tools)} in {listed:.2f} s", failed=0 if tools else 2)
    noise = server.noise
    detail = f"something prints to it: {noise[0][:60]!r}" if noise else "nothing but MCP on it"
    yield Check.of("stdout", detail, failed=2 if noise else 0)


async def _keys(settings: Settings) -> list[Check]:
    """Each key, where it comes from, and whether the router takes it; only routers with a list can say."""
    checks = []
    async with Chomp(settings) as chomp:
        previews = await chomp.keyring.previews(OWNER)
        for router, keys in (await chomp.keyring.keys_of(OWNER)).items():
            if router in chomp.routers:
                why = [why for key in keys if (why := await _refusal(chomp, router, key))]
                detail = f"{previews[router]}: {'; '.join(why) or 'its list of models came'}"
                checks.append(Check.of(f"key {router}", detail, failed=4 if why else 0))
    if not checks:
        checks.append(
            Check("keys", ok=True, detail="none: only the mock router answers. Run chomp-mcp keys add ROUTER")
        )
    return checks


async def _refusal(chomp: Chomp, router: str, key: str) -> str:
    """What the router says to this key, past every cache; empty when its list came."""
    with tempfile.TemporaryDirectory(prefix="chomp-doctor-") as folder:
        store = Sqlite(Path(folder) / "state.db")
        try:
            fresh = ModelList(store, chomp.client, chomp.routers, clock=chomp.clock)
            return (await fresh.of([router], {router: ((key, key_id(key)),)}))[router].error
        finally:
            await store.close()


_HELLO: Mapping[str, Any] = {
    "protocolVersion": "2025-11-25",
    "capabilities": {},
    "clientInfo": {"name": "chomp-mcp doctor", "version": "1"},
}
