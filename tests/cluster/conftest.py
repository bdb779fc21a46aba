"""Three replicas on one real Redis, and a router behind them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.cluster.replicas import Replicas
from tests.store.conftest import redis_server, redis_url
from tests.support.scripted import ScriptedRouter

__all__ = ["redis_server", "redis_url", "replicas", "upstream"]


@pytest.fixture
async def upstream() -> AsyncIterator[ScriptedRouter]:
    async with ScriptedRouter() as router:
        yield router


@pytest.fixture
async def replicas(home: Path, redis_url: str, upstream: ScriptedRouter) -> AsyncIterator[Replicas]:
    async with AsyncExitStack() as stack:
        yield Replicas(stack, home, redis_url, upstream.url)
