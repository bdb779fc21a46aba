"""LangChain: an agent on any model behind your keys, that can ask any other one.

chomp-mcp serve & python examples/agents/langchain_agent.py
"""

from __future__ import annotations

import asyncio
import os

from langchain.agents import create_agent
from langchain_mcp_adapters.client import MultiServerMCPClient
from langchain_openai import ChatOpenAI

gateway = os.environ.get("CHOMP_URL", "http://127.0.0.1:8080")
model = os.environ.get("CHOMP_MODEL", "mock/echo")


async def main() -> None:
    """The agent's own model over HTTP, the tools over stdio: the adapters start a server for each call."""
    client = MultiServerMCPClient({"chomp": {"transport": "stdio", "command": "chomp-mcp", "args": []}})
    tools = await client.get_tools()
    agent = create_agent(ChatOpenAI(model=model, base_url=f"{gateway}/v1", api_key="none"), tools)
    told = await agent.ainvoke({"messages": [{"role": "user", "content": "Say hello."}]})
    print(told["messages"][-1].content)
    print(", ".join(sorted(tool.name for tool in tools)))
    ask = next(tool for tool in tools if tool.name == "ask")
    print((await ask.ainvoke({"prompt": "What do you think?", "model": model}))[0]["text"])


asyncio.run(main())
