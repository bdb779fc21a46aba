"""OpenAI's objects, for the dialects that have to build them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chomp_mcp.messages import Completion, Delta, Usage

__all__ = ["as_chunks", "completion", "head", "piece", "usage_object", "usage_piece"]


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
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
    }


def completion(top: Mapping[str, Any], message: Mapping[str, Any], finish: str, usage: Usage | None) -> Completion:
    """A whole answer with one choice."""
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish}
    body = {**top, "object": "chat.completion", "choices": [choice]}
    return Completion({**body, "usage": usage_object(usage)} if usage else body, usage=usage)


def as_chunks(body: Mapping[str, Any]) -> list[Delta]:
    """A whole `chat.completion` as the chunks of a stream: the answer, then its usage."""
    top = {**{k: v for k, v in body.items() if k not in {"choices", "usage"}}, "object": "chat.completion.chunk"}
    choices = [
        {**{k: v for k, v in choice.items() if k != "message"}, "delta": _as_delta(choice.get("message"))}
        for choice in body["choices"]
        if isinstance(choice, Mapping)
    ]
    chunks = [Delta(chunk={**top, "choices": choices})]
    return [*chunks, Delta(chunk={**top, "choices": [], "usage": body["usage"]})] if body.get("usage") else chunks


def _as_delta(message: Any) -> dict[str, Any]:
    delta = dict(message) if isinstance(message, Mapping) else {}
    calls = delta.get("tool_calls")
    if isinstance(calls, list):
        delta["tool_calls"] = [
            {"index": index, **call} for index, call in enumerate(calls) if isinstance(call, Mapping)
        ]
    return delta
