"""An account page is not waited for."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest

from tests.support.world import world

pytestmark = pytest.mark.anyio


async def test_an_account_page_that_hangs_is_not_waited_for_either(home: Path) -> None:
    async with world(home, "openrouter") as w:
        w.openrouter.models(["openrouter/auto"])
        w.openrouter.on(path="/key").hang()
        for _ in range(2):
            with anyio.fail_after(4):
                assert (await w.chomp.ask("hi", model="openrouter/auto")).receipt[
                    "served"
                ] == "openrouter/openrouter/auto"
