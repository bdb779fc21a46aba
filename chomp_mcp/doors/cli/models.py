"""`models`: every model that the caller's keys reach."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import anyio

from chomp_mcp.app import Chomp
from chomp_mcp.doors.cli.output import remark, show_json, table
from chomp_mcp.messages import AUTO, Model
from chomp_mcp.settings import Settings

__all__ = ["models"]

PAGE = 500


def models(args: argparse.Namespace) -> int:
    """A table of models; routers that could not be asked are named on stderr, exit code 4 if that is the named one."""
    return anyio.run(_models, args)


async def _models(args: argparse.Namespace) -> int:
    found: list[Model] = []
    errors: Mapping[str, str] = {}
    cursor = ""
    async with Chomp(Settings.load()) as chomp:
        while True:
            page = await chomp.list_models(
                args.router, query=args.query, free_only=args.free, limit=PAGE, cursor=cursor
            )
            found += page.models
            errors = {**errors, **page.errors}
            cursor = page.next_cursor
            if not cursor:
                break
    _show(args, found, errors)
    return 4 if args.router in errors and not found else 0


def _show(args: argparse.Namespace, found: list[Model], errors: Mapping[str, str]) -> None:
    if args.json:
        show_json({"models": [_as_json(model) for model in found], "errors": errors})
    elif found:
        rows = [(m.ref, m.context_length, m.max_output, _price(m.price_in), _price(m.price_out), m.free) for m in found]
        table(("MODEL", "CONTEXT", "MAX OUT", "$/M IN", "$/M OUT", "FREE"), rows)
    elif not errors:
        remark(_why_none(args))
    for router, why in errors.items():
        remark(f"{router}: {why}")


def _why_none(args: argparse.Namespace) -> str:
    if args.query or args.free:
        return "No model fits."
    return "No models. Add a key with: chomp-mcp keys add ROUTER" if args.router == AUTO else "It lists no models."


def _price(price: Decimal | None) -> str | None:
    return None if price is None else f"{price.normalize():f}"


def _as_json(model: Model) -> dict[str, Any]:
    """The row of the `list_models` tool; prices in USD per million tokens, null when unknown."""
    return {
        "id": model.ref,
        "context_length": model.context_length,
        "max_output": model.max_output,
        "free": model.free,
        "price_in": None if model.price_in is None else float(model.price_in),
        "price_out": None if model.price_out is None else float(model.price_out),
    }
