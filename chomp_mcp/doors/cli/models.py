"""`models`: every model that the caller's keys reach."""

from __future__ import annotations

import argparse

from chomp_mcp.app import Chomp
from chomp_mcp.doors.cli.output import remark, show_json, table
from chomp_mcp.doors.cli.status_line import StatusLine
from chomp_mcp.doors.cli.words import spoken
from chomp_mcp.doors.views import command_model, plain_price
from chomp_mcp.errors import UpstreamFailed
from chomp_mcp.messages import AUTO
from chomp_mcp.settings import Settings


async def models(args: argparse.Namespace) -> int:
    """A table of models; routers that could not be asked are named on stderr, exit code 4 if nobody else was there."""
    async with Chomp(Settings.load()) as chomp:
        whom = "the routers" if args.router == AUTO else args.router
        with StatusLine(lambda: f"asking {whom} for {'their' if args.router == AUTO else 'its'} models"):
            filters = {"query": args.query, "free_only": args.free, "needs": [args.needs]}
            page = await chomp.list_models(args.router, **filters, limit=None)
            found = await chomp.priced(page.models)
    is_narrowed = bool(args.query or args.free or args.needs)
    all_failed = bool(page.errors) and not found and not is_narrowed
    shown = [*page.groups, *found]
    if args.json:
        models = [command_model(model) for model in shown]
        show_json({"models": models, "errors": page.errors, "unknown": page.unknown})
        if all_failed:
            raise UpstreamFailed("; ".join(f"{router}: {why}" for router, why in page.errors.items()))
        return 0
    if shown:
        rows = []
        for model in shown:
            prices, can = (plain_price(model.price_in), plain_price(model.price_out)), ", ".join(sorted(model.can))
            rows.append((model.ref, model.context_length, model.max_output, *prices, model.free, can))
        headers = ("MODEL", "CONTEXT", "MAX OUT", "$/M IN", "$/M OUT", "FREE", "CAN")
        table(headers, rows, droppable=("CAN", "MAX OUT", "CONTEXT"))
        if args.router == AUTO and found and all(chomp.routers[model.router].joins_auto == "last" for model in found):
            remark("That is the built-in router alone. Add a key with: chomp-mcp keys add ROUTER")
    elif not page.errors:
        if is_narrowed:
            remark("No model fits.")
        else:
            is_any = args.router == AUTO
            remark("No models. Add a key with: chomp-mcp keys add ROUTER" if is_any else "It lists no models.")
    for router, why in page.errors.items():
        remark(f"{router}: {spoken(why)}")
    if page.unknown:
        remark(f"{page.unknown} more do not say whether they can.")
    return 4 if all_failed else 0
