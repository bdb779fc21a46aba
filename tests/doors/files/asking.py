"""A call of `ask` with files, and what the router got of it."""

from __future__ import annotations

from typing import Any

from mcp import Client
from mcp.types import CallToolResult, Implementation

from tests.support.scripted import ScriptedRouter

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(64))
PDF = b"%PDF-1.7\n" + bytes(range(256))
CLAUDE = Implementation(name="claude-code", version="2.1.332")


def sent(upstream: ScriptedRouter) -> Any:
    """The content of the last message that the router got."""
    return upstream.chats[-1].json["messages"][-1]["content"]


async def ask(client: Client, *files: str, **more: Any) -> CallToolResult:
    return await client.call_tool("ask", {"prompt": "Why?", "router": "lab", "files": list(files), **more})
