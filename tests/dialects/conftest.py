"""A served gateway, for what can be seen through a door alone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from openai import AsyncOpenAI

from tests.doors.conftest import gateway, upstream
from tests.support.scripted import ScriptedRouter
from tests.support.serving import Served, serving, settings_for

__all__ = ["client", "gateway", "served", "upstream"]


@pytest.fixture
async def served(request: pytest.FixtureRequest, home: Path, upstream: ScriptedRouter) -> AsyncIterator[Served]:
    """A gateway whose router speaks the test's own dialect: `ROUTER` of its module is id, dialect and key."""
    router, dialect, key = request.module.ROUTER
    row = {"url": upstream.url, "dialect": dialect, "key": "LAB_KEY"}
    settings = replace(settings_for(home, environ={"LAB_KEY": key}), router_rows={router: row})
    async with serving(settings) as gateway:
        yield gateway


@pytest.fixture
async def client(gateway: Served) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key="none", max_retries=0) as client:
        yield client
