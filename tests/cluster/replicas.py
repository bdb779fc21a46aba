"""Replicas of the gateway: a home of their own each, one store, one owner's token, one master key."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path

from tests.support.serving import Served, serving, settings_for

__all__ = ["MASTER_KEY", "OWNER_TOKEN", "Replicas"]

OWNER_TOKEN = "a-token-of-the-owner"
MASTER_KEY = "correct-horse-battery-staple"


class Replicas:
    """`await replicas.start(3, GATEWAY_RATE_RPS="5")`: gateways inside this process, on sockets of their own."""

    def __init__(self, stack: AsyncExitStack, home: Path, store: str, upstream: str) -> None:
        self._stack = stack
        self._home = home
        self._upstream = upstream
        self.store = store

    async def start(self, count: int, **environ: str) -> list[Served]:
        return [await self.one(f"home-{n}", **environ) for n in range(count)]

    async def one(self, name: str, **environ: str) -> Served:
        chosen = {"CHOMP_STORE": self.store, "CHOMP_MASTER_KEY": MASTER_KEY, "GROQ_API_KEY": "gsk_of_the_environment"}
        settings = settings_for(self._home / name, environ={**chosen, **environ}, lab=self._upstream)
        return await self._stack.enter_async_context(serving(settings))
