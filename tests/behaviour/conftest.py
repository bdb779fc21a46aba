"""A bed for settings: two scripted routers, a home, and the doors to reach a gateway through."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.behaviour.bed import Bed
from tests.store.conftest import redis_server, redis_url
from tests.support.scripted import ScriptedRouter

__all__ = ["bed", "redis_server", "redis_url"]


@pytest.fixture
async def bed(home: Path) -> AsyncIterator[Bed]:
    async with AsyncExitStack() as stack:
        yield Bed(home, *[await stack.enter_async_context(ScriptedRouter()) for _ in range(2)])
