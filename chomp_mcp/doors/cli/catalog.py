"""`catalog`: what is known of models from public data, how old it is, and how to have it newer."""

from __future__ import annotations

import argparse
import time

from chomp_mcp.app import Chomp
from chomp_mcp.doors.cli.output import remark, show_json
from chomp_mcp.gateway.facts_update import update_facts
from chomp_mcp.routers import model_facts
from chomp_mcp.routers.model_facts import ModelFacts
from chomp_mcp.settings import Settings


def show(args: argparse.Namespace) -> None:
    """Its date, its source and its size."""
    _tell(args, model_facts.current(Settings.load().home), is_new=False)


async def update(args: argparse.Namespace) -> None:
    """Fetch newer data; what cannot be used changes nothing."""
    async with Chomp(Settings.load()) as chomp:
        done = await update_facts(chomp.client, chomp.settings.home, chomp.routers, args.source, now=time.time())
    _tell(args, done.facts, is_new=done.is_new)
    if done.is_new:
        remark("A gateway that runs takes it when it starts again.")
    else:
        remark(f"Kept as it was: {done.why}.")


def _tell(args: argparse.Namespace, facts: ModelFacts, *, is_new: bool) -> None:
    if args.json:
        counts = {router: len(models) for router, models in facts.routers.items()}
        show_json({"date": facts.date, "source": facts.source, "models": counts, "updated": is_new})
        return
    print(f"{len(facts)} models of {len(facts.routers)} routers, as of {facts.date}, from {facts.source}.")
