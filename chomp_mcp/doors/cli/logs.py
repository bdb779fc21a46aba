"""`logs`: the receipts of the newest exchanges, of all doors and callers."""

from __future__ import annotations

import argparse

from chomp_mcp.app import Chomp
from chomp_mcp.doors.cli.output import clock, remark, show_json, table
from chomp_mcp.messages import receipt_line
from chomp_mcp.settings import Settings


async def logs(args: argparse.Namespace) -> None:
    """A row per exchange, the newest first; with --json the whole receipts."""
    async with Chomp(Settings.load()) as chomp:
        recent = await chomp.receipts.recent(args.limit)
    if args.json:
        show_json(recent)
    elif recent:
        rows = []
        for row in recent:
            receipt = row["receipt"]
            asked = "" if receipt["asked"] == receipt["served"] else f"{receipt['asked']} -> "
            status = row["status"].replace("_", " ")
            rows.append((clock(row["at"]), row["door"], status, f"{asked}{receipt_line(receipt)}"))
        table(("ENDED", "DOOR", "STATUS", "RECEIPT"), rows, droppable=("DOOR",), wraps=True)
    else:
        remark("No exchanges in the last day.")
