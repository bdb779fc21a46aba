"""`status`: what can still be used now, until when, and what today cost."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from datetime import datetime
from typing import Any

import anyio

from chomp_mcp.app import Chomp
from chomp_mcp.doors.cli.output import as_typed, clock, show_json, table
from chomp_mcp.doors.cli.status_line import StatusLine
from chomp_mcp.gateway.status import CreditView, QuotaView, RestView, RouterStatus, SpendView
from chomp_mcp.settings import Settings

__all__ = ["status"]


def status(args: argparse.Namespace) -> int:
    """A table of the routers, then the spend against the budgets; with --json all that is known."""
    return anyio.run(_status, args)


async def _status(args: argparse.Namespace) -> int:
    async with Chomp(Settings.load()) as chomp:
        with StatusLine(lambda: "asking the routers what is left"):
            told = await chomp.status()
    if args.json:
        show_json(told)
        return 0
    headers = ("ROUTER", "KEY", "BREAKER", "USABLE", "UNTIL", "SPENT TODAY", "QUOTA LEFT")
    # A person looks for what there is; whatever reads a pipe gets a row for each.
    keyless = [router for router, row in told["routers"].items() if sys.stdout.isatty() and _is_bare(row)]
    rows = [_row(router, row) for router, row in told["routers"].items() if router not in keyless]
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
    print(f"today  {_of(spend['today_usd'], spend['daily_budget_usd'])}, {_calls(spend)}")
    print(f"month  {_of(spend['month_usd'], spend['monthly_budget_usd'])}")
    return 0


def _row(router: str, row: RouterStatus) -> tuple[Any, ...]:
    key = "not needed" if row["key"] is None else row["key"]
    lacking = "not running" if row["key"] is None else "no key"
    usable = "yes" if row["ready"] else (row["reason"] or lacking).replace("_", " ")
    until = clock(_at(row["cooldown_until"]))
    return (
        router,
        key,
        row["breaker"].replace("_", "-"),
        usable,
        until,
        f"${row['spent_today_usd']}",
        _quota(row) or "-",
    )


def _is_bare(row: RouterStatus) -> bool:
    """It lacks a key, and nothing else is to be told of it."""
    return row["key"] is False and row["spent_today_usd"] == "0" and row["breaker"] == "closed" and not _quota(row)


def _quota(row: RouterStatus) -> str:
    """What rests and what is left, as the router last told it."""
    known = [*map(_resting, row["resting"]), *map(_credit, row["credit"]), *map(_left, row["quota"])]
    return "; ".join(text for text in known if text)


def _resting(rest: RestView) -> str:
    what = rest["what"].removeprefix("model:")
    return f"{what} rests until {clock(_at(rest['until']))} ({rest['reason'].replace('_', ' ')})"


def _credit(account: CreditView) -> str:
    left = account["remaining_usd"]
    credit = "" if left is None else f"${left} of credit (account page)"
    return f"{credit}, free models only".removeprefix(", ") if account["free_only"] else credit


def _left(reading: QuotaView) -> str:
    if reading["remaining"] is None:
        return ""
    of = "" if reading["limit"] is None else f" of {reading['limit']}"
    per = f" a {reading['window']}" if reading["window"] else ""
    until = f", new at {clock(_at(reading['resets_at']))}" if reading["resets_at"] else ""
    model = f"{reading['model']}: " if reading["model"] else ""
    return f"{model}{reading['remaining']}{of} {reading['kind']}{per}{until} ({reading['known']})"


def _at(iso: str | None) -> float | None:
    return None if iso is None else datetime.fromisoformat(iso).timestamp()


def _of(spent: str, budget: str | None) -> str:
    return f"${spent} of ${budget}" if budget else f"${spent}, no budget"


def _calls(spend: SpendView) -> str:
    parts: Iterable[str] = (
        f"{spend['calls_today']} calls",
        f"{spend['unpriced_calls_today']} of unknown price" if spend["unpriced_calls_today"] else "",
        f"{spend['estimated_calls_today']} estimated" if spend["estimated_calls_today"] else "",
        f"{spend['input_tokens_today']} tokens in, {spend['output_tokens_today']} out",
        f"${spend['reserved_usd']} reserved" if spend["reserved_usd"] != "0" else "",
    )
    return ", ".join(part for part in parts if part)
