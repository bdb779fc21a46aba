"""A request on its whole way: what comes back, or why nothing does."""

from __future__ import annotations

import anyio
import pytest

from chomp_mcp.messages import WireRequest
from chomp_mcp.routers.client import Client, Unreachable

__all__ = ["ask", "failure"]


async def ask(client: Client, request: WireRequest) -> bytes:
    response = await client.send(request)
    try:
        return await response.read()
    finally:
        response.close()


async def failure(client: Client, request: WireRequest) -> Unreachable:
    """The Unreachable of this request, wherever on its way it appears."""
    with pytest.raises(Unreachable) as caught, anyio.fail_after(5):
        await ask(client, request)
    return caught.value
