"""`tokens`: callers beside the owner, what each may, and when it was last seen."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from datetime import datetime

from chomp_mcp.app import Chomp
from chomp_mcp.doors.cli.output import clock, remark, show_json, table
from chomp_mcp.doors.views import SHOWN_ID, token_view
from chomp_mcp.errors import InvalidRequest
from chomp_mcp.policy.grants import FIELDS
from chomp_mcp.settings import Settings


async def list_tokens(args: argparse.Namespace) -> None:
    """A table of the tokens, never of what they are."""
    async with Chomp(Settings.load()) as chomp:
        rows = [token_view(token) for token in await chomp.keyring.tokens()]
    if args.json:
        show_json(rows)
        return
    if not rows:
        remark("No tokens. Make one with: chomp-mcp tokens add NAME")
        return
    cells = []
    for row in rows:
        may = (", ".join(row["models"]) or "all", ", ".join(row["doors"]) or "all")
        ends = clock(datetime.fromisoformat(row["expires"]).timestamp()) if row["expires"] else "-"
        limits = (row[name] or "-" for name in ("daily", "monthly", "rps"))
        cells.append((row["id"], row["name"] or "-", *may, *limits, ends, row["used"] or "-"))
    headers = ("ID", "NAME", "MODELS", "DOORS", "DAILY", "MONTHLY", "RPS", "EXPIRES", "LAST USED")
    table(headers, cells, droppable=("RPS", "LAST USED", "DOORS", "EXPIRES", "MONTHLY", "DAILY"))


async def add(args: argparse.Namespace) -> None:
    """Make one; only its hash is kept, so this is the one time it shows."""
    async with Chomp(Settings.load()) as chomp:
        token, caller = await chomp.issue_token({name: getattr(args, name) for name in FIELDS})
    show_token(args.json, token, {"id": caller.id[:SHOWN_ID]})


async def rotate(args: argparse.Namespace) -> None:
    """Another token for the same caller."""
    async with Chomp(Settings.load()) as chomp:
        caller = await chomp.keyring.named(args.name)
        token = await chomp.keyring.rotate(caller)
    if token is None:
        raise InvalidRequest(f"The token {args.name!r} was revoked meanwhile.", hint="Make one: chomp-mcp tokens add")
    show_token(args.json, token, {"id": caller.id[:SHOWN_ID]})


async def revoke(args: argparse.Namespace) -> None:
    """Delete one, with the keys and the jobs of its caller."""
    async with Chomp(Settings.load()) as chomp:
        caller = await chomp.keyring.named(args.name)
        await chomp.forget(caller)
    show_json({"revoked": caller.id[:SHOWN_ID]}) if args.json else print(f"{args.name}: revoked")


def show_token(as_json: bool, token: str, whose: Mapping[str, str], more: str = "") -> None:
    """A new token, and on stderr what its owner must know; `whose` stands beside it in JSON."""
    if as_json:
        show_json({"token": token, **whose})
    else:
        print(token)
        remark(f"This is the only time it shows: only its hash is kept.{more}")
