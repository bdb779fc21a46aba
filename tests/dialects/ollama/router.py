"""Ollama as a router: what it is sent and told, and what is read in its answers."""

from __future__ import annotations

from pathlib import Path

from chomp_mcp import wire
from chomp_mcp.dialects.ollama import compatible as ollama
from chomp_mcp.messages import ChatRequest, Route
from chomp_mcp.routers.catalog import load
from chomp_mcp.settings import Settings

ROUTER = load(Settings(home=Path("nowhere")))["ollama"]
HELLO = {"messages": [{"role": "user", "content": "hello"}]}
TOOLS = [{"type": "function", "function": {"name": "weather", "parameters": {}}}]


def sent(body=HELLO, *, router=ROUTER, stream=False):
    request = ollama.encode(Route(router, "qwen3"), ChatRequest(body=body, stream=stream))
    return request.url, wire.loads(request.body)


def told(body):
    return ollama.encode(Route(ROUTER, "qwen3"), ChatRequest(body=body)).notes
