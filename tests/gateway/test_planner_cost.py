"""What a plan costs stays the same from one router to hundreds, and from ten models to ten thousand.

`CHOMP_TEST_ROUTERS=1000` and `--log-cli-level=info` for the figures.
"""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path

import pytest

from chomp_mcp.app import Chomp
from chomp_mcp.messages import OWNER, ChatRequest
from chomp_mcp.settings import Settings
from chomp_mcp.store.kv.protocol import Write
from chomp_mcp.store.kv.sqlite import Sqlite

pytestmark = pytest.mark.anyio
_log = logging.getLogger(__name__)

ROUTERS = int(os.environ.get("CHOMP_TEST_ROUTERS", "300"))
HI = {"messages": [{"role": "user", "content": "hi"}]}
TOOLS = {**HI, "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]}
REQUESTS = {
    "r/m": ChatRequest(HI, "r0/m1"),
    "r/m with tools": ChatRequest(TOOLS, "r0/m1"),
    "a bare name": ChatRequest(HI, "m1"),
    "a bare name with tools": ChatRequest(TOOLS, "m1"),
    "auto": ChatRequest(HI, "auto"),
    "a group": ChatRequest(HI, "few"),
}
MOST_TIMES, GRACE_SECONDS = 5, 0.0003
"""A plan for `auto` or a bare name has up to 32 routes in place of one; on a crowded machine all figures jump."""


def write(home: Path, routers: int) -> None:
    home.mkdir()
    rows = "".join(f'[routers.r{n}]\nurl = "http://127.0.0.1:9/v1"\n' for n in range(routers))
    group = '[groups.few]\nmodels = ["r0/m1", "r0/m2"]\norder = "quota"\nneeds = ["tools"]\n'
    (home / "config.toml").write_text(rows + group, encoding="utf-8")


async def costs(home: Path, routers: int, models: int) -> dict[str, float]:
    """Seconds for each plan once it is known, the least of many."""
    write(home, routers)
    listed = [{"id": f"m{n}", "name": "", "free": False, "can": ["tools"]} for n in range(models)]
    now = time.time()
    record = {"until": now + 800, "at": now, "failures": 0, "models": listed}
    store = Sqlite(home / "state.db")
    await store.update([f"models:r{n}:" for n in range(routers)], lambda _: [Write(record, 900.0)] * routers)
    await store.close()
    found = {}
    async with Chomp(Settings.load({"CHOMP_HOME": str(home), "OLLAMA_BASE_URL": "http://127.0.0.1:9"})) as chomp:
        for name, request in REQUESTS.items():
            await chomp.gateway.plan(OWNER, request)
            took = []
            for _ in range(40):
                began = time.perf_counter()
                assert (await chomp.gateway.plan(OWNER, request)).routes
                took.append(time.perf_counter() - began)
            found[name] = min(took)
    return found


@pytest.mark.usefixtures("home")
async def test_a_plan_costs_the_same_however_much_there_is(tmp_path: Path) -> None:
    few = await costs(tmp_path / "few", 1, 10)
    many = await costs(tmp_path / "many", ROUTERS, 10)
    long = await costs(tmp_path / "long", 1, 10_000)
    for name in REQUESTS:
        _log.info(
            "%s: %.0f µs with 1 router of 10 models, %.0f with %d routers, %.0f with 10,000 models",
            *(name, few[name] * 1e6, many[name] * 1e6, ROUTERS, long[name] * 1e6),
        )
        assert max(many[name], long[name]) < MOST_TIMES * few[name] + GRACE_SECONDS, name
