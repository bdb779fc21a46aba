"""Signatures of thinking: Anthropic's, which only its own models read, and ours, which mark what another model thought.

Messages wants a signature on every thinking block, and chat completions has none to give. Ours carries what the router
needs to get back (`reasoning_details`), and keeps our blocks apart from Anthropic's, which refuses any foreign one.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any

from chomp_mcp import wire
from chomp_mcp.dialects.values import as_list

_MARK = "chomp1."


def sign(details: Any = None) -> str:
    """A signature of ours; `details` is a router's `reasoning_details` (OpenRouter), to be sent back to it."""
    packed = base64.urlsafe_b64encode(wire.dumps(details)).decode() if details else ""
    return _MARK + packed


def is_ours(block: Mapping[str, Any]) -> bool:
    """A thinking block that we made of another model's reasoning."""
    signature = block.get("signature")
    return block.get("type") == "thinking" and isinstance(signature, str) and signature.startswith(_MARK)


def details_in(block: Mapping[str, Any]) -> list[Any]:
    """The `reasoning_details` that a signature of ours carries; empty for any other."""
    signature = block.get("signature")
    if not isinstance(signature, str) or not signature.startswith(_MARK):
        return []
    try:
        details = wire.loads(base64.urlsafe_b64decode(signature[len(_MARK) :]))
    except (ValueError, binascii.Error):
        return []
    return as_list(details)


def without_ours(messages: Any) -> Any:
    """The messages for Anthropic: thinking of other models, which it would refuse, is left out of a mixed history."""
    if not isinstance(messages, list):
        return messages
    kept = []
    for message in messages:
        blocks = as_list(message.get("content")) if isinstance(message, Mapping) else []
        others = [block for block in blocks if not isinstance(block, Mapping) or not is_ours(block)]
        if len(others) == len(blocks):
            kept.append(message)
        elif others:  # a message that held nothing else goes with them: Anthropic refuses an empty one
            kept.append({**message, "content": others})
    return kept
