"""`setup`: the guided walk from nothing to the first answer."""

from __future__ import annotations

import argparse
import os
import sys
import webbrowser
from collections.abc import Iterable

import anyio

from chomp_mcp.app import Chomp
from chomp_mcp.doors.cli import asking, install
from chomp_mcp.doors.cli.changes import is_yes
from chomp_mcp.doors.cli.clients import CLIENTS
from chomp_mcp.doors.cli.keys import store_checked, typed
from chomp_mcp.doors.cli.launch import typed_command
from chomp_mcp.doors.cli.output import as_typed, show_json
from chomp_mcp.doors.cli.parser import parsed
from chomp_mcp.doors.cli.words import error_line
from chomp_mcp.errors import ChompError, InvalidRequest, UpstreamError
from chomp_mcp.messages import OWNER, Router
from chomp_mcp.settings import Settings

FIRST_QUESTION = "Say hello in one sentence, and name the model that you are."
MOST_TRIES = 3


def setup(args: argparse.Namespace) -> None:
    """A key, checked; the clients' entries; the first question and its receipt. What is there already is kept.

    With --json nothing is asked and nothing changed: what the walk would find, and the commands that do its steps.
    """
    if args.json:
        (takers, previews), ours = anyio.run(_takers), typed_command()
        routers = [
            {
                "id": router.id,
                "name": router.name,
                "key": previews.get(router.id),
                "limits": router.limits,
                "keys_page": router.keys_page,
                "command": f"{ours} keys add {router.id}",
            }
            for router in takers
        ]
        clients = [
            {"id": name, "name": client.name, "command": f"{ours} install {name} --yes"}
            for name, client in CLIENTS.items()
            if client.is_installed()
        ]
        first = f"{ours} ask {FIRST_QUESTION!r}"
        show_json({"routers": routers, "clients": clients, "first_question": first})
        return
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        hint = "Run chomp-mcp keys add ROUTER < FILE, then chomp-mcp install CLIENT --yes."
        raise InvalidRequest("setup is a walk with questions, and this is no terminal.", hint=hint)
    router = _key()
    found = [name for name, client in CLIENTS.items() if client.is_installed()]
    print(f"\n2. MCP clients on this machine: {', '.join(CLIENTS[name].name for name in found) or 'none was found'}\n")
    for name in found:
        if is_yes(f"Write chomp into {CLIENTS[name].name}?"):
            try:
                install.install(parsed(["install", name]))
            except ChompError as error:  # one that fails does not stop the others
                print(error_line(error))
    print(f"\n3. The first question, to {router.name}: {FIRST_QUESTION}\n")
    asking.ask(parsed(["ask", FIRST_QUESTION, "-m", f"{router.id}/auto"]))
    print(as_typed(f'\nThat was all. Ask on: chomp-mcp ask "…" -m {router.id}/auto · what is left: chomp-mcp status'))


def _key() -> Router:
    """The router to begin with: one that has a key and keeps it, or the one whose key is typed now."""
    routers, previews = anyio.run(_takers)
    print("1. A router and its key. Those with a free tier come first:\n")
    named = {word.lower(): router for router in routers for word in (router.id, router.name)}
    for number, router in enumerate(routers, 1):
        named[str(number)] = router
        has = f" · has a key: {previews[router.id]}" if router.id in previews else ""
        print(f"  {number}  {router.name}{has}\n     {router.limits or 'no free tier is known'}")
    question = f"\nWhich one? [1-{len(routers)}, Enter for 1] "
    while (chosen := named.get(input(question).strip().lower() or "1")) is None:
        print(f"Type a number from 1 to {len(routers)}.")
    if chosen.id in previews and not is_yes(f"{chosen.name} has a key. Add another one?", default=False):
        return chosen
    print(f"\nGet a key at {chosen.keys_page}")
    # A browser must open in front of the person: not over SSH, nor without a display.
    has_display = sys.platform in {"darwin", "win32"} or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    if has_display and not os.environ.get("SSH_CONNECTION") and is_yes("Open that page in the browser?"):
        webbrowser.open(chosen.keys_page)
    for left in reversed(range(MOST_TRIES)):
        try:
            print(anyio.run(store_checked, chosen.id, typed(chosen))[1])
        except (InvalidRequest, UpstreamError) as error:
            print(error_line(error))
            if not left:
                raise
        else:
            break
    return chosen


def key_takers(routers: Iterable[Router]) -> list[Router]:
    """Those that take a key: with a free tier first, without anything for nothing last."""
    # docs/ and the packages list them in this order, too: .ci/docs.py.
    takers = (router for router in routers if router.needs_key and not router.deprecated)
    return sorted(takers, key=lambda each: (not each.limits.startswith("free"), each.limits.startswith("none free")))


async def _takers() -> tuple[list[Router], dict[str, str]]:
    """The routers that take a key, and the keys that are there, masked."""
    async with Chomp(Settings.load()) as chomp:
        return key_takers(chomp.routers.values()), await chomp.keyring.previews(OWNER)
