"""One-time key pages of a Chomp in memory, and a browser without one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest

from chomp_mcp.app import Chomp
from chomp_mcp.doors.pages.key_page import KeyPages
from tests.support.clock import Clock
from tests.support.mcp_doors import running


@pytest.fixture
async def chomp(tmp_path: Path, clock: Clock) -> AsyncIterator[Chomp]:
    async with running(tmp_path, clock=clock) as chomp:
        yield chomp


@pytest.fixture
async def pages(chomp: Chomp) -> AsyncIterator[KeyPages]:
    pages = KeyPages(chomp)
    yield pages
    await pages.close()


@pytest.fixture
async def browser() -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(trust_env=False) as browser:
        yield browser
