"""The Responses door: items of a history, and what they become."""

from __future__ import annotations

from chomp_mcp.dialects.responses.door_request import to_chat

ASK = {"type": "function", "name": "ask", "parameters": {"type": "object", "properties": {}}, "strict": False}
PATCH = {
    "type": "custom",
    "name": "apply_patch",
    "description": "Edit files.",
    "format": {"type": "grammar", "syntax": "lark", "definition": "start: begin"},
}


def call(call_id: str, name: str = "ask", **more: object) -> dict:
    return {"type": "function_call", "call_id": call_id, "name": name, "arguments": "{}", **more}


def output(call_id: str, said: object = "done") -> dict:
    return {"type": "function_call_output", "call_id": call_id, "output": said}


def messages(*items: object, **body: object) -> list[dict]:
    return to_chat({"input": list(items), **body}).body["messages"]
