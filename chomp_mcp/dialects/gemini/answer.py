"""Google's Gemini API as a router's dialect: generateContent, its stream, and its own model list."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from chomp_mcp.dialects.gemini.contents import signed
from chomp_mcp.dialects.gemini.request import encode
from chomp_mcp.dialects.numbers import tokens
from chomp_mcp.dialects.openai.answer import answered, error_in, nonsense
from chomp_mcp.dialects.openai.models import as_model, entries
from chomp_mcp.dialects.openai.request import list_url
from chomp_mcp.dialects.openai.shapes import call, head, usage_object, usage_piece
from chomp_mcp.dialects.openai.text import loads
from chomp_mcp.dialects.openai.tool_calls import new_id
from chomp_mcp.dialects.openai.usage import read_cost
from chomp_mcp.dialects.stream.decoder import ObjectDecoder, Whole
from chomp_mcp.dialects.stream.framing import Events
from chomp_mcp.dialects.values import as_index, as_mapping, as_objects, as_text
from chomp_mcp.messages import MUTE_ENDS, Completion, Delta, ErrorObject, Failed, Model, Router, Usage, WireRequest

__all__ = ["ContentDecoder", "decode", "decode_list", "decoder", "encode", "encode_list"]

_FINISH: Mapping[str, str] = {
    "STOP": "stop",
    "MAX_TOKENS": "length",
    **dict.fromkeys(
        ("SAFETY", "RECITATION", "LANGUAGE", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "IMAGE_SAFETY"),
        "content_filter",
    ),
}


def decode(body: bytes) -> Completion | Failed | ErrorObject:
    """A whole GenerateContentResponse as a `chat.completion`; thoughts become `reasoning_content`."""
    try:
        told = loads(body)
    except ValueError:
        return nonsense(body)
    if isinstance(told, list) and len(told) == 1:  # an error, as it comes without `alt=sse`
        told = told[0]
    if not isinstance(told, dict):
        return nonsense(body)
    if error := error_in(told):
        return error
    if not isinstance(told.get("candidates"), list) and not told.get("promptFeedback"):
        return nonsense(b"[]")
    calls: dict[int, int] = {}
    choices = []
    for choice in _choices(told, calls):
        message = dict(choice["delta"])
        for each in message.get("tool_calls", ()):
            del each["index"]
        message = {"role": "assistant", "content": None if "tool_calls" in message else "", **message}
        choices.append({"index": choice["index"], "message": message, "finish_reason": choice["finish_reason"]})
    usage = usage_of(told.get("usageMetadata"))
    answer = {**_head(told), "object": "chat.completion", "choices": choices}
    if usage:
        answer["usage"] = usage_object(usage)
    return answered(Completion(answer, usage=usage, cost_usd=read_cost(told)))


def decoder() -> ContentDecoder:
    """A decoder for one stream."""
    return ContentDecoder(decode)


class ContentDecoder(ObjectDecoder):
    """Each event is a response with a piece of the answer, and the counts so far; the last says why it ended."""

    __slots__ = ("_calls", "_top")

    def __init__(self, decode_whole: Whole) -> None:
        super().__init__(Events(), decode_whole)
        self._top = head("", "")
        self._calls: dict[int, int] = {}
        """Index of a candidate -> how many calls it has made."""

    def close(self) -> list[Delta]:
        """As in every decoder; the counts, which every event repeats, are told at the end."""
        deltas = super().close()
        if not self.finished or self.done or self.usage is None:
            return deltas
        return [*deltas, usage_piece(self._top, self.usage)]

    def _take(self, value: Mapping[str, Any]) -> Iterable[Delta]:
        if error := error_in(dict(value)):
            self.error = error
            return ()
        self._top = _head(value)
        self.usage = usage_of(value.get("usageMetadata")) or self.usage
        cost = read_cost(value)
        self.cost_usd = self.cost_usd if cost is None else cost
        choices = _choices(value, self._calls)
        for choice in choices:
            self.finished = self.finished or choice["finish_reason"] is not None
            self.is_mute = self.is_mute or choice["finish_reason"] in MUTE_ENDS
        return (Delta(chunk={**self._top, "choices": choices}),) if choices else ()


def usage_of(counts: Any) -> Usage | None:
    """Thoughts are billed as output, and counted apart; what was read from the cache is a part of the prompt."""
    if not isinstance(counts, Mapping) or tokens(counts.get("promptTokenCount")) is None:
        return None
    names = ("prompt", "candidates", "thoughts", "cachedContent", "toolUsePrompt")
    asked, answered_, thought, cached, of_tools = (tokens(counts.get(f"{name}TokenCount")) or 0 for name in names)
    return Usage(asked + of_tools, answered_ + thought, cached, reasoning_tokens=thought)


def encode_list(router: Router, key: str) -> WireRequest | None:
    """GET /models, a page of 1,000, which is all of them."""
    own = {name.lower(): value for name, value in router.headers.items()}
    headers = {"accept": "application/json", **({"x-goog-api-key": key} if key else {}), **own}
    return WireRequest("GET", f"{list_url(router)}?pageSize=1000", headers)


def decode_list(router: Router, body: bytes) -> tuple[Model, ...]:
    """The models that generate content; `ValueError` when the body is no list."""
    found = []
    for row in entries(body):
        methods = row.get("supportedGenerationMethods")
        if isinstance(methods, list) and "generateContent" not in methods:
            continue
        named = {
            "id": as_text(row.get("name")).removeprefix("models/") or row.get("id"),
            "name": row.get("displayName"),
            "context_length": row.get("inputTokenLimit"),
            "max_output_tokens": row.get("outputTokenLimit"),
            **({"reasoning": row["thinking"]} if "thinking" in row else {}),
        }
        if model := as_model(router, named):
            found.append(model)
    return tuple(found)


def _head(response: Mapping[str, Any]) -> dict[str, Any]:
    return head(as_text(response.get("responseId")), as_text(response.get("modelVersion")))


def _choices(response: Mapping[str, Any], calls: dict[int, int]) -> list[dict[str, Any]]:
    """The candidates as choices with a delta; a prompt that was refused is a choice that says so."""
    candidates = as_objects(response.get("candidates"))
    if not candidates and as_mapping(response.get("promptFeedback")).get("blockReason"):
        return [{"index": 0, "delta": {}, "finish_reason": "content_filter"}]
    choices = []
    for place, candidate in enumerate(candidates):
        index = as_index(candidate.get("index"), place)
        delta: dict[str, Any] = {}
        for part in as_objects(as_mapping(candidate.get("content")).get("parts")):
            data = as_mapping(part.get("inlineData"))
            if isinstance(told := part.get("functionCall"), Mapping):
                whole = call(as_text(told.get("id")) or new_id(), as_text(told.get("name")), told.get("args"))
                count = calls.get(index, 0)
                calls[index] = count + 1
                made = signed({"index": count, **whole}, part.get("thoughtSignature"))
                delta.setdefault("tool_calls", []).append(made)
            elif isinstance(text := part.get("text"), str) and text:
                name = "reasoning_content" if part.get("thought") else "content"
                delta[name] = delta.get(name, "") + text
            elif data and not part.get("thought"):
                url = f"data:{data.get('mimeType')};base64,{data.get('data')}"
                delta.setdefault("images", []).append({"type": "image_url", "image_url": {"url": url}})
        reason = candidate.get("finishReason")
        finish = _FINISH.get(reason, "stop") if isinstance(reason, str) else None
        if finish == "stop" and calls.get(index):  # it has no reason of its own for an answer that calls
            finish = "tool_calls"
        choices.append({"index": index, "delta": delta, "finish_reason": finish})
    return choices
