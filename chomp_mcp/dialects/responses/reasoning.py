"""What a model thought, between Responses' reasoning items and `reasoning_details`, which chat clients send back.

The shape is OpenRouter's (openrouter.ai/docs, Preserving Reasoning): each entry has a `type`, a `format` that says who
can read it, and an `index`. `route` is ours: what one route has sealed is nonsense to every other, which refuses the
whole request for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from chomp_mcp.dialects.values import as_list, as_text

FORMAT = "openai-responses-v1"


def details_of(item: Mapping[str, Any], ref: str, first: int) -> list[dict[str, Any]]:
    """The entries of one reasoning item that the route `ref` made; their `index` counts on from `first`."""
    told = [
        *({"type": "reasoning.summary", "summary": text} for text in _texts(item.get("summary"))),
        *({"type": "reasoning.text", "text": text} for text in _texts(item.get("content"))),
    ]
    if sealed := as_text(item.get("encrypted_content")):
        told.append({"type": "reasoning.encrypted", "data": sealed})
    marks = {"id": as_text(item.get("id")), "format": FORMAT, "route": ref}
    return [{**entry, **marks, "index": first + at} for at, entry in enumerate(told)]


def items_in(message: Mapping[str, Any], ref: str) -> list[dict[str, Any]]:
    """The reasoning items of an assistant's message that the route `ref` has sealed, as they were."""
    items: dict[str, dict[str, Any]] = {}
    for entry in as_list(message.get("reasoning_details")):
        if not isinstance(entry, Mapping) or entry.get("format") != FORMAT or entry.get("route") != ref:
            continue
        ident = as_text(entry.get("id"))
        item = items.setdefault(ident, {"type": "reasoning", **({"id": ident} if ident else {}), "summary": []})
        if summary := as_text(entry.get("summary")):
            item["summary"].append({"type": "summary_text", "text": summary})
        if text := as_text(entry.get("text")):
            item.setdefault("content", []).append({"type": "reasoning_text", "text": text})
        if sealed := as_text(entry.get("data")):
            item["encrypted_content"] = sealed
    return [item for item in items.values() if "encrypted_content" in item]


def thought_in(items: Iterable[Mapping[str, Any]]) -> str:
    """All that these reasoning items say in words: their summaries, or the thoughts themselves where they are told."""
    return "\n\n".join(text for item in items for text in _texts(item.get("content")) or _texts(item.get("summary")))


def _texts(parts: Any) -> list[str]:
    return [text for part in as_list(parts) if isinstance(part, Mapping) and (text := as_text(part.get("text")))]
