"""The least that four of our tools can be: their parameters, on the bare MCP SDK, and results that were there before.

python -m tests.bench.bare_tools RESULTS.json
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.tools import Tool
from mcp.types import CallToolResult, TextContent

from chomp_mcp.doors.mcp.answers import OUTPUTS

NOTHING: Final[dict[str, Any]] = {}
NONE: Final[list[str]] = []


class Bodies:
    """`results`: by tool, as JSON."""

    def __init__(self, results: Mapping[str, Any]) -> None:
        self._results = results

    async def ask(
        self,
        ctx: Context[Any, Any],
        prompt: str,
        model: str = "auto",
        router: str = "auto",
        system: str = "",
        options: dict[str, Any] = NOTHING,
        files: list[str] = NONE,
        save_to: str = "",
    ) -> CallToolResult:
        return self._result("ask")

    async def result(self, job_id: str, wait_seconds: float = 0) -> CallToolResult:
        return self._result("result")

    async def list_models(
        self,
        router: str = "auto",
        query: str = "",
        free_only: bool = False,
        needs: list[str] = NONE,
        limit: int = 50,
        cursor: str = "",
    ) -> CallToolResult:
        return self._result("list_models")

    async def status(self) -> CallToolResult:
        return self._result("status")

    def _result(self, tool: str) -> CallToolResult:
        told = self._results[tool]
        content = [TextContent(type="text", text=block["text"]) for block in told["content"]]
        return CallToolResult(content=[*content], structured_content=told["structuredContent"])


def bare_tools(results: Mapping[str, Any]) -> MCPServer[Any]:
    """With the schemas of our results: it is the client who checks them."""
    bodies = Bodies(results)
    tools = [
        Tool.from_function(body, structured_output=False)
        for body in (bodies.ask, bodies.result, bodies.list_models, bodies.status)
    ]
    for tool in tools:
        tool.fn_metadata.output_schema = OUTPUTS[tool.name]
    return MCPServer("bare", tools=tools, log_level="WARNING")


if __name__ == "__main__":
    bare_tools(json.loads(Path(sys.argv[1]).read_text())).run("stdio")
