"""The OpenAI Agents SDK: an agent on any model behind your keys, that can ask any other one.

chomp-mcp serve & python examples/agents/openai_agents.py
"""

from __future__ import annotations

import asyncio
import os

from agents import Agent, OpenAIResponsesModel, Runner, set_tracing_disabled
from agents.mcp import MCPServerStdio
from openai import AsyncOpenAI

gateway = os.environ.get("CHOMP_URL", "http://127.0.0.1:8080")
model = os.environ.get("CHOMP_MODEL", "mock/echo")
set_tracing_disabled(True)  # it would send traces to OpenAI


async def main() -> None:
    """The agent's own model over HTTP (the Responses API, its default), the tools over stdio."""
    client = AsyncOpenAI(base_url=f"{gateway}/v1", api_key="none")
    # a call may take five seconds there unless one says otherwise, and a model's answer often takes longer
    async with MCPServerStdio(params={"command": "chomp-mcp"}, client_session_timeout_seconds=60) as chomp:
        agent = Agent("Assistant", model=OpenAIResponsesModel(model, client), mcp_servers=[chomp])
        print((await Runner.run(agent, "Say hello.")).final_output)
        print(", ".join(sorted(tool.name for tool in await chomp.list_tools())))
        told = await chomp.call_tool("ask", {"prompt": "What do you think?", "model": model})
        print(told.content[0].text)


asyncio.run(main())
