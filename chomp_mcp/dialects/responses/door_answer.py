"""A chat completion -> a Response object, and the parts that its stream is made of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chomp_mcp.dialects.responses.door_request import REASONING, Chat, seal
from chomp_mcp.dialects.responses.output import INCOMPLETE
from chomp_mcp.dialects.values import as_list, as_text
from chomp_mcp.messages import Completion, Usage

_ECHOED: Mapping[str, Any] = {
    "background": False, "instructions": None, "max_output_tokens": None, "max_tool_calls": None, "metadata": {},
    "parallel_tool_calls": True, "prompt_cache_key": None, "reasoning": {"effort": None, "summary": None},
    "safety_identifier": None, "service_tier": "auto", "temperature": None, "text": {"format": {"type": "text"}},
    "tool_choice": "auto", "tools": [], "top_logprobs": None, "top_p": None, "truncation": "disabled", "user": None,
}  # fmt: skip
"""What a Response repeats of its request, and what stands there for what was not said."""

_INCOMPLETE = {ours: theirs for theirs, ours in INCOMPLETE.items()}


def skeleton(body: Mapping[str, Any], *, response_id: str, created_at: int) -> dict[str, Any]:
    """A Response in progress: everything that is known before the model has said a word."""
    echoed = {name: body[name] if body.get(name) is not None else default for name, default in _ECHOED.items()}
    return {
        "id": response_id,
        "object": "response",
        "created_at": created_at,
        "status": "in_progress",
        "error": None,
        "incomplete_details": None,
        "model": body.get("model") or "",
        "output": [],
        "previous_response_id": None,
        "store": False,
        "usage": None,
        **echoed,
    }


def response(chat: Chat, shell: Mapping[str, Any], completion: Completion, usage: Usage, route: str) -> dict[str, Any]:
    """The whole Response; `route` is who answered, as `router/model`."""
    message, ident = completion.message, str(shell["id"]).removeprefix("resp_")
    output: list[dict[str, Any]] = []
    if item := reasoning_item(chat, message, f"rs_{ident}", route):
        output.append(item)
    if item := message_item(message, f"msg_{ident}"):
        output.append(item)
    for index, call in enumerate(message.get("tool_calls") or ()):
        output.append(call_item(chat, call, f"{ident}_{index}"))
    return {
        **shell,
        **ending(completion.finish_reason),
        "model": completion.body.get("model") or shell["model"],
        "output": output,
        "usage": usage_object(usage),
    }


def ending(finish_reason: str | None) -> dict[str, Any]:
    """`status`, and why an answer is incomplete."""
    why = _INCOMPLETE.get(finish_reason or "")
    return {"status": "incomplete" if why else "completed", "incomplete_details": {"reason": why} if why else None}


def usage_object(usage: Usage) -> dict[str, Any]:
    """Responses' words for the same counts; tokens of reasoning are part of the output's."""
    return {
        "input_tokens": usage.input_tokens,
        "input_tokens_details": {"cached_tokens": usage.cached_tokens, "cache_write_tokens": usage.cache_write_tokens},
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.input_tokens + usage.output_tokens,
    }


def reasoning_item(chat: Chat, message: Mapping[str, Any], item_id: str, route: str) -> dict[str, Any] | None:
    """What the model thought: a summary where the client asked for one, sealed where it wants to send it back."""
    thought = {name: message[name] for name in REASONING if message.get(name)}
    if not thought:
        return None
    text = as_text(thought.get("reasoning_content")) or as_text(thought.get("reasoning"))
    item: dict[str, Any] = {"id": item_id, "type": "reasoning", "summary": []}
    if text and chat.summarizes:
        item["summary"] = [{"type": "summary_text", "text": text}]
    elif text:
        item["content"] = [{"type": "reasoning_text", "text": text}]
    if chat.keeps_reasoning:
        item["encrypted_content"] = seal(thought, route)
    return item


def annotation(note: Any) -> Any:
    """A citation without the nesting below its type, which chat completions has."""
    kind = note.get("type") if isinstance(note, Mapping) else None
    nested = note.get(kind) if isinstance(kind, str) else None
    return {"type": kind, **nested} if isinstance(nested, Mapping) else note


def message_item(message: Mapping[str, Any], item_id: str) -> dict[str, Any] | None:
    """What the model said, or how it refused."""
    content: list[dict[str, Any]] = []
    if isinstance(text := message.get("content"), str) and text:
        notes = [annotation(note) for note in as_list(message.get("annotations"))]
        content.append({"type": "output_text", "text": text, "annotations": notes, "logprobs": []})
    if isinstance(refusal := message.get("refusal"), str) and refusal:
        content.append({"type": "refusal", "refusal": refusal})
    if not content:
        return None
    return {"id": item_id, "type": "message", "status": "completed", "role": "assistant", "content": content}


def call_item(chat: Chat, call: Mapping[str, Any], ident: str, status: str = "completed") -> dict[str, Any]:
    """A call of a chat function as the call of the tool that it stands for."""
    function = call.get("function") or {}
    made = chat.tools.call(str(function.get("name") or ""), str(function.get("arguments") or ""))
    is_custom = made.tool.kind == "custom"
    item = {
        "id": f"{'ctc' if is_custom else 'fc'}_{ident}",
        "type": "custom_tool_call" if is_custom else "function_call",
        "status": status,
        "call_id": call.get("id") or f"call_{ident}",
        "name": made.tool.name,
        "input" if is_custom else "arguments": made.text,
    }
    return {**item, "namespace": made.tool.namespace} if made.tool.namespace else item
