"""Deltas of chat completions -> the events of a streamed Response, in OpenAI's order and with its sequence numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from chomp_mcp import wire
from chomp_mcp.dialects.responses.door_answer import annotation, call_item, ending, reasoning_item, usage_object
from chomp_mcp.dialects.responses.door_request import REASONING, Chat
from chomp_mcp.dialects.values import as_index, as_list, as_mapping, as_objects
from chomp_mcp.errors import ChompError
from chomp_mcp.messages import Delta, Usage

Event = dict[str, Any]


@dataclass(slots=True)
class _Item:
    """An output item that is still growing."""

    place: int
    kind: str
    item: dict[str, Any]
    call: dict[str, Any] = field(default_factory=dict)
    """Of a call: how chat completions writes it."""
    parts: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(self.parts)


class ResponseEvents:
    """Feed deltas, get events. Reasoning and text take turns; calls stay open until the end, for they come mixed."""

    def __init__(self, chat: Chat, shell: Mapping[str, Any]) -> None:
        self._chat = chat
        self._shell = dict(shell)
        self._ident = str(shell["id"]).removeprefix("resp_")
        self._number = -1
        self._output: dict[int, dict[str, Any]] = {}
        self._next_place = 0
        self._open: _Item | None = None
        self._calls: dict[int, _Item] = {}
        self._thought: dict[str, Any] = {}
        self._annotations: list[Any] = []
        self._route = ""
        self._finish: str | None = None
        self._model = ""

    def start(self, route: str) -> list[Event]:
        """The two events before the first word; `route` is who answers, as `router/model`."""
        self._route = route
        return [self._event(f"response.{kind}", response=self._now()) for kind in ("created", "in_progress")]

    def take(self, deltas: Iterable[Delta]) -> list[Event]:
        """What these deltas add; pieces of text that come together become one."""
        events: list[Event] = []
        texts: list[str] = []
        for delta in deltas:
            if text := delta.plain:
                texts.append(text)
                continue
            if texts:
                events += self._say("output_text", "".join(texts))
                texts = []
            self._model = self._model or str(delta.chunk.get("model") or "")
            self._finish = delta.finish_reason or self._finish
            added = delta.choice
            for name in REASONING:
                if not (value := added.get(name)):
                    continue
                known = self._thought.get(name)
                if isinstance(value, list):
                    # A list where it was a text before, and the other way round: the two do not add up.
                    self._thought[name] = known if isinstance(known, list) else []
                    self._thought[name] += value
                elif isinstance(value, str):
                    self._thought[name] = (known if isinstance(known, str) else "") + value
                    # Its text is told once, though some routers give it under two names.
                    if name != "reasoning" or not added.get("reasoning_content"):
                        events += self._say("reasoning", value)
            for kind, name in (("output_text", "content"), ("refusal", "refusal")):
                if isinstance(said := added.get(name), str) and said:
                    events += self._say(kind, said)
            for note in map(annotation, as_list(added.get("annotations"))):
                # They mostly come behind the last word; those of a text that has ended have no place any more.
                if (item := self._open) and item.kind == "output_text":
                    where = {"item_id": item.item["id"], "output_index": item.place, "content_index": 0}
                    where |= {"annotation_index": len(self._annotations), "annotation": note}
                    events.append(self._event("response.output_text.annotation.added", **where))
                    self._annotations.append(note)
            for call in as_objects(added.get("tool_calls")):
                events += self._call(call)
        return events + self._say("output_text", "".join(texts)) if texts else events

    def go_on_after(self, first: bytes, last: bytes) -> None:
        """After a router's own events, of which these are the first and the last: what follows goes on from there."""
        told: list[Mapping[str, Any]] = []
        for raw in (first, last):
            try:  # several events may have come in one piece: the last of them counts
                told.append(as_mapping(wire.loads(raw.rstrip(b"\n").rpartition(b"\n\n")[2].partition(b"data: ")[2])))
            except ValueError:
                told.append({})
        if isinstance(number := told[1].get("sequence_number"), int):
            self._number = number
        self._shell |= as_mapping(told[0].get("response"))
        self._model = str(self._shell.get("model") or "")

    def finish(self, usage: Usage) -> list[Event]:
        """The end of an answer that came whole."""
        events = self._close_open()
        if self._thought:  # only what no text shows, such as encrypted details
            place = self._take_place()
            if row := reasoning_item(self._chat, self._thought, f"rs_{self._ident}_{place}", self._route):
                events.append(self._event("response.output_item.added", output_index=place, item=row))
                events.append(self._done(place, row))
        for item in self._calls.values():
            item.call["function"]["arguments"] = item.text or "{}"
            made = call_item(self._chat, item.call, f"{self._ident}_{item.place}")
            row = {**made, "call_id": item.item["call_id"]}
            where = {"item_id": row["id"], "output_index": item.place}
            if item.kind == "function_call":
                done = {**where, "name": row["name"], "arguments": row["arguments"]}
                events.append(self._event("response.function_call_arguments.done", **done))
            else:
                kind = "response.custom_tool_call_input"
                events.append(self._event(f"{kind}.delta", **where, delta=row["input"]))
                events.append(self._event(f"{kind}.done", **where, input=row["input"]))
            events.append(self._done(item.place, row))
        self._shell |= {**ending(self._finish), "usage": usage_object(usage)}
        kind = "response.incomplete" if self._shell["status"] == "incomplete" else "response.completed"
        return [*events, self._event(kind, response=self._now())]

    def fail(self, error: ChompError) -> list[Event]:
        """The end of an answer that broke off; what was said stays said, and is not called complete."""
        self._shell |= {"status": "failed", "error": {"code": error.code or "server_error", "message": str(error)}}
        return [self._event("response.failed", response=self._now())]

    def _say(self, kind: str, text: str) -> list[Event]:
        events: list[Event] = []
        part_name, text_name, _ = self._names(kind)
        item = self._open
        if item is None or item.kind != kind:
            events = self._close_open()
            place = self._take_place()
            row: dict[str, Any] = {"id": f"rs_{self._ident}_{place}", "type": "reasoning", "summary": []}
            if kind != "reasoning":
                row = {"id": f"msg_{self._ident}_{place}", "type": "message", "status": "in_progress"}
                row |= {"role": "assistant", "content": []}
            item = self._open = _Item(place, kind, row)
            events.append(self._event("response.output_item.added", output_index=place, item=dict(row)))
            events.append(self._part_event(item, f"{part_name}.added", part=self._part(kind, "")))
        item.parts.append(text)
        return [*events, self._part_event(item, f"{text_name}.delta", delta=text)]

    def _names(self, kind: str) -> tuple[str, str, str]:
        """(event of a part, event of its text, type of the part)"""
        if kind == "reasoning":
            if self._chat.summarizes:
                return "response.reasoning_summary_part", "response.reasoning_summary_text", "summary_text"
            return "response.content_part", "response.reasoning_text", "reasoning_text"
        return "response.content_part", f"response.{kind}", kind

    def _part(self, kind: str, text: str) -> dict[str, Any]:
        if kind == "refusal":
            return {"type": "refusal", "refusal": text}
        if kind == "output_text":
            return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
        return {"type": self._names(kind)[2], "text": text}

    def _part_event(self, item: _Item, kind: str, **more: Any) -> Event:
        index = {"summary_index" if "summary" in kind else "content_index": 0}
        if "output_text" in kind:
            more.setdefault("logprobs", [])
        return self._event(kind, item_id=item.item["id"], output_index=item.place, **index, **more)

    def _close_open(self) -> list[Event]:
        item, self._open = self._open, None
        if item is None:
            return []
        part_name, text_name, _ = self._names(item.kind)
        part = self._part(item.kind, item.text)
        if self._annotations:
            part["annotations"], self._annotations = self._annotations, []
        whole = {"refusal" if item.kind == "refusal" else "text": item.text}
        done = [
            self._part_event(item, f"{text_name}.done", **whole),
            self._part_event(item, f"{part_name}.done", part=part),
        ]
        if item.kind == "reasoning":
            row = reasoning_item(self._chat, {**self._thought}, item.item["id"], self._route) or item.item
            self._thought = {}
        else:
            row = {**item.item, "status": "completed", "content": [part]}
        return [*done, self._done(item.place, row)]

    def _done(self, place: int, row: dict[str, Any]) -> Event:
        self._output[place] = row
        return self._event("response.output_item.done", output_index=place, item=row)

    def _call(self, piece: Mapping[str, Any]) -> list[Event]:
        index = as_index(piece.get("index"))
        events: list[Event] = []
        function = as_mapping(piece.get("function"))
        item = self._calls.get(index)
        if item is None:
            events += self._close_open()
            place = self._take_place()
            call = {"id": piece.get("id"), "function": {"name": function.get("name") or "", "arguments": ""}}
            row = call_item(self._chat, call, f"{self._ident}_{place}", "in_progress")
            item = self._calls[index] = _Item(place, row["type"], row, call)
            events.append(self._event("response.output_item.added", output_index=place, item=dict(row)))
        arguments = function.get("arguments")
        if isinstance(arguments, str) and arguments:
            item.parts.append(arguments)
            if item.kind == "function_call":  # a custom tool's input lies inside the arguments: it waits for their end
                kind = "response.function_call_arguments.delta"
                events.append(self._event(kind, item_id=item.item["id"], output_index=item.place, delta=arguments))
        return events

    def _take_place(self) -> int:
        self._next_place += 1
        return self._next_place - 1

    def _now(self) -> dict[str, Any]:
        output = [self._output[place] for place in sorted(self._output)]
        return {**self._shell, "model": self._model or self._shell["model"], "output": output}

    def _event(self, kind: str, **fields: Any) -> Event:
        self._number += 1
        return {"type": kind, "sequence_number": self._number, **fields}
