"""`tokens`: callers beside the owner, what each may, and when it was last seen."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from typing import Any

import anyio

from chomp_mcp.app import Chomp
from chomp_mcp.doors.cli.output import remark, show_json, table
from chomp_mcp.errors import InvalidRequest
from chomp_mcp.messages import Caller
from chomp_mcp.policy.grants import FIELDS
from chomp_mcp.settings import Settings
from chomp_mcp.store.keyring import Token

__all__ = ["add", "list_tokens", "revoke", "rotate"]

_SHOWN_ID = 12


def list_tokens(args: argparse.Namespace) -> int:
    """A table of the tokens, never of what they are."""
    return anyio.run(_list, args)


def add(args: argparse.Namespace) -> int:
    """Make one; only its hash is kept, so this is the one time it shows."""
    return anyio.run(_add, args)


def revoke(args: argparse.Namespace) -> int:
    """Delete one, with the keys and the jobs of its caller."""
    return anyio.run(_revoke, args)


def rotate(args: argparse.Namespace) -> int:
    """Another token for the same caller."""
    return anyio.run(_rotate, args)


async def _list(args: argparse.Namespace) -> int:
    async with Chomp(Settings.load()) as chomp:
        rows = [_row(token) for token in await chomp.keyring.tokens()]
    if args.json:
        show_json(rows)
        return 0
    table(
        ("ID", "NAME", "MODELS", "DAILY", "MONTHLY", "RPS", "EXPIRES", "LAST USED"),
        [
            (
                row["id"],
                row["name"] or "-",
                ", ".join(row["models"]) or "all",
                *(row[name] or "-" for name in ("daily", "monthly", "rps", "expires", "used")),
            )
            for row in rows
        ],
    )
    return 0


async def _add(args: argparse.Namespace) -> int:
    async with Chomp(Settings.load()) as chomp:
        token, caller = await chomp.issue_token({name: getattr(args, name) for name in FIELDS})
    return _show(args, token, caller)


async def _rotate(args: argparse.Namespace) -> int:
    async with Chomp(Settings.load()) as chomp:
        caller = await _named(chomp, args.name)
        token = await chomp.keyring.rotate(caller)
    if token is None:
        raise InvalidRequest(f"The token {args.name!r} was revoked meanwhile.", hint="Make one: chomp-mcp tokens add")
    return _show(args, token, caller)


async def _revoke(args: argparse.Namespace) -> int:
    async with Chomp(Settings.load()) as chomp:
        caller = await _named(chomp, args.name)
        await chomp.forget(caller)
    show_json({"revoked": caller.id[:_SHOWN_ID]}) if args.json else print(f"{args.name}: revoked")
    return 0


def _show(args: argparse.Namespace, token: str, caller: Caller) -> int:
    if args.json:
        show_json({"token": token, "id": caller.id[:_SHOWN_ID]})
    else:
        print(token)
        remark("This is the only time it shows: only its hash is kept.")
    return 0


async def _named(chomp: Chomp, name: str) -> Caller:
    found = [t for t in await chomp.keyring.tokens() if t.grant.name == name or t.caller_id.startswith(name)]
    if len(found) != 1:
        raise InvalidRequest(
            f"{len(found) or 'No'} token{'s' if found else ''} of the name {name!r}.", hint="See: chomp-mcp tokens list"
        )
    return Caller(found[0].caller_id)


def _row(token: Token) -> dict[str, Any]:
    grant = token.grant
    return {
        "id": token.caller_id[:_SHOWN_ID],
        "name": grant.name,
        "models": list(grant.models),
        "daily": None if grant.daily is None else str(grant.daily),
        "monthly": None if grant.monthly is None else str(grant.monthly),
        "rps": grant.rps,
        "expires": _when(grant.expires_at),
        "created": token.created,
        "used": token.used or None,
    }


def _when(at: float | None) -> str | None:
    return None if at is None else datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")
