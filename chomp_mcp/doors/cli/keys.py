"""`keys`: which routers have a key, adding and removing one without showing it, and caller tokens."""

from __future__ import annotations

import argparse
import getpass
import re
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import anyio

from chomp_mcp.app import Chomp
from chomp_mcp.doors.cli import exit_code
from chomp_mcp.doors.cli.output import remark, show_json, table
from chomp_mcp.doors.cli.parser import PIPE_IT
from chomp_mcp.doors.cli.status_line import StatusLine
from chomp_mcp.doors.cli.tokens import show_token
from chomp_mcp.doors.cli.words import spoken
from chomp_mcp.errors import InvalidRequest, UpstreamRefused
from chomp_mcp.gateway.key_check import check_key
from chomp_mcp.messages import OWNER
from chomp_mcp.policy import key_shape, routing
from chomp_mcp.settings import Settings

if TYPE_CHECKING:
    from chomp_mcp.messages import Router


async def list_keys(args: argparse.Namespace) -> None:
    """A table of routers and masked keys."""
    async with Chomp(Settings.load()) as chomp:
        previews = await chomp.keyring.previews(OWNER)
        routers = chomp.routers.values()
    if args.json:
        show_json(previews)
        return
    rows = [(r.id, previews.get(r.id, "-"), r.key_variable, r.keys_page) for r in routers if r.needs_key]
    table(("ROUTER", "KEY", "VARIABLE", "GET ONE AT"), rows, droppable=("VARIABLE",))


def add(args: argparse.Namespace) -> None:
    """Store a key that is typed hidden or piped in; asked for outside the event loop, so that Ctrl-C ends getpass.

    Without a router, the key says by its beginning whose it is.
    """
    chomp = Chomp(Settings.load())
    router = chomp.routers.get(args.router)
    if router is None and routing.owner_of_key(args.router, chomp.routers.values()):
        raise InvalidRequest("A key is never an argument, for shells remember those.", hint=PIPE_IT)
    if router is not None and not router.needs_key:
        raise InvalidRequest(f"{router.name} needs no key.", hint=f"Ask it: chomp-mcp ask hi -r {router.id}")
    if args.router:
        # an unknown router is refused by register_keys, in the words of every other door
        router_id, key = args.router, "-" if router is None else typed(router)
    else:
        key = typed(None)
        owner = routing.owner_of_key(key, chomp.routers.values())
        if owner is None:
            hint = "Name it: chomp-mcp keys add ROUTER"
            raise InvalidRequest("How this key begins says nothing of its router.", hint=hint)
        router_id = owner.id
    preview, checked = anyio.run(
        partial(store_checked, router_id, key, keep_others=not args.replace, check=not args.no_check)
    )
    if args.json:
        show_json({"router": router_id, "key": preview, "checked": checked})
        return
    print(f"{router_id}: {preview}")
    remark(checked)
    if limits := chomp.routers[router_id].limits:
        remark(f"What it allows: {limits}.")


async def store_checked(router_id: str, key: str, *, keep_others: bool = True, check: bool = True) -> tuple[str, str]:
    """Store what the router takes, asked with a call that needs a key; also where it cannot be asked now.

    Returns: the masked keys of the router, and a sentence about what it said of the new one.

    Raises:
        InvalidRequest: no such router, or what cannot be one of its keys.
        UpstreamRefused: the router says no to the key; nothing was stored.
    """
    async with Chomp(Settings.load()) as chomp:
        said = "It was not checked."
        router = chomp.routers.get(router_id)
        owner = routing.owner_of_key(key, chomp.routers.values())
        if check and router is not None and (owner is None or owner is router):  # not to a stranger
            with StatusLine(lambda: f"asking {router.name} whether it takes the key"):
                for each in key_shape.cleaned_keys(key):
                    found = await check_key(chomp.client, router, each, clock=chomp.clock)
                    told = found.detail.rstrip(".")
                    if found.is_refused:
                        where = f" at {router.keys_page}" if router.keys_page else ""
                        why = f"{router.name} refuses this key, and nothing was stored: {told}."
                        hint = f"Copy it anew{where}, or store it all the same with --no-check."
                        raise UpstreamRefused(why, status=401, hint=hint)
                    # A router that is away says nothing against the key: it is stored, and doctor asks again.
                    said = f"It could not be checked: {told}. Try later: chomp-mcp doctor"
                    if not found.ok:
                        break
                    said = f"Checked: {told}. Ask it: chomp-mcp ask hi -r {router.id}"
        previews = await chomp.register_keys({router_id: key}, keep_others=keep_others)
    return previews.get(router_id, "stored"), said


