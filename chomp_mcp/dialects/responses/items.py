"""The messages of chat completions -> the input items of Responses."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from chomp_mcp.dialects.responses.reasoning import items_in
from chomp_mcp.dialects.values import as_list, as_mapping, as_objects, as_text

_READ = frozenset({"role", "content", "refusal", "tool_calls", "tool_call_id"})
_THOUGHTS = frozenset({"reasoning_content", "reasoning", "reasoning_details", "thinking_blocks"})
"""What a model thought: only what this route has sealed itself goes back to it."""
_TEXTS = ("text", "input_text", "output_text")
_OWN = ("input_image", "input_file")


def items_of(messages: Iterable[Any], ref: str, lost: set[str]) -> list[dict[str, Any]]:
    """One item for each message, call and result, and for each piece of reasoning that the route `ref` has sealed.

    `lost` gets a path for what has no place in an item.
    """
    items: list[dict[str, Any]] = []
    custom: set[str] = set()
    """Ids of calls of free-form tools, whose results are items of another type."""
    for message in messages:
        if not isinstance(message, Mapping):
            continue
        role, content = message.get("role"), message.get("content")
        thoughts = items_in(message, ref) if role == "assistant" else []
        known = _READ | _THOUGHTS if thoughts else _READ
        lost.update(f"messages[].{name}" for name in message.keys() - known if message[name])
        if role == "tool":
            call_id = as_text(message.get("tool_call_id"))
            kind = "custom_tool_call_output" if call_id in custom else "function_call_output"
            output = content if isinstance(content, str) else _parts(content, "input_text", lost)
            items.append({"type": kind, "call_id": call_id, "output": output})
        elif role == "assistant":
            items += thoughts
            parts = _parts(content, "output_text", lost)
            if refusal := as_text(message.get("refusal")):
                parts.append({"type": "refusal", "refusal": refusal})
            if parts:
                items.append({"type": "message", "role": "assistant", "content": parts})
            for call in as_objects(message.get("tool_calls")):
                call_id, own = as_text(call.get("id")), as_mapping(call.get("custom"))
                if call.get("type") == "custom" and own:
                    custom.add(call_id)
                    kind, body = "custom_tool_call", {"input": as_text(own.get("input"))}
                else:
                    own = as_mapping(call.get("function"))
                    kind, body = "function_call", {"arguments": as_text(own.get("arguments")) or "{}"}
                items.append({"type": kind, "call_id": call_id, "name": as_text(own.get("name")), **body})
        else:
            parts = _parts(content, "input_text", lost)
            items.append({"type": "message", "role": role, "content": content if isinstance(content, str) else parts})
    return items


def _parts(content: Any, text_type: str, lost: set[str]) -> list[dict[str, Any]]:
    given = [{"type": "text", "text": content}] if isinstance(content, str) else as_list(content)
    parts = []
    for part in given:
        if not isinstance(part, Mapping):
            continue
        if made := _part(part, text_type):
            parts.append(made)
            lost.update(f"messages[].content[].{name}" for name in ("cache_control", "citations") if part.get(name))
        elif part.get("type") not in _TEXTS:
            lost.add(f"messages[].{part.get('type')}")
    return parts


def _part(part: Mapping[str, Any], text_type: str) -> dict[str, Any]:
    """One part; empty where Responses has no such, or it says nothing."""
    kind = part.get("type")
    if kind in _TEXTS:
        text = as_text(part.get("text"))
        return {"type": text_type, "text": text} if text else {}
    if kind == "refusal":
        return {"type": "refusal", "refusal": as_text(part.get("refusal"))}
    if kind == "image_url":
        image = part.get("image_url")
        url, detail = (image.get("url"), image.get("detail")) if isinstance(image, Mapping) else (image, None)
        # `detail` must be there by the reference; `auto` is what it says of itself where it is not.
        return {"type": "input_image", "image_url": url, "detail": detail or "auto"} if isinstance(url, str) else {}
    if kind == "file":
        names = ("file_data", "file_id", "file_url", "filename")
        file = {name: value for name in names if (value := as_mapping(part.get("file")).get(name))}
        return {"type": "input_file", **file} if file else {}
    return dict(part) if kind in _OWN else {}
