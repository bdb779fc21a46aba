"""OpenAI's objects, for the dialects that have to build them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chomp_mcp import wire
from chomp_mcp.messages import Completion, Delta, Usage


def head(answer_id: str, model: str) -> dict[str, Any]:
    """What every chunk of an answer repeats; `created` is 0, for these routers tell no time and we hold no clock."""
    return {"id": answer_id, "object": "chat.completion.chunk", "created": 0, "model": model}


def piece(top: Mapping[str, Any], delta: Mapping[str, Any], finish: str | None = None) -> Delta:
    """One chunk with one choice; `top` comes from `head`."""
    return Delta(chunk={**top, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})


def usage_piece(top: Mapping[str, Any], usage: Usage) -> Delta:
    """The last chunk: usage, and no choice."""
    return Delta(chunk={**top, "choices": [], "usage": usage_object(usage)})


def usage_object(usage: Usage) -> dict[str, Any]:
    """OpenAI's words for the same counts."""
    given = {"cached_tokens": usage.cached_tokens}
    counts: dict[str, Any] = {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "prompt_tokens_details": given,
    }
    if usage.cache_write_tokens:
        given["cache_write_tokens"] = usage.cache_write_tokens
    if usage.reasoning_tokens:
        counts["completion_tokens_details"] = {"reasoning_tokens": usage.reasoning_tokens}
    return counts


def call(call_id: Any, name: Any, arguments: Any) -> dict[str, Any]:
    """A whole call of a function; its arguments, an object elsewhere, are a text here."""
    function = {"name": name, "arguments": wire.dumps(arguments or {}).decode()}
    return {"id": call_id, "type": "function", "function": function}


def completion(top: Mapping[str, Any], message: Mapping[str, Any], finish: str, usage: Usage | None) -> Completion:
    """A whole answer with one choice."""
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish}
    body = {**top, "object": "chat.completion", "choices": [choice]}
    return Completion({**body, "usage": usage_object(usage)} if usage else body, usage=usage)


def as_chunks(body: Mapping[str, Any]) -> list[Delta]:
    """A whole `chat.completion` as the chunks of a stream: the answer, why it ended, its usage."""
    top = {**{k: v for k, v in body.items() if k not in {"choices", "usage"}}, "object": "chat.completion.chunk"}
    choices = [choice for choice in body["choices"] if isinstance(choice, Mapping)]
    deltas = [
        {**{k: v for k, v in choice.items() if k != "message"}, "delta": as_delta(choice), "finish_reason": None}
        for choice in choices
    ]
    ends = [
        {"index": choice.get("index", 0), "delta": {}, "finish_reason": choice.get("finish_reason") or "stop"}
        for choice in choices
    ]
    chunks = [Delta(chunk={**top, "choices": deltas}), Delta(chunk={**top, "choices": ends})]
    return [*chunks, Delta(chunk={**top, "choices": [], "usage": body["usage"]})] if body.get("usage") else chunks


def as_delta(choice: Mapping[str, Any]) -> dict[str, Any]:
    """The message of a whole choice as the one delta that says all of it."""
    message = choice.get("message")
    delta = dict(message) if isinstance(message, Mapping) else {}
    for name in INDEXED & delta.keys():
        entries = delta[name]
        if isinstance(entries, list):
            delta[name] = [{"index": at, **entry} for at, entry in enumerate(entries) if isinstance(entry, Mapping)]
    return delta


INDEXED = frozenset({"tool_calls", "thinking_blocks"})
"""What OpenAI's clients add up entry by entry, each by its index."""
