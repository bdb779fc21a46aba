"""`setup`: the guided walk from nothing to the first answer."""

from __future__ import annotations

import argparse
import os
import sys
import webbrowser
from collections.abc import Iterable, Sequence
from typing import Any

import anyio

from chomp_mcp.app import Chomp
from chomp_mcp.doors.cli import install
from chomp_mcp.doors.cli.asking import converse
from chomp_mcp.doors.cli.clients import CLIENTS
from chomp_mcp.doors.cli.keys import store_checked, typed
from chomp_mcp.doors.cli.launch import typed_command
from chomp_mcp.doors.cli.output import as_typed, show_json
from chomp_mcp.doors.cli.parser import parsed
from chomp_mcp.doors.cli.words import error_line
from chomp_mcp.errors import ChompError, InvalidRequest, UpstreamError
from chomp_mcp.messages import OWNER, Router
from chomp_mcp.settings import Settings

__all__ = ["key_takers", "setup"]

FIRST_QUESTION = "Say hello in one sentence, and name the model that you are."
MOST_TRIES = 3


def setup(args: argparse.Namespace) -> int:
    """A key, checked; the clients' entries; the first question and its receipt. What is there already is kept.

    With --json nothing is asked and nothing changed: what the walk would find, and the commands that do its steps.
    """
    if args.json:
        show_json(anyio.run(_found))
        return 0
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise InvalidRequest(
            "setup is a walk with questions, and this is no terminal.",
            hint="Run chomp-mcp keys add ROUTER < FILE, then chomp-mcp install CLIENT --yes.",
        )
    router = _key()
    _clients()
    print(f"\n3. The first question, to {router.name}: {FIRST_QUESTION}\n")
    anyio.run(_ask, parsed(["ask", FIRST_QUESTION, "-m", f"{router.id}/auto"]))
    print(as_typed(f'\nThat was all. Ask on: chomp-mcp ask "…" -m {router.id}/auto · what is left: chomp-mcp status'))
    return 0


async def _ask(args: argparse.Namespace) -> None:
    async with Chomp(Settings.load()) as chomp:
        await converse(chomp, args, FIRST_QUESTION, None)


async def _found() -> dict[str, Any]:
    chomp = Chomp(Settings.load())
    previews = await _previews()
    ours = typed_command()
    return {
        "routers": [
            {
                "id": router.id,
                "name": router.name,
                "key": previews.get(router.id),
                "limits": router.limits,
                "keys_page": router.keys_page,
                "command": f"{ours} keys add {router.id}",
            }
            for router in key_takers(chomp.routers.values())
        ],
        "clients": [
            {"id": name, "name": client.name, "command": f"{ours} install {name} --yes"}
            for name, client in CLIENTS.items()
            if client.is_installed()
        ],
        "first_question": f"{ours} ask {FIRST_QUESTION!r}",
    }


def key_takers(routers: Iterable[Router]) -> list[Router]:
    """Those that take a key: with a free tier first, without anything for nothing last."""
    takers = (router for router in routers if router.needs_key and not router.deprecated)
    return sorted(takers, key=lambda each: (not each.limits.startswith("free"), each.limits.startswith("none free")))


def _key() -> Router:
    """The router to begin with: one that has a key and keeps it, or the one whose key is typed now."""
    chomp = Chomp(Settings.load())
    previews = anyio.run(_previews)
    routers = key_takers(chomp.routers.values())
    print("1. A router and its key. Those with a free tier come first:\n")
    for number, router in enumerate(routers, 1):
        has = f" · has a key: {previews[router.id]}" if router.id in previews else ""
        print(f"  {number}  {router.name}{has}\n     {router.limits or 'no free tier is known'}")
    router = _chosen(routers)
    if router.id in previews and not _yes(f"{router.name} has a key. Add another one?", default=False):
        return router
    print(f"\nGet a key at {router.keys_page}")
    if _can_browse() and _yes("Open that page in the browser?", default=True):
        webbrowser.open(router.keys_page)
    for left in reversed(range(MOST_TRIES)):
        try:
            print(anyio.run(store_checked, router.id, typed(router)).checked)
        except (InvalidRequest, UpstreamError) as error:
            print(error_line(error))
            if not left:
                raise
        else:
            break
    return router


async def _previews() -> dict[str, str]:
    async with Chomp(Settings.load()) as chomp:
        return await chomp.keyring.previews(OWNER)


def _chosen(routers: Sequence[Router]) -> Router:
    while True:
        said = input(f"\nWhich one? [1-{len(routers)}, Enter for 1] ").strip() or "1"
        if said.isdecimal() and 1 <= int(said) <= len(routers):
            return routers[int(said) - 1]
        if found := next((router for router in routers if said.lower() in {router.id, router.name.lower()}), None):
            return found
        print(f"Type a number from 1 to {len(routers)}.")


def _clients() -> None:
    """Every client on this machine, each only when the person agrees; one that fails does not stop the others."""
    found = [name for name, client in CLIENTS.items() if client.is_installed()]
    print(f"\n2. MCP clients on this machine: {', '.join(CLIENTS[name].name for name in found) or 'none was found'}\n")
    for name in found:
        if not _yes(f"Write chomp into {CLIENTS[name].name}?", default=True):
            continue
        try:
            install.install(parsed(["install", name]))
        except ChompError as error:
            print(error_line(error))


def _yes(question: str, *, default: bool) -> bool:
    said = input(f"{question} [{'Y/n' if default else 'y/N'}] ").strip().lower()
    return default if not said else said in {"y", "yes"}


def _can_browse() -> bool:
    """A browser would open in front of the person: not over SSH, nor without a display."""
    if os.environ.get("SSH_CONNECTION"):
        return False
    return sys.platform in {"darwin", "win32"} or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
