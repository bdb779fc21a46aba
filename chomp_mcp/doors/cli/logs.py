"""`logs`: the receipts of the newest exchanges, of all doors and callers."""

from __future__ import annotations

import argparse

import anyio

from chomp_mcp.app import Chomp
from chomp_mcp.doors.cli.output import clock, remark, show_json, table
from chomp_mcp.gateway.receipt_log import ExchangeView
from chomp_mcp.messages import receipt_line
from chomp_mcp.settings import Settings

__all__ = ["logs"]


def logs(args: argparse.Namespace) -> int:
    """A row per exchange, the newest first; with --json the whole receipts."""
    return anyio.run(_logs, args)


async def _logs(args: argparse.Namespace) -> int:
    async with Chomp(Settings.load()) as chomp:
        recent = await chomp.receipts.recent(max(1, args.limit))
    if args.json:
        show_json(recent)
    elif recent:
        table(("ENDED", "DOOR", "STATUS", "RECEIPT"), map(_row, recent), droppable=("DOOR",), wraps=True)
    else:
        remark("No exchanges in the last day.")
    return 0


def _row(row: ExchangeView) -> tuple[str, ...]:
    receipt = row["receipt"]
    asked = "" if receipt["asked"] == receipt["served"] else f"{receipt['asked']} -> "
    return clock(row["at"]), row["door"], row["status"].replace("_", " "), f"{asked}{receipt_line(receipt)}"
