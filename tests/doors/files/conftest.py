"""A server that was started in somebody's project."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from mcp import Client

from chomp_mcp.doors.mcp.server import build_server
from tests.doors.files.asking import CLAUDE
from tests.support.mcp_doors import running
from tests.support.scripted import ScriptedRouter


@pytest.fixture
async def client(tmp_path: Path, project: Path, upstream: ScriptedRouter) -> AsyncIterator[Client]:
    """In memory, as a server that was started in the project."""
    async with (
        running(tmp_path / "home", upstream) as chomp,
        Client(build_server(chomp, started_in=str(project)), client_info=CLAUDE) as client,
    ):
        yield client
