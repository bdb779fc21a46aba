"""How many tokens a Messages body is, for models whose own tokenizer nobody can ask."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from chomp_mcp import wire
from chomp_mcp.dialects.values import as_list, as_objects

_BYTES_PER_TOKEN = 4
_IMAGE = 1_600
"""Tokens of an image as large as Anthropic keeps one (platform.claude.com, Vision)."""
_PAGE = 2_250
"""Tokens of a PDF's page: its text and its picture (1,500 to 3,000, platform.claude.com, PDF support)."""
_BASE64_PER_PAGE = 100_000
_PER_MESSAGE = 4
_MEDIA = ("image", "document")


def estimate(body: Mapping[str, Any]) -> int:
    """Input tokens, at four bytes of UTF-8 each; images and pages count flat, whatever their bytes."""
    messages = body.get("messages")
    turns = as_list(messages)
    size = sum(_content(turn.get("content")) for turn in turns if isinstance(turn, Mapping))
    size += _content(body.get("system")) + _json(body.get("tools"))
    return math.ceil(size / _BYTES_PER_TOKEN) + _PER_MESSAGE * len(turns)


def _content(content: Any) -> int:
    if isinstance(content, str):
        return _bytes(content)
    size = 0
    for block in as_objects(content):
        kind, source = block.get("type"), block.get("source")
        if kind in _MEDIA and isinstance(source, Mapping):
            data = str(source.get("data") or "")
            if source.get("type") in ("text", "content"):
                size += _bytes(data) + _content(source.get("content"))
            else:
                pages = 1 + len(data) // _BASE64_PER_PAGE
                size += _BYTES_PER_TOKEN * (_IMAGE if kind == "image" else pages * _PAGE)
        elif kind == "text":
            size += _bytes(str(block.get("text") or ""))
        elif kind in ("tool_result", "search_result"):
            size += _content(block.get("content"))
        else:
            size += _json({name: value for name, value in block.items() if name not in {"signature", "cache_control"}})
    return size


def _bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "replace"))


def _json(value: Any) -> int:
    return len(wire.dumps(value)) if value else 0
