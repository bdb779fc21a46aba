"""The messages of a conversation -> turns of user and assistant, as Messages wants them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from chomp_mcp.dialects.anthropic.blocks import blocks_of, marked
from chomp_mcp.dialects.anthropic.stream import THINKING
from chomp_mcp.dialects.openai.text import as_input
from chomp_mcp.dialects.values import as_mapping, as_objects, as_text

_READ = frozenset(
    {"role", "content", "tool_calls", "tool_call_id", "cache_control", "thinking_blocks", "refusal", "is_error"}
)
_THOUGHTS = frozenset({"reasoning", "reasoning_content", "reasoning_details"})
_SILENT_USER = {"type": "text", "text": "."}
"""What a user says who is given a turn: the first turn is the user's."""


def turns_of(messages: Iterable[Mapping[str, Any]], lost: set[str], notes: list[str]) -> list[dict[str, Any]]:
    """Alternating turns: neighbours of one role become one, as tool results of one turn must.

    Args:
        messages: without the system's.
        lost: gets the names of what has no place, as `messages[].name`.
        notes: gets a sentence for what had to be added.
    """
    turns: list[dict[str, Any]] = []
    for message in messages:
        role = "assistant" if message.get("role") == "assistant" else "user"
        blocks = _message_blocks(message, lost)
        if turns and turns[-1]["role"] == role:
            turns[-1]["content"] += blocks
        elif blocks:
            turns.append({"role": role, "content": blocks})
    for turn in turns:
        # Messages refuses a turn whose tool results do not come first (platform.claude.com, tool use). The
        # sort is stable.
        turn["content"].sort(key=_is_no_result)
    if turns and turns[0]["role"] == "assistant":
        turns.insert(0, {"role": "user", "content": [_SILENT_USER]})
        notes.append("the conversation begins with the assistant: a user's turn was put before it")
    if turns and turns[-1]["role"] == "assistant":
        content = turns[-1]["content"]
        if content[-1].get("type") == "text":  # an answer that is to be gone on with must not end in white space
            content[-1] = {**content[-1], "text": content[-1]["text"].rstrip()}
    return turns


def has_bare_calls(turns: list[dict[str, Any]]) -> bool:
    """The turn that is still under way called tools and did not keep what it thought: it cannot think on."""
    last = next((turn for turn in reversed(turns) if turn["role"] == "assistant"), None)
    if last is None or not any(block.get("type") == "tool_use" for block in last["content"]):
        return False
    is_answered = turns[-1] is not last and any(_is_no_result(block) for block in turns[-1]["content"])
    return not is_answered and not any(block.get("type") in THINKING for block in last["content"])


def _is_no_result(block: Any) -> bool:
    return not isinstance(block, Mapping) or block.get("type") != "tool_result"


def _message_blocks(message: Mapping[str, Any], lost: set[str]) -> list[Any]:
    thoughts = _thinking(message)
    known = _READ | _THOUGHTS if thoughts else _READ
    lost.update(f"messages[].{name}" for name in message.keys() - known if message[name])
    blocks = blocks_of(message.get("content"), lost)
    if isinstance(message.get("refusal"), str):
        blocks += blocks_of(message["refusal"], lost)
    if message.get("role") == "tool":
        result = {"type": "tool_result", "tool_use_id": message.get("tool_call_id"), "content": blocks}
        if isinstance(message.get("is_error"), bool):
            result["is_error"] = message["is_error"]
        return [marked(result, message)]
    for call in as_objects(message.get("tool_calls")):
        function = as_mapping(call.get("function"))
        use = {"type": "tool_use", "id": call.get("id"), "name": function.get("name")}
        blocks.append(marked({**use, "input": as_input(function.get("arguments"))}, call))
    if blocks and "cache_control" in message:
        blocks[-1] = marked(blocks[-1], message)
    return thoughts + blocks


def _thinking(message: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What the model thought, as far as it is signed: `thinking_blocks`, or OpenRouter's `reasoning_details`."""
    if message.get("role") != "assistant":
        return []
    blocks = as_objects(message.get("thinking_blocks"))
    if not blocks:
        kinds = {"reasoning.encrypted": "redacted_thinking", "reasoning.text": "thinking"}
        blocks = [
            {**each, "type": kinds.get(as_text(each.get("type"))), "thinking": each.get("text")}
            for each in as_objects(message.get("reasoning_details"))
            if str(each.get("format", "anthropic")).startswith("anthropic")
        ]
    kept = []
    for block in blocks:
        if block.get("type") == "redacted_thinking" and block.get("data"):
            kept.append({"type": "redacted_thinking", "data": block["data"]})
        elif block.get("type") == "thinking" and block.get("signature"):
            thought = block.get("thinking") or ""
            kept.append({"type": "thinking", "thinking": thought, "signature": block["signature"]})
    return kept
