"""The events of a streamed Response -> OpenAI's chunks.

A server need not send every kind: some tell an item only when it is done, some only in `response.completed`. Whatever
of an item was not streamed is taken from the first place that tells it whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from chomp_mcp.dialects.openai.shapes import head, piece, usage_piece
from chomp_mcp.dialects.openai.usage import read_cost
from chomp_mcp.dialects.responses.output import CALLS, FINISH, acts, call_of, citation, picture, usage_of
from chomp_mcp.dialects.responses.reasoning import details_of, thought_in
from chomp_mcp.dialects.stream.decoder import ObjectDecoder, Whole
from chomp_mcp.dialects.stream.framing import Events
from chomp_mcp.dialects.values import as_list, as_mapping, as_text
from chomp_mcp.messages import MUTE_ENDS, Delta, ErrorObject

__all__ = ["ResponseDecoder"]


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

    def _take(self, value: Mapping[str, Any]) -> Iterable[Delta]:
        take = _EVENTS.get(as_text(value.get("type")))
        return take(self, value) if take else ()

    def _begin(self, event: Mapping[str, Any]) -> Iterable[Delta]:
        response = as_mapping(event.get("response"))
        self._top = {
            **head(as_text(response.get("id")), as_text(response.get("model"))),
            "created": response.get("created_at") or 0,
        }
        return (piece(self._top, {"role": "assistant", "content": ""}),)

    def _text(self, event: Mapping[str, Any]) -> Iterable[Delta]:
        self._said.add(_place(event))
        text = as_text(event.get("delta"))
        if logprobs := as_list(event.get("logprobs")):
            choice = {"index": 0, "delta": {"content": text}, "logprobs": {"content": logprobs}, "finish_reason": None}
            return (Delta(chunk={**self._top, "choices": [choice]}),)
        choice = {"index": 0, "delta": {"content": text}, "finish_reason": None}
        return (Delta(chunk={**self._top, "choices": [choice]}, plain=text),) if text else ()

    def _refusal(self, event: Mapping[str, Any]) -> Iterable[Delta]:
        return self._say(event, "refusal")

    def _thought(self, event: Mapping[str, Any]) -> Iterable[Delta]:
        kind = as_text(event.get("type"))
        is_first = self._thinks.setdefault(_place(event), kind) == kind
        return self._say(event, "reasoning_content") if is_first else ()

    def _say(self, event: Mapping[str, Any], name: str) -> Iterable[Delta]:
        self._said.add(_place(event))
        text = as_text(event.get("delta"))
        return (piece(self._top, {name: text}),) if text else ()

    def _next_summary(self, event: Mapping[str, Any]) -> Iterable[Delta]:
        goes_on = event.get("summary_index") and "summary" in self._thinks.get(_place(event), "")
        return (piece(self._top, {"reasoning_content": "\n\n"}),) if goes_on else ()

    def _annotation(self, event: Mapping[str, Any]) -> Iterable[Delta]:
        return (piece(self._top, {"annotations": [citation(event.get("annotation"))]}),)

    def _item_added(self, event: Mapping[str, Any]) -> Iterable[Delta]:
        item = as_mapping(event.get("item"))
        return self._call(item, _place(event)) if item.get("type") in CALLS else ()

    def _call(self, item: Mapping[str, Any], place: int) -> Iterable[Delta]:
        self._calls[place] = len(self._calls)
        if item.get("arguments") or item.get("input"):
            self._said.add(place)
        return (piece(self._top, {"tool_calls": [{"index": self._calls[place], **call_of(item)}]}),)

    def _arguments(self, event: Mapping[str, Any]) -> Iterable[Delta]:
        return self._argue(event, "function", "arguments")

    def _input(self, event: Mapping[str, Any]) -> Iterable[Delta]:
        return self._argue(event, "custom", "input")

    def _argue(self, event: Mapping[str, Any], kind: str, name: str) -> Iterable[Delta]:
        place, text = _place(event), as_text(event.get("delta"))
        if place not in self._calls or not text:
            return ()
        self._said.add(place)
        return (piece(self._top, {"tool_calls": [{"index": self._calls[place], kind: {name: text}}]}),)

    def _item_done(self, event: Mapping[str, Any]) -> Iterable[Delta]:
        return self._done(as_mapping(event.get("item")), _place(event))

    def _done(self, item: Mapping[str, Any], place: int) -> list[Delta]:
        """What of this item nobody has heard yet."""
        kind, was_said = item.get("type"), place in self._said
        if place in self._whole_items:
            return []
        self._whole_items.add(place)
        if kind in CALLS:
            return self._called(item, place, was_said=was_said)
        if kind == "reasoning":
            return self._reasoned(item, was_said=was_said)
        delta: dict[str, Any] = {}
        if kind == "image_generation_call":
            delta["images"] = [picture(item)]
        elif kind == "message" and not was_said:
            parts = [part for part in as_list(item.get("content")) if isinstance(part, Mapping)]
            for ours, theirs in (("content", "text"), ("refusal", "refusal")):
                if text := "".join(as_text(part.get(theirs)) for part in parts):
                    delta[ours] = text
        return [piece(self._top, delta)] if delta else []

    def _called(self, item: Mapping[str, Any], place: int, *, was_said: bool) -> list[Delta]:
        if place not in self._calls:
            return list(self._call(item, place))
        if was_said:
            return []
        whole = call_of(item)
        kind = whole["type"]
        body = {name: text for name, text in whole[kind].items() if name != "name"}
        return [piece(self._top, {"tool_calls": [{"index": self._calls[place], kind: body}]})]

    def _reasoned(self, item: Mapping[str, Any], *, was_said: bool) -> list[Delta]:
        details = details_of(item, self._ref, self._details)
        self._details += len(details)
        text = "" if was_said else thought_in([item])
        delta = {name: value for name, value in (("reasoning_content", text), ("reasoning_details", details)) if value}
        return [piece(self._top, delta)] if delta else []

    def _end(self, event: Mapping[str, Any]) -> Iterable[Delta]:
        response = as_mapping(event.get("response"))
        told = [
            delta
            for place, item in enumerate(as_list(response.get("output")))
            for delta in self._done(as_mapping(item), place)
        ]
        why = as_mapping(response.get("incomplete_details")).get("reason")
        finish = FINISH.get(as_text(why)) or ("tool_calls" if self._calls else "stop")
        self.finished = self.done = True
        self.is_mute = finish in MUTE_ENDS or acts(as_list(response.get("output")))
        self.usage, self.cost_usd = usage_of(response), read_cost(response)
        told.append(piece(self._top, {}, finish))
        return [*told, usage_piece(self._top, self.usage)] if self.usage else told

    def _failed(self, event: Mapping[str, Any]) -> Iterable[Delta]:
        response = as_mapping(event.get("response"))
        self.usage = usage_of(response) or self.usage
        unnamed = {"message": "The router ended the answer as failed and gave no reason."}
        self.error = ErrorObject(response.get("error") or unnamed)
        return ()

    def _error(self, event: Mapping[str, Any]) -> Iterable[Delta]:
        self.error = ErrorObject(event.get("error") or {name: event[name] for name in event if name != "type"})
        return ()


def _place(event: Mapping[str, Any]) -> int:
    place = event.get("output_index")
    return place if isinstance(place, int) else 0


_EVENTS: Mapping[str, Callable[[ResponseDecoder, Mapping[str, Any]], Iterable[Delta]]] = {
    "response.created": ResponseDecoder._begin,  # noqa: SLF001 - the table of this class
    "response.output_text.delta": ResponseDecoder._text,  # noqa: SLF001
    "response.output_text.annotation.added": ResponseDecoder._annotation,  # noqa: SLF001
    "response.refusal.delta": ResponseDecoder._refusal,  # noqa: SLF001
    "response.reasoning_text.delta": ResponseDecoder._thought,  # noqa: SLF001
    "response.reasoning_summary_text.delta": ResponseDecoder._thought,  # noqa: SLF001
    "response.reasoning_summary_part.added": ResponseDecoder._next_summary,  # noqa: SLF001
    "response.output_item.added": ResponseDecoder._item_added,  # noqa: SLF001
    "response.function_call_arguments.delta": ResponseDecoder._arguments,  # noqa: SLF001
    "response.custom_tool_call_input.delta": ResponseDecoder._input,  # noqa: SLF001
    "response.output_item.done": ResponseDecoder._item_done,  # noqa: SLF001
    "response.completed": ResponseDecoder._end,  # noqa: SLF001
    "response.incomplete": ResponseDecoder._end,  # noqa: SLF001
    "response.failed": ResponseDecoder._failed,  # noqa: SLF001
    "error": ResponseDecoder._error,  # noqa: SLF001
}
