"""A Chomp in memory with the scripted router `lab` behind it, and the SDK's own client of both protocol generations."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from mcp import Client

from chomp_mcp.app import Chomp
from chomp_mcp.doors.mcp.server import build_server
from tests.support.mcp_doors import MODES, running
from tests.support.scripted import ScriptedRouter


@pytest.fixture
async def chomp(tmp_path: Path, upstream: ScriptedRouter) -> AsyncIterator[Chomp]:
    async with running(tmp_path, upstream) as chomp:
        yield chomp


@pytest.fixture(params=MODES)
async def client(request: pytest.FixtureRequest, chomp: Chomp) -> AsyncIterator[Client]:
    async with Client(build_server(chomp), mode=request.param) as client:
        yield client
