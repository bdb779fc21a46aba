"""`status`: what can still be used now, until when, and what today cost."""

from __future__ import annotations

import argparse
import sys
from datetime import datetime

from chomp_mcp.app import Chomp
from chomp_mcp.doors.cli import exit_code
from chomp_mcp.doors.cli.output import as_typed, clock, show_json, table
from chomp_mcp.doors.cli.status_line import StatusLine
from chomp_mcp.doors.views import quota_line
from chomp_mcp.errors import StoreError
from chomp_mcp.gateway.status import RouterStatus
from chomp_mcp.settings import Settings


async def status(args: argparse.Namespace) -> int:
    """A table of the routers, then the spend against the budgets; with --json all that is known."""
    async with Chomp(Settings.load()) as chomp:
        with StatusLine(lambda: "asking the routers what is left"):
            told = await chomp.status()
    # Something was told, and something could not be.
    code = exit_code(StoreError("")) if "trouble" in told else 0
    if args.json:
        show_json(told)
        return code
    rows, keyless = [], []
    for router, row in told["routers"].items():
        quota, needs_none = _quota(row), row["key"] is None
        has_news = row["spent_today_usd"] != "0" or row["breaker"] != "closed" or quota
        # A person looks for what there is; whatever reads a pipe gets a row for each.
        if row["key"] is False and not has_news and sys.stdout.isatty():
            keyless.append(router)
            continue
        usable = "yes" if row["ready"] else (row["reason"] or ("not running" if needs_none else "no key"))
        key, breaker = "not needed" if needs_none else row["key"], row["breaker"].replace("_", "-")
        until, spent = clock(_at(row["cooldown_until"])), f"${row['spent_today_usd']}"
        rows.append((router, key, breaker, usable.replace("_", " "), until, spent, quota or "-"))
    headers = ("ROUTER", "KEY", "BREAKER", "USABLE", "UNTIL", "SPENT TODAY", "QUOTA LEFT")
    table(headers, rows, droppable=("BREAKER", "UNTIL"), wraps=True)
    if keyless:
        print(as_typed(f"\nWithout a key: {', '.join(keyless)}. Where each is had: chomp-mcp keys list"))
    documented = [(router, row["limits"]) for router, row in told["routers"].items() if row["key"] and not _quota(row)]
    if documented:
        print("\nDocumented limits, of routers that have told none yet:")
        for router, limits in documented:
            print(f"  {router}: {limits or 'none are known'}")
    moved = [f"  {router}: {row['url']} ({row['url_from']})" for router, row in told["routers"].items() if "url" in row]
    if moved:
        print("\nRouters that you have moved:", *moved, sep="\n")
    print(f"\nkeys   {told['keys']['note']}")
    spend = told["spend"]
    calls = (
        f"{spend['calls_today']} calls",
        f"{spend['unpriced_calls_today']} of unknown price" if spend["unpriced_calls_today"] else "",
        f"{spend['estimated_calls_today']} estimated" if spend["estimated_calls_today"] else "",
        f"{spend['input_tokens_today']} tokens in, {spend['output_tokens_today']} out",
        f"${spend['reserved_usd']} reserved" if spend["reserved_usd"] != "0" else "",
    )
    today = ", ".join(filter(None, (_of(spend["today_usd"], spend["daily_budget_usd"]), *calls)))
    print(f"today  {today}")
    print(f"month  {_of(spend['month_usd'], spend['monthly_budget_usd'])}")
    if "trouble" in told:
        print(f"\n{told['trouble']}")
    return code


def _quota(row: RouterStatus) -> str:
    """What rests and what is left, as the router last told it."""
    known = []
    for rest in row["resting"]:
        what, why = rest["what"].removeprefix("model:"), rest["reason"].replace("_", " ")
        known.append(f"{what} rests until {clock(_at(rest['until']))} ({why})")
    for account in row["credit"]:
        if (left := account["remaining_usd"]) is not None:
            known.append(f"${left} of credit (account page)" + ", free models only" * account["free_only"])
        elif account["free_only"]:
            known.append("free models only")
    for reading in row["quota"]:
        if reading["remaining"] is None:
            continue
        new = f", new at {clock(_at(reading['resets_at']))}" if reading["resets_at"] else ""
        known.append(quota_line(reading, new))
    return "; ".join(known)


def _at(iso: str | None) -> float | None:
    return None if iso is None else datetime.fromisoformat(iso).timestamp()


def _of(spent: str, budget: str | None) -> str:
    return f"${spent} of ${budget}" if budget else f"${spent}, no budget"
