"""What our own code costs for an MCP call: our tools beside idle ones on the bare SDK, in process and over stdio."""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from mcp import Client, StdioServerParameters

from chomp_mcp.app import Chomp
from chomp_mcp.doors.mcp.server import build_server
from chomp_mcp.messages import OWNER, ChatRequest
from chomp_mcp.settings import Settings
from tests.bench.bare_tools import bare_tools

__all__ = ["ASK", "EXCHANGE", "FLOOR", "JOB", "OURS", "OWN", "costs"]

FLOOR, OURS, OWN = "bare SDK", "chomp-mcp", "our own"
EXCHANGE, JOB, ASK = "chomp.ask", "chomp.jobs.ask", "in process, ask"
PROMPT, MODEL = "Say hello.", "mock/echo"
Call = Callable[[], Awaitable[object]]
Sides = Mapping[str, Call]


async def costs(rounds: int, seconds: float) -> dict[str, list[dict[str, float | None]]]:
    """Kind of call -> for each round, side -> microseconds. OWN is what ours has over the floor, or all."""
    found: dict[str, list[dict[str, float | None]]] = defaultdict(list)
    async with _kinds() as kinds:
        for _ in range(rounds):
            for kind, sides in kinds.items():
                row = {side: await _p50(call, seconds / 4) for side, call in sides.items()}
                found[kind].append({**row, OWN: row[OURS] - row.get(FLOOR, 0.0)})
    return found


async def _p50(call: Call, seconds: float) -> float:
    """Of one call after the other: what a call leaves to do until after its answer is in the next one's time."""
    took: list[float] = []
    until = time.perf_counter() + seconds
    while not took or time.perf_counter() < until:
        began = time.perf_counter()
        await call()
        took.append(time.perf_counter() - began)
    return statistics.median(took) * 1e6


@asynccontextmanager
async def _kinds() -> AsyncIterator[dict[str, Sides]]:
    with TemporaryDirectory() as home:
        async with Chomp(Settings.load({"CHOMP_HOME": home})) as chomp, Client(build_server(chomp)) as ours:
            calls: dict[str, dict[str, Any]] = {
                "ask": {"prompt": PROMPT, "model": MODEL},
                "result": {"job_id": await _finished_job(chomp)},
                "list_models": {"limit": 1},
                "status": {},
            }
            results = {tool: await _result(ours, tool, arguments) for tool, arguments in calls.items()}
            (stored := Path(home) / "results.json").write_text(json.dumps(results))
            async with (
                Client(bare_tools(results)) as bare,
                Client(_process("tests.bench.bare_tools", str(stored))) as bare_process,
                Client(_process("chomp_mcp", CHOMP_HOME=home)) as our_process,
            ):
                ways = {"in process": {FLOOR: bare, OURS: ours}, "stdio": {FLOOR: bare_process, OURS: our_process}}
                beneath: dict[str, Call] = {
                    EXCHANGE: partial(chomp.ask, PROMPT, model=MODEL),
                    JOB: partial(_as_job, chomp),
                }
                kinds: dict[str, Sides] = {name: {OURS: call} for name, call in beneath.items()}
                kinds |= {
                    f"{way}, {tool}": {side: partial(client.call_tool, tool, given) for side, client in sides.items()}
                    for way, sides in ways.items()
                    for tool, given in calls.items()
                }
                yield kinds


def _process(module: str, *arguments: str, **environment: str) -> StdioServerParameters:
    return StdioServerParameters(command=sys.executable, args=["-m", module, *arguments], env=environment)


async def _finished_job(chomp: Chomp) -> str:
    job = await chomp.dispatch(PROMPT, model=MODEL)
    await chomp.result(job.id, wait_seconds=10)
    return job.id


async def _result(client: Client, tool: str, arguments: dict[str, Any]) -> Any:
    result = await client.call_tool(tool, arguments)
    if result.is_error:
        raise RuntimeError(f"{tool} failed: {result.content}")
    return result.model_dump(mode="json", by_alias=True)


async def _as_job(chomp: Chomp) -> object:
    """What the tool `ask` hands over."""
    request = ChatRequest.from_prompt(PROMPT, model=MODEL)
    return await chomp.jobs.ask(OWNER, request, prompt=PROMPT, deadline_seconds=chomp.settings.deadline_seconds)
