"""What hosts send over SSE: the same messages are mended, and a probe does not lock the connection."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest

from tests.doors.mcp.test_incoming import BOM, ECHO, asking
from tests.doors.mcp.test_stdio import INITIALIZE
from tests.doors.mcp.test_stdio_lines import ENVELOPE
from tests.support.serving import Served

pytestmark = pytest.mark.anyio


async def told(lines: AsyncIterator[str]) -> str:
    """The data of the next event."""
    with anyio.fail_after(20):
        async for line in lines:
            if line.startswith("data: "):
                return line.removeprefix("data: ")
    raise AssertionError


async def test_a_probe_then_initialize_then_half_an_emoji(gateway: Served) -> None:
    probe = {"jsonrpc": "2.0", "id": 0, "method": "server/discover", "params": {"_meta": ENVELOPE}}
    ready = {"jsonrpc": "2.0", "method": "notifications/initialized"}
    async with gateway.http.stream("GET", "/sse") as stream:
        lines = stream.aiter_lines()
        endpoint = await told(lines)

        async def exchange(message: dict[str, Any]) -> dict[str, Any]:
            content = (BOM + json.dumps(message)).encode()
            await gateway.http.post(endpoint, content=content, headers={"content-type": "application/json"})
            answer: dict[str, Any] = json.loads(await told(lines))
            return answer

        assert "2026-07-28" in (await exchange(probe))["result"]["supportedVersions"]
        assert (await exchange({**INITIALIZE, "id": 1.0}))["result"]["protocolVersion"] == "2025-11-25"
        await gateway.http.post(endpoint, json=ready)
        answer = await exchange(asking({**ECHO, "prompt": "cut \ud83d"}))
        assert answer["result"]["structuredContent"]["text"] == "cut \ufffd"
