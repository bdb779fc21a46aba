"""FastMCP's client: the six tools from a script, over stdio.

python examples/agents/fastmcp_client.py
"""

from __future__ import annotations

import asyncio
import os

from fastmcp import Client
from fastmcp.client.transports import StdioTransport

model = os.environ.get("CHOMP_MODEL", "mock/echo")


async def main() -> None:
    """Ask, dispatch and collect."""
    async with Client(StdioTransport(command="chomp-mcp", args=[])) as chomp:
        print(", ".join(sorted(tool.name for tool in await chomp.list_tools())))
        print((await chomp.call_tool("ask", {"prompt": "What do you think?", "model": model})).content[0].text)
        job = await chomp.call_tool("dispatch", {"prompt": "Take your time.", "model": model})
        wait = {"job_id": job.structured_content["job_id"], "wait_seconds": 30}
        print((await chomp.call_tool("result", wait)).content[0].text)


asyncio.run(main())
