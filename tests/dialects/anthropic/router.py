"""A router that speaks Messages: what it is sent and told, and what it says."""

from __future__ import annotations

from pathlib import Path

from chomp_mcp import wire
from chomp_mcp.dialects.anthropic import answer as anthropic
from chomp_mcp.messages import ChatRequest, Route
from chomp_mcp.routers.catalog import load
from chomp_mcp.settings import Settings

ROUTER = load(Settings(home=Path("nowhere")))["anthropic"]
HELLO = {"messages": [{"role": "user", "content": "hello"}]}
TURN = [{"role": "user", "content": [{"type": "text", "text": "hello"}]}]


def sent(body=HELLO, model="claude-opus-5-5", *, stream=False, listed=None):
    request = anthropic.encode(Route(ROUTER, model, "sk-ant-1", listed=listed), ChatRequest(body=body, stream=stream))
    return wire.loads(request.body)


def told(body, model="claude-opus-5-5"):
    return anthropic.encode(Route(ROUTER, model), ChatRequest(body=body)).notes


MESSAGE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-opus-5-5",
    "content": [
        {"type": "thinking", "thinking": "hm", "signature": "s"},
        {"type": "text", "text": "I look. "},
        {"type": "text", "text": "Wait."},
        {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"at": "Rome"}},
    ],
    "stop_reason": "tool_use",
    "stop_sequence": None,
    "usage": {"input_tokens": 5, "output_tokens": 7, "cache_read_input_tokens": 2, "cache_creation_input_tokens": 1},
}
OVERLOADED = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
