"""How many tokens a request is, by the router that would answer it, where its dialect has a call for that."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chomp_mcp import wire
from chomp_mcp.dialects import counter
from chomp_mcp.gateway.outward import Guard
from chomp_mcp.messages import ChatRequest, Plan
from chomp_mcp.routers.client import Client
from chomp_mcp.routers.response import Unreachable

MAX_BYTES = 64 * 1024


async def count_tokens(
    client: Client, plan: Plan, request: ChatRequest, guard: Guard | None
) -> Mapping[str, Any] | None:
    """The router's own answer; None where the plan's first route has no such call, or does not answer it."""
    route = plan.routes[0]
    count = counter(route, request)
    if count is None:
        return None
    wired = count(route, request)
    if guard is not None:
        wired, _ = guard.checked(route, wired)
    try:
        response, body = await client.fetch(wired, MAX_BYTES)
        count = wire.loads(body)
    except (Unreachable, ValueError):
        return None
    counted = isinstance(count, Mapping) and isinstance(count.get("input_tokens"), int)
    return count if response.is_success and counted else None
