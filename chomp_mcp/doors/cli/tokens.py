"""`tokens`: callers beside the owner, what each may, and when it was last seen."""

from __future__ import annotations

import argparse

from chomp_mcp.app import Chomp
from chomp_mcp.doors.cli.output import remark, show_json, table
from chomp_mcp.doors.views import SHOWN_ID, token_view
from chomp_mcp.errors import InvalidRequest
from chomp_mcp.messages import Caller
from chomp_mcp.policy.grants import FIELDS
from chomp_mcp.settings import Settings


async def list_tokens(args: argparse.Namespace) -> None:
    """A table of the tokens, never of what they are."""
    async with Chomp(Settings.load()) as chomp:
        rows = [token_view(token) for token in await chomp.keyring.tokens()]
    if args.json:
        show_json(rows)
        return
    table(
        ("ID", "NAME", "MODELS", "DOORS", "DAILY", "MONTHLY", "RPS", "EXPIRES", "LAST USED"),
        [
            (
                row["id"],
                row["name"] or "-",
                ", ".join(row["models"]) or "all",
                ", ".join(row["doors"]) or "all",
                *(row[name] or "-" for name in ("daily", "monthly", "rps", "expires", "used")),
            )
            for row in rows
        ],
        droppable=("RPS", "LAST USED", "DOORS", "EXPIRES", "MONTHLY", "DAILY"),
    )


async def add(args: argparse.Namespace) -> None:
    """Make one; only its hash is kept, so this is the one time it shows."""
    async with Chomp(Settings.load()) as chomp:
        token, caller = await chomp.issue_token({name: getattr(args, name) for name in FIELDS})
    _show(args, token, caller)


async def rotate(args: argparse.Namespace) -> None:
    """Another token for the same caller."""
    async with Chomp(Settings.load()) as chomp:
        caller = await chomp.keyring.named(args.name)
        token = await chomp.keyring.rotate(caller)
    if token is None:
        raise InvalidRequest(f"The token {args.name!r} was revoked meanwhile.", hint="Make one: chomp-mcp tokens add")
    _show(args, token, caller)


async def revoke(args: argparse.Namespace) -> None:
    """Delete one, with the keys and the jobs of its caller."""
    async with Chomp(Settings.load()) as chomp:
        caller = await chomp.keyring.named(args.name)
        await chomp.forget(caller)
    show_json({"revoked": caller.id[:SHOWN_ID]}) if args.json else print(f"{args.name}: revoked")


def _show(args: argparse.Namespace, token: str, caller: Caller) -> None:
    if args.json:
        show_json({"token": token, "id": caller.id[:SHOWN_ID]})
    else:
        print(token)
        remark("This is the only time it shows: only its hash is kept.")