def import_keys(args: argparse.Namespace) -> int:
    """A row per key that was found; exit code 4 where a router refused one, 2 where there was none."""
    name = "stdin" if args.file == "-" else args.file
    try:
        text = sys.stdin.read() if args.file == "-" else Path(args.file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is not text"
        raise InvalidRequest(f"{name} cannot be read: {why}.", hint="Name a file of NAME=KEY lines.") from None
    variables = {r.key_variable: r for r in Chomp(Settings.load()).routers.values() if r.key_variable}
    lines = (line.strip().removeprefix("export ").partition("=") for line in text.splitlines())
    pairs = ((name.strip(), re.sub(r"(^|\s)#.*", "", value).strip()) for name, _, value in lines)
    given = {variables[name].id: value for name, value in pairs if name in variables and value}
    if not given:
        raise InvalidRequest(f"{name} has no key of a router.", hint=f"These are: {', '.join(variables)}.")
    rows: list[dict[str, str | None]] = []
    code = 0
    for router_id, value in given.items():
        try:
            preview, checked = anyio.run(store_checked, router_id, value)
            rows.append({"router": router_id, "key": preview, "checked": checked})
        except (InvalidRequest, UpstreamRefused) as error:
            rows.append({"router": router_id, "key": None, "checked": spoken(str(error))})
            code = max(code, exit_code(error))
    if args.json:
        show_json(rows)
    else:
        table(("ROUTER", "KEY", "CHECKED"), [tuple(row.values()) for row in rows], wraps=True)
    return code


def typed(router: Router | None) -> str:
    """The key, typed hidden or piped in.

    Raises:
        InvalidRequest: none was given, or what can be no key.
    """
    name = router.name if router else "any router"
    if sys.stdin.isatty():
        where = f" ({router.keys_page})" if router and router.keys_page else ""
        key = getpass.getpass(f"Key for {name}{where}, typed hidden: ")
    else:
        key = sys.stdin.readline()
    if not key.strip():
        of = router.id if router else "ROUTER"
        raise InvalidRequest("No key was given.", hint=f"Type it, or pipe it in: chomp-mcp keys add {of} < FILE")
    for each in key_shape.cleaned(key).split(","):  # without quotes and a `NAME=`, which go with a copy
        if reason := key_shape.why_no_key(key_shape.cleaned(each)):
            hint = f"Copy it from {(router and router.keys_page) or 'its maker'}."
            raise InvalidRequest(f"That is no key for {name}: it {reason}.", hint=hint)
    return key.strip()


async def remove(args: argparse.Namespace) -> None:
    """Forget a stored key."""
    router_id = args.router
    async with Chomp(Settings.load()) as chomp:
        before = (await chomp.keyring.previews(OWNER)).get(router_id)
        left = (await chomp.register_keys({router_id: ""})).get(router_id)
    if args.json:
        show_json({"router": router_id, "removed": before != left, "key": left})
        return
    done = "no key was stored" if before == left else "removed"
    print(f"{router_id}: {done}" if not left else f"{router_id}: {done}, {left} is what is left")


async def token(args: argparse.Namespace) -> None:
    """Make a caller token; only its hash is kept, so this is the one time it shows."""
    async with Chomp(Settings.load()) as chomp:
        made, caller = await chomp.keyring.create()
    show_token(args.json, made, {"caller": caller.id}, " It has no router keys yet: POST /api/keys with it.")
