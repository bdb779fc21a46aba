"""`explain`: where a request for a model would go now, and why, without a call."""

from __future__ import annotations

import argparse

from chomp_mcp.app import Chomp
from chomp_mcp.doors.cli.output import remark, show_json, table
from chomp_mcp.doors.cli.status_line import StatusLine
from chomp_mcp.messages import OWNER, ChatRequest
from chomp_mcp.policy.capability import checked_needs
from chomp_mcp.settings import Settings


async def explain(args: argparse.Namespace) -> None:
    """The plan as a table, the notes below it."""
    request = ChatRequest({}, args.model, args.router, needs=checked_needs([args.needs]))
    async with Chomp(Settings.load()) as chomp:
        with StatusLine(lambda: "asking the routers for their models"):
            view = await chomp.gateway.explain(OWNER, request)
    if args.json:
        show_json(view)
        return
    rows = [
        (each["place"], f"{each['router']}/{each['model']}", each["reason"], each["rests"] or None)
        for each in view["plan"]
    ]
    table(("", "ROUTE", "WHY HERE", "RESTS"), rows, wraps=True)
    for note in view["notes"]:
        remark(note)
