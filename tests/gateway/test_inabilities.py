"""What a model has refused is remembered, for a while."""

from __future__ import annotations

from pathlib import Path

import pytest

from chomp_mcp.gateway.inabilities import REMEMBERED_SECONDS, Inabilities
from chomp_mcp.messages import Route, Router
from chomp_mcp.store.kv.sqlite import Sqlite
from tests.support.clock import Clock

pytestmark = pytest.mark.anyio
ROUTE = Route(Router("groq", "Groq", "https://groq.test/v1"), "m")


async def test_a_cannot_that_was_learned_ends(tmp_path: Path, clock: Clock) -> None:
    store = Sqlite(tmp_path / "state.db", clock=clock)
    unable = Inabilities(store, clock=clock)
    await unable.learn(ROUTE, "tools")
    assert await unable.known() == {ROUTE.ref: {"tools"}}
    clock.advance(REMEMBERED_SECONDS)
    assert await unable.known() == {}
    await store.close()
