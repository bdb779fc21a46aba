"""A chat completion, whole or in deltas -> GenerateContentResponse objects."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from chomp_mcp.dialects.openai.collect import Folder
from chomp_mcp.dialects.openai.text import as_input
from chomp_mcp.dialects.values import as_mapping, as_objects
from chomp_mcp.messages import Completion, Delta, Usage

_FINISH = {"length": "MAX_TOKENS", "content_filter": "SAFETY"}


def response_of(completion: Completion, usage: Usage, *, model: str) -> dict[str, Any]:
    """The whole answer; `model` is what it is called where the router did not say."""
    parts = [*_texts(completion.message), *_calls(completion.message)]
    finish = _FINISH.get(completion.finish_reason or "", "STOP")
    return _response(completion.body, parts, model, finish, usage)


class ContentStream:
    """Text goes on as it comes; calls go out whole at the end, for their arguments are objects here."""

    def __init__(self, *, model: str) -> None:
        self._model = model
        self._folder = Folder()
        self._head: Mapping[str, Any] = {}

    def feed(self, deltas: Iterable[Delta]) -> list[dict[str, Any]]:
        """The responses for these deltas."""
        given = list(deltas)
        self._folder.add(given)
        self._head = self._head or next((delta.chunk for delta in given if not delta.plain), {})
        added = [{"content": delta.text} if delta.plain else delta.choice for delta in given]
        return [_response(self._head, parts, self._model) for each in added if (parts := _texts(each))]

    def end(self, usage: Usage) -> dict[str, Any]:
        """The last response: calls, why it ended, and the counts."""
        completion = Completion(self._folder.body())
        finish = _FINISH.get(completion.finish_reason or "", "STOP")
        return _response(self._head, _calls(completion.message), self._model, finish, usage)


def _response(
    head: Mapping[str, Any], parts: list[dict[str, Any]], model: str, finish: str = "", usage: Usage | None = None
) -> dict[str, Any]:
    candidate: dict[str, Any] = {"index": 0, "content": {"role": "model", "parts": parts}}
    response: dict[str, Any] = {
        "candidates": [{**candidate, "finishReason": finish} if finish else candidate],
        "modelVersion": str(head.get("model") or model),
        "responseId": str(head.get("id") or "chomp"),
    }
    if usage:
        response["usageMetadata"] = {
            "promptTokenCount": usage.input_tokens,
            "candidatesTokenCount": usage.output_tokens,
            "cachedContentTokenCount": usage.cached_tokens,
            "totalTokenCount": usage.input_tokens + usage.output_tokens,
        }
    return response


def _texts(message: Mapping[str, Any]) -> list[dict[str, Any]]:
    thought = message.get("reasoning_content") or message.get("reasoning")
    text = message.get("content") or message.get("refusal")
    parts: list[dict[str, Any]] = [{"text": thought, "thought": True}] if isinstance(thought, str) and thought else []
    return [*parts, {"text": text}] if isinstance(text, str) and text else parts


def _calls(message: Mapping[str, Any]) -> list[dict[str, Any]]:
    calls = []
    for call in as_objects(message.get("tool_calls")):
        function = as_mapping(call.get("function"))
        made = {"id": str(call.get("id") or ""), "name": str(function.get("name") or "")}
        calls.append({"functionCall": {**made, "args": as_input(function.get("arguments"))}})
    return calls
