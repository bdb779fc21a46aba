"""The MCP door for tests: a Chomp with a scripted router, clients of both protocol generations, server processes."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx2
from mcp import Client, StdioServerParameters
from mcp.types import CallToolResult, ElicitRequestURLParams, ElicitResult

from chomp_mcp.app import Chomp
from chomp_mcp.settings import Settings
from tests.support.offline import NOBODY
from tests.support.scripted import ScriptedRouter

__all__ = ["KEY", "MODES", "agreeable", "call", "environment", "partial", "running", "stdio", "text_of", "type_key"]

KEY = "gsk_abcdefghijklmnop4f2a"
"""What people type on the page."""

MODES = ("auto", "legacy")
"""2026-07-28 and 2025-11-25."""


def environment(home: Path, upstream: ScriptedRouter | None = None, **more: str) -> dict[str, str]:
    """A home of its own; with `upstream` a router `lab` that needs no key and a groq with one, both scripted."""
    home.mkdir(parents=True, exist_ok=True)
    known = {"CHOMP_HOME": str(home), **NOBODY}
    if upstream is not None:
        (home / "config.toml").write_text(
            f'[routers.lab]\nurl = "{upstream.url}"\nmodels = ["scripted-small"]\n', encoding="utf-8"
        )
        known["CHOMP_ROUTER_GROQ_URL"] = upstream.url
    return {**known, **more}


@asynccontextmanager
async def running(
    home: Path, upstream: ScriptedRouter | None = None, *, clock: Callable[[], float] = time.time, **more: str
) -> AsyncIterator[Chomp]:
    async with Chomp(Settings.load(environment(home, upstream, **more)), clock=clock) as chomp:
        yield chomp


def stdio(home: Path, upstream: ScriptedRouter | None = None, **more: str) -> StdioServerParameters:
    """`chomp-mcp` as a client starts it."""
    command = Path(sys.executable).parent / ("chomp-mcp.exe" if os.name == "nt" else "chomp-mcp")
    return StdioServerParameters(command=str(command), env=environment(home, upstream, **more))


async def call(client: Client, tool: str, /, **arguments: Any) -> dict[str, Any]:
    """The structured result of a call that must succeed."""
    result = await client.call_tool(tool, arguments)
    assert not result.is_error, text_of(result)
    assert result.structured_content is not None
    return result.structured_content


async def partial(client: Client, job_id: str, text: str) -> None:
    """Wait until a job that still runs has told this much."""
    with anyio.fail_after(10):
        told = await call(client, "result", job_id=job_id)
        while told["text"] != text:
            told = await call(client, "result", job_id=job_id, wait_seconds=0.05)
    assert told["status"] == "running"


def text_of(result: CallToolResult) -> str:
    """All that the model reads."""
    return "\n".join(block.text for block in result.content if block.type == "text")


async def type_key(url: str) -> None:
    """What a person does with a page that was opened for groq."""
    async with httpx2.AsyncClient(trust_env=False) as browser:
        assert '<option value="groq" selected>' in (await browser.get(url)).text
        origin = {"origin": url.rpartition("/keys/")[0]}
        answer = await browser.post(url, data={"router": "groq", "key": KEY}, headers=origin)
        assert answer.status_code == 200


async def agreeable(_context: Any, params: Any) -> ElicitResult:
    """A client whose person opens the page and types the key there."""
    assert isinstance(params, ElicitRequestURLParams)
    assert "groq key" in params.message
    await type_key(params.url)
    return ElicitResult(action="accept")
