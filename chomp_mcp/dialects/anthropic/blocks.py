"""Content parts of chat completions -> the blocks of Messages."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Any

from chomp_mcp.dialects.values import as_list, as_mapping, as_text

_NATIVE = ("image", "document", "tool_result", "tool_use", "search_result")
"""Blocks of Messages itself, which travel as they came."""

_IMAGES = frozenset({"image/jpeg", "image/png", "image/gif", "image/webp"})
_SPELLINGS = {"image/jpg": "image/jpeg", "image/pjpeg": "image/jpeg", "application/x-pdf": "application/pdf"}
_TEXTS = frozenset({"application/json", "application/xml", "application/yaml", "application/x-yaml", "application/csv"})
_DATA_URL = re.compile(r"data:([\w.+-]+/[\w.+-]+)[^,]*;base64,(.*)", re.DOTALL)
_PDF = "JVBERi0"
"""How a PDF begins in base64: some clients send a file without saying what it is."""


def blocks_of(content: Any, lost: set[str]) -> list[Any]:
    """Text or parts as blocks; blank text, which Messages refuses, says nothing, and the rest is named in `lost`."""
    if isinstance(content, str):
        return [{"type": "text", "text": content}] if content.strip() else []
    blocks = []
    for part in as_list(content):
        if not isinstance(part, Mapping):
            continue
        if block := _block(part):
            blocks.append(block)
            if as_mapping(part.get("image_url")).get("detail") not in (None, "auto"):
                lost.add("messages[].image_url.detail")
        elif part.get("type") != "text":
            lost.add(f"messages[].{part.get('type')}")
    return blocks


def marked(block: Mapping[str, Any], marks: Mapping[str, Any]) -> dict[str, Any]:
    """The block with the cache mark of what it was made of."""
    mark = marks.get("cache_control")
    return {**block, "cache_control": mark} if isinstance(mark, Mapping) else dict(block)


def _block(part: Mapping[str, Any]) -> Mapping[str, Any] | None:
    kind = part.get("type")
    if kind in ("text", "refusal"):
        text = part.get(kind)
        block = {"type": "text", "text": text}
        if isinstance(part.get("citations"), list):
            block["citations"] = part["citations"]
        return marked(block, part) if isinstance(text, str) and text.strip() else None
    if kind == "image_url":
        image = part.get("image_url")
        url = image.get("url") if isinstance(image, Mapping) else image
        return _source("image", url, part)
    if kind == "file":
        file = as_mapping(part.get("file"))
        data, name = file.get("file_data"), as_text(file.get("filename"))
        if isinstance(data, str) and data.startswith(_PDF):
            data = f"data:application/pdf;base64,{data}"
        document = _source("document", data, part)
        is_named = document is not None and document["type"] == "document" and name
        return {**document, "title": name} if document is not None and is_named else document
    return part if kind in _NATIVE else None


def _source(kind: str, url: Any, part: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """A picture or a document; what a data URL holds decides which, whatever the part calls it."""
    if not isinstance(url, str) or not url:
        return None
    found = _DATA_URL.fullmatch(url)
    if found is None:
        is_web = url.startswith(("http://", "https://"))
        return marked({"type": kind, "source": {"type": "url", "url": url}}, part) if is_web else None
    media = _SPELLINGS.get(found[1].lower(), found[1].lower())
    if media in _IMAGES:
        return marked({"type": "image", "source": {"type": "base64", "media_type": media, "data": found[2]}}, part)
    if media == "application/pdf":
        return marked({"type": "document", "source": {"type": "base64", "media_type": media, "data": found[2]}}, part)
    if media.startswith("text/") or media in _TEXTS or media.endswith(("+json", "+xml")):
        try:
            text = base64.b64decode(found[2]).decode("utf-8-sig")
        except (binascii.Error, ValueError):
            text = ""
        source = {"type": "text", "media_type": "text/plain", "data": text}
        return marked({"type": "document", "source": source}, part) if text else None
    return None
