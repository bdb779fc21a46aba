"""A running Chomp in a temp home, with scripted routers behind real router ids."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from chomp_mcp.app import Chomp
from chomp_mcp.settings import Settings
from tests.support.offline import NOBODY
from tests.support.scripted import ScriptedRouter

__all__ = ["Reports", "World", "environment", "world"]


class Reports(list[Any]):
    """An observer that keeps what it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.transitions: list[Any] = []

    def exchange(self, report: Any) -> None:
        self.append(report)

    def transition(self, transition: Any) -> None:
        self.transitions.append(transition)


class World:
    """`world.groq` is the scripted router behind the id `groq`; `chomp` is what the doors use."""

    def __init__(self, chomp: Chomp, routers: dict[str, ScriptedRouter], reports: Reports) -> None:
        self.chomp = chomp
        self.routers = routers
        self.reports = reports

    def __getattr__(self, name: str) -> ScriptedRouter:
        return self.routers[name]

    def __iter__(self) -> Iterator[ScriptedRouter]:
        return iter(self.routers.values())


def environment(home: Path, routers: dict[str, ScriptedRouter], **settings: str) -> dict[str, str]:
    """CHOMP_HOME, a key for each router (`key-<id>`), and where it is."""
    urls = {f"CHOMP_ROUTER_{name.upper()}_URL": upstream.url for name, upstream in routers.items()}
    variables = {"zen": "OPENCODE_API_KEY"}
    keys = {variables.get(name, f"{name.upper()}_API_KEY"): f"key-{name}" for name in routers if name != "ollama"}
    return {"CHOMP_HOME": str(home), **NOBODY, **urls, **keys, **settings}


@asynccontextmanager
async def world(
    home: Path, *names: str, clock: Callable[[], float] = time.time, **settings: str
) -> AsyncIterator[World]:
    """`async with world(home, "groq", "cerebras", LLM_DAILY_BUDGET_USD="1") as w:`."""
    async with AsyncExitStack() as stack:
        routers = {name: await stack.enter_async_context(ScriptedRouter()) for name in names}
        reports = Reports()
        chosen = Settings.load(environment(home, routers, **settings))
        chomp = await stack.enter_async_context(Chomp(chosen, clock=clock, observers=[reports]))
        yield World(chomp, routers, reports)
