"""A served gateway with one scripted router behind it, `lab`, and one that needs a key, `groq`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.scripted import ScriptedRouter
from tests.support.serving import Served, serving, settings_for


@pytest.fixture
async def upstream() -> AsyncIterator[ScriptedRouter]:
    async with ScriptedRouter() as router:
        yield router


@pytest.fixture
async def gateway(home: Path, upstream: ScriptedRouter) -> AsyncIterator[Served]:
    async with serving(settings_for(home, lab=upstream.url)) as served:
        yield served
