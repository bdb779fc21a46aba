"""pydantic-ai: an agent on any model behind your keys, that can ask any other one.

chomp-mcp serve & python examples/agents/pydantic_ai_agent.py
"""

from __future__ import annotations

import asyncio
import os

from fastmcp.client.transports import StdioTransport
from pydantic_ai import Agent
from pydantic_ai.mcp import MCPToolset
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

gateway = os.environ.get("CHOMP_URL", "http://127.0.0.1:8080")
model = os.environ.get("CHOMP_MODEL", "mock/echo")


async def main() -> None:
    """The agent's own model over HTTP, the tools over stdio."""
    chomp = MCPToolset(StdioTransport(command="chomp-mcp", args=[]))
    provider = OpenAIProvider(base_url=f"{gateway}/v1", api_key="none")
    agent = Agent(OpenAIChatModel(model, provider=provider), toolsets=[chomp])
    async with agent:
        print((await agent.run("Say hello.")).output)
        print(", ".join(sorted(tool.name for tool in await chomp.list_tools())))
        told = await chomp.direct_call_tool("ask", {"prompt": "What do you think?", "model": model})
        print(told["text"])


asyncio.run(main())
