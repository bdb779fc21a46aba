"""A `chat.completion` -> a Message, for the Messages door."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chomp_mcp.dialects.anthropic.signatures import sign
from chomp_mcp.dialects.openai.text import as_input
from chomp_mcp.dialects.values import as_list, as_mapping, as_objects, as_text
from chomp_mcp.messages import Completion, Usage

_STOPS = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use", "function_call": "tool_use"}
_REFUSALS = frozenset({"content_filter", "refusal"})


def message_of(completion: Completion, usage: Usage, *, model: str) -> dict[str, Any]:
    """The whole answer; `model` is what it is called where the router did not say."""
    message, body = completion.message, completion.body
    thought = reasoning_in(message)
    text = message.get("content") or message.get("refusal") or ""
    content: list[dict[str, Any]] = []
    if thought:
        signature = sign(message.get("reasoning_details"))
        content.append({"type": "thinking", "thinking": thought, "signature": signature})
    if isinstance(text, str) and text:
        content.append({"type": "text", "text": text})
    uses: list[dict[str, Any]] = []
    for call in as_objects(message.get("tool_calls")):
        function = as_mapping(call.get("function"))
        use = {"type": "tool_use", "id": str(call.get("id") or ""), "name": str(function.get("name") or "")}
        uses.append({**use, "input": as_input(function.get("arguments"))})
    choices = as_list(body.get("choices"))
    # vLLM and its like name the text that ended the answer as `stop_reason` of the choice.
    ended_by = as_text(as_mapping(choices[0]).get("stop_reason")) if choices else ""
    reason, sequence = stop_reason(completion.finish_reason, ended_by, has_calls=bool(uses))
    return {
        "id": message_id(body.get("id")),
        "type": "message",
        "role": "assistant",
        "model": str(body.get("model") or model),
        "content": [*content, *uses],
        "stop_reason": "refusal" if message.get("refusal") and not uses else reason,
        "stop_sequence": sequence,
        "usage": usage_object(usage),
    }


def message_id(answer_id: Any) -> str:
    """The router's id, as Anthropic's look."""
    name = str(answer_id or "chomp")
    return name if name.startswith("msg_") else f"msg_{name}"


def reasoning_in(place: Mapping[str, Any]) -> str:
    """What a message or a delta says of the model's thinking."""
    return as_text(place.get("reasoning_content") or place.get("reasoning"))


def stop_reason(finish: str | None, sequence: str | None, *, has_calls: bool) -> tuple[str, str | None]:
    """`stop_reason` and `stop_sequence`; some routers say `stop` to an answer that calls tools."""
    if has_calls and finish != "length":
        return "tool_use", None
    if finish in _REFUSALS:
        return "refusal", None
    reason = _STOPS.get(finish or "", "end_turn")
    return ("stop_sequence", sequence) if sequence and reason == "end_turn" else (reason, None)


def usage_object(usage: Usage) -> dict[str, int]:
    """Messages counts cached input apart."""
    return {
        "input_tokens": max(0, usage.input_tokens - usage.cached_tokens - usage.cache_write_tokens),
        "cache_creation_input_tokens": usage.cache_write_tokens,
        "cache_read_input_tokens": usage.cached_tokens,
        "output_tokens": usage.output_tokens,
    }
