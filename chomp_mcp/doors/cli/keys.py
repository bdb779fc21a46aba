"""`keys`: which routers have a key, adding and removing one without showing it, and caller tokens."""

from __future__ import annotations

import argparse
import getpass
import sys
from typing import TYPE_CHECKING

import anyio

from chomp_mcp.app import Chomp
from chomp_mcp.doors.cli.output import remark, show_json, table
from chomp_mcp.errors import InvalidRequest
from chomp_mcp.messages import OWNER
from chomp_mcp.policy import key_shape
from chomp_mcp.settings import Settings

if TYPE_CHECKING:
    from chomp_mcp.messages import Router

__all__ = ["add", "list_keys", "remove", "token"]


def list_keys(args: argparse.Namespace) -> int:
    """A table of routers and masked keys."""
    return anyio.run(_list, args)


def remove(args: argparse.Namespace) -> int:
    """Forget a stored key."""
    return anyio.run(_remove, args.router)


def token(args: argparse.Namespace) -> int:
    """Make a caller token; only its hash is kept, so this is the one time it shows."""
    return anyio.run(_token, args)


async def _list(args: argparse.Namespace) -> int:
    async with Chomp(Settings.load()) as chomp:
        previews = await chomp.keyring.previews(OWNER)
        routers = chomp.routers.values()
    if args.json:
        show_json(previews)
        return 0
    rows = [(r.id, previews.get(r.id, "-"), r.key_variable, r.keys_page) for r in routers if r.needs_key]
    table(("ROUTER", "KEY", "VARIABLE", "GET ONE AT"), rows, droppable=("VARIABLE",))
    return 0


def add(args: argparse.Namespace) -> int:
    """Store a key that is typed hidden or piped in; asked for outside the event loop, so that Ctrl-C ends getpass."""
    chomp = Chomp(Settings.load())
    router = chomp.routers.get(args.router)
    if router is not None and not router.needs_key:
        raise InvalidRequest(f"{router.name} needs no key.", hint=f"Ask it: chomp-mcp ask hi -r {router.id}")
    # an unknown router is refused by register_keys, in the words of every other door
    return anyio.run(_add, chomp, args.router, "-" if router is None else _typed(router), not args.replace)


async def _add(chomp: Chomp, router_id: str, key: str, keep_others: bool) -> int:
    async with chomp:
        previews = await chomp.register_keys({router_id: key}, keep_others=keep_others)
    print(f"{router_id}: {previews.get(router_id, 'stored')}")
    remark(f"See that it works: chomp-mcp models {router_id}")
    return 0


def _typed(router: Router) -> str:
    if sys.stdin.isatty():
        where = f" ({router.keys_page})" if router.keys_page else ""
        key = getpass.getpass(f"Key for {router.name}{where}, typed hidden: ")
    else:
        key = sys.stdin.readline()
    if not key.strip():
        raise InvalidRequest("No key was given.", hint=f"Type it, or pipe it in: chomp-mcp keys add {router.id} < FILE")
    return checked_key(key, router)


def checked_key(text: str, router: Router) -> str:
    """What was typed or pasted, if a router may have given it out; its quotes and `NAME=` go."""
    for key in key_shape.cleaned(text).split(","):
        if reason := key_shape.why_no_key(key_shape.cleaned(key)):
            raise InvalidRequest(
                f"That is no key for {router.name}: it {reason}.",
                hint=f"Copy it from {router.keys_page or 'its maker'}.",
            )
    return text.strip()


async def _remove(router_id: str) -> int:
    async with Chomp(Settings.load()) as chomp:
        before = (await chomp.keyring.previews(OWNER)).get(router_id)
        left = (await chomp.register_keys({router_id: ""})).get(router_id)
    done = "no key was stored" if before == left else "removed"
    print(f"{router_id}: {done}" if not left else f"{router_id}: {done}, {left} is what is left")
    return 0


async def _token(args: argparse.Namespace) -> int:
    async with Chomp(Settings.load()) as chomp:
        made, caller = await chomp.keyring.create()
    if args.json:
        show_json({"token": made, "caller": caller.id})
    else:
        print(made)
        remark(
            "This is the only time it shows: only its hash is kept. It has no router keys yet: POST /api/keys with it."
        )
    return 0
