"""The events of a streamed Response -> OpenAI's chunks.

A server need not send every kind: some tell an item only when it is done, some only in `response.completed`. Whatever
of an item was not streamed is taken from the first place that tells it whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from chomp_mcp.dialects.openai.shapes import head, piece, usage_piece
from chomp_mcp.dialects.openai.usage import read_cost
from chomp_mcp.dialects.responses.output import CALLS, acts, call_of, citation, finish_of, picture, usage_of
from chomp_mcp.dialects.responses.reasoning import details_of, thought_in
from chomp_mcp.dialects.stream.decoder import ObjectDecoder, Whole
from chomp_mcp.dialects.stream.framing import Events
from chomp_mcp.dialects.values import as_index, as_list, as_mapping, as_objects, as_text
from chomp_mcp.messages import MUTE_ENDS, Delta, ErrorObject


class ResponseDecoder(ObjectDecoder):
    """Text, refusals, reasoning, calls, and the end; what is new is passed over."""

    __slots__ = ("_calls", "_details", "_ref", "_said", "_thinks", "_top", "_whole_items")

    def __init__(self, decode: Whole, ref: str) -> None:
        super().__init__(Events(), decode)
        self._ref = ref
        self._top = head("", "")
        self._calls: dict[int, int] = {}
        """Place of an item in the output -> index of the call."""
        self._said: set[int] = set()
        """Places of items of which something was streamed."""
        self._whole_items: set[int] = set()
        """Places of items that are done."""
        self._details = 0
        self._thinks: dict[int, str] = {}
        """Place of a reasoning item -> the kind of event that tells it: some send thoughts and their summary."""

    def _take(self, event: Mapping[str, Any]) -> Iterable[Delta]:
        kind, place = as_text(event.get("type")), as_index(event.get("output_index"))
        text = as_text(event.get("delta"))
        if kind == "response.output_text.delta":  # nearly all of them
            self._said.add(place)
            choice = {"index": 0, "delta": {"content": text}, "finish_reason": None}
            if logprobs := as_list(event.get("logprobs")):  # more than text: it must not pass for `plain`
                choice["logprobs"] = {"content": logprobs}
                return (Delta(chunk={**self._top, "choices": [choice]}),)
            return (Delta(chunk={**self._top, "choices": [choice]}, plain=text),) if text else ()
        if name := _WORDS.get(kind):
            if name == "reasoning_content" and self._thinks.setdefault(place, kind) != kind:
                return ()  # a summary of thoughts that were told, or the other way round: the first of them stays
            self._said.add(place)
            return (piece(self._top, {name: text}),) if text else ()
        if kind in _ARGUMENTS:
            if place not in self._calls or not text:
                return ()
            self._said.add(place)
            tool, name = _ARGUMENTS[kind]
            return (piece(self._top, {"tool_calls": [{"index": self._calls[place], tool: {name: text}}]}),)
        return self._turn(kind, event, place)

    def _turn(self, kind: str, event: Mapping[str, Any], place: int) -> Iterable[Delta]:
        """Where the answer, or an item of it, begins or ends."""
        item, response = as_mapping(event.get("item")), as_mapping(event.get("response"))
        match kind:
            case "response.created":
                named = head(as_text(response.get("id")), as_text(response.get("model")))
                self._top = {**named, "created": response.get("created_at") or 0}
                return (piece(self._top, {"role": "assistant", "content": ""}),)
            case "response.output_item.added" if item.get("type") in CALLS:
                return self._call(item, place)
            case "response.output_item.done":
                return self._done(item, place)
            case "response.output_text.annotation.added":
                return (piece(self._top, {"annotations": [citation(event.get("annotation"))]}),)
            case "response.reasoning_summary_part.added":
                goes_on = event.get("summary_index") and "summary" in self._thinks.get(place, "")
                return (piece(self._top, {"reasoning_content": "\n\n"}),) if goes_on else ()
            case "response.completed" | "response.incomplete":
                # The whole Response stands here once more, for some tell their items nowhere else.
                output = as_list(response.get("output"))
                told = [delta for at, each in enumerate(output) for delta in self._done(as_mapping(each), at)]
                finish = finish_of(response, has_calls=bool(self._calls))
                self.finished = self.done = True
                self.is_mute = finish in MUTE_ENDS or acts(output)
                self.usage, self.cost_usd = usage_of(response), read_cost(response)
                told.append(piece(self._top, {}, finish))
                return [*told, usage_piece(self._top, self.usage)] if self.usage else told
            case "response.failed":
                self.usage = usage_of(response) or self.usage
                unnamed = {"message": "The router ended the answer as failed and gave no reason."}
                self.error = ErrorObject(response.get("error") or unnamed)
            case "error":
                self.error = ErrorObject(event.get("error") or {name: event[name] for name in event if name != "type"})
        return ()

    def _call(self, item: Mapping[str, Any], place: int) -> list[Delta]:
        self._calls[place] = len(self._calls)
        if item.get("arguments") or item.get("input"):
            self._said.add(place)
        return [piece(self._top, {"tool_calls": [{"index": self._calls[place], **call_of(item)}]})]

    def _done(self, item: Mapping[str, Any], place: int) -> list[Delta]:
        """What of this item nobody has heard yet."""
        if place in self._whole_items:
            return []
        self._whole_items.add(place)
        kind, was_said = item.get("type"), place in self._said
        delta: dict[str, Any] = {}
        if kind in CALLS:
            if place not in self._calls:
                return self._call(item, place)
            if not was_said:  # announced without a word of its arguments: its id and name are known, and told once
                whole = call_of(item)
                body = {name: text for name, text in whole[whole["type"]].items() if name != "name"}
                delta["tool_calls"] = [{"index": self._calls[place], whole["type"]: body}]
        elif kind == "reasoning":
            # The seal stands in the finished item alone, so the details go out even where all words were streamed.
            details = details_of(item, self._ref, self._details)
            self._details += len(details)
            if not was_said and (text := thought_in([item])):
                delta["reasoning_content"] = text
            if details:
                delta["reasoning_details"] = details
        elif kind == "image_generation_call":
            delta["images"] = [picture(item)]
        elif kind == "message" and not was_said:
            parts = as_objects(item.get("content"))
            for ours, theirs in (("content", "text"), ("refusal", "refusal")):
                if text := "".join(as_text(part.get(theirs)) for part in parts):
                    delta[ours] = text
        return [piece(self._top, delta)] if delta else []


_WORDS: Mapping[str, str] = {
    "response.refusal.delta": "refusal",
    "response.reasoning_text.delta": "reasoning_content",
    "response.reasoning_summary_text.delta": "reasoning_content",
}
"""Event -> the field of a delta whose text it goes on with."""
_ARGUMENTS: Mapping[str, tuple[str, str]] = {
    "response.function_call_arguments.delta": ("function", "arguments"),
    "response.custom_tool_call_input.delta": ("custom", "input"),
}
"""Event -> where a call holds what it goes on with."""
