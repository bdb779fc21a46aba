"""Deltas of chat completions -> the events of a streamed Response, in OpenAI's order and with its sequence numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from chomp_mcp import wire
from chomp_mcp.dialects.responses.door_answer import annotation, call_item, ending, reasoning_item, usage_object
from chomp_mcp.dialects.responses.door_request import REASONING, Chat
from chomp_mcp.dialects.values import as_list, as_mapping
from chomp_mcp.errors import ChompError
from chomp_mcp.messages import Delta, Usage

__all__ = ["ResponseEvents"]

Event = dict[str, Any]


class _Item:
    """An output item that is still growing."""

    def __init__(self, place: int, kind: str, item: dict[str, Any]) -> None:
        self.place = place
        self.kind = kind
        self.item = item
        self.parts: list[str] = []

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
        self._call_ids: dict[int, dict[str, Any]] = {}
        self._thought: dict[str, Any] = {}
        self._annotations: list[Any] = []
        self._route = ""
        self._finish: str | None = None
        self._model = ""

    def start(self, route: str) -> list[Event]:
        """The two events before the first word; `route` is who answers, as `router/model`."""
        self._route = route
        return [
            self._event("response.created", response=self._now()),
            self._event("response.in_progress", response=self._now()),
        ]

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
            events += self._take(delta.choice)
        return events + self._say("output_text", "".join(texts)) if texts else events

    def go_on_after(self, first: bytes, last: bytes) -> None:
        """After a router's own events, of which these are the first and the last: what follows goes on from there."""
        created, latest = (as_mapping(_data(raw)) for raw in (first, last))
        if isinstance(number := latest.get("sequence_number"), int):
            self._number = number
        self._shell |= as_mapping(created.get("response"))
        self._model = str(self._shell.get("model") or "")

    def finish(self, usage: Usage) -> list[Event]:
        """The end of an answer that came whole."""
        events = self._close_all()
        self._shell |= {**ending(self._finish), "usage": usage_object(usage)}
        kind = "response.incomplete" if self._shell["status"] == "incomplete" else "response.completed"
        return [*events, self._event(kind, response=self._now())]

    def fail(self, error: ChompError) -> list[Event]:
        """The end of an answer that broke off; what was said stays said, and is not called complete."""
        self._shell |= {"status": "failed", "error": {"code": error.code or "server_error", "message": str(error)}}
        return [self._event("response.failed", response=self._now())]

    def _take(self, delta: Mapping[str, Any]) -> list[Event]:
        events: list[Event] = []
        for name in REASONING:
            if value := delta.get(name):
                events += self._think(name, value, delta)
        if isinstance(text := delta.get("content"), str) and text:
            events += self._say("output_text", text)
        if isinstance(refusal := delta.get("refusal"), str) and refusal:
            events += self._say("refusal", refusal)
        for note in as_list(delta.get("annotations")):
            events += self._annotate(annotation(note))
        for call in as_list(delta.get("tool_calls")):
            if isinstance(call, Mapping):
                events += self._call(call)
        return events

    def _annotate(self, note: Any) -> list[Event]:
        """They mostly come behind the last word; those of a text that has ended have no place any more."""
        item = self._open
        if item is None or item.kind != "output_text":
            return []
        self._annotations.append(note)
        kind, at = "response.output_text.annotation.added", len(self._annotations) - 1
        where = {"item_id": item.item["id"], "output_index": item.place, "content_index": 0}
        return [self._event(kind, **where, annotation_index=at, annotation=note)]

    def _think(self, name: str, value: Any, delta: Mapping[str, Any]) -> list[Event]:
        """Reasoning text is told once, though some routers give it under two names."""
        if isinstance(value, list):
            self._thought.setdefault(name, []).extend(value)
            return []
        if not isinstance(value, str):
            return []
        self._thought[name] = str(self._thought.get(name, "")) + value
        if name == "reasoning" and delta.get("reasoning_content"):
            return []
        return self._say("reasoning", value)

    def _say(self, kind: str, text: str) -> list[Event]:
        events: list[Event] = []
        if self._open is None or self._open.kind != kind:
            events += self._close_open()
            events += self._begin(kind)
        item = self._open
        if item is None:
            return events
        item.parts.append(text)
        names = self._names(kind)
        return [*events, self._part_event(item, f"{names[1]}.delta", delta=text)]

    def _names(self, kind: str) -> tuple[str, str, str]:
        """(event of a part, event of its text, type of the part)"""
        if kind == "reasoning":
            if self._chat.summarizes:
                return "response.reasoning_summary_part", "response.reasoning_summary_text", "summary_text"
            return "response.content_part", "response.reasoning_text", "reasoning_text"
        return "response.content_part", f"response.{kind}", kind

    def _begin(self, kind: str) -> list[Event]:
        place = self._take_place()
        if kind == "reasoning":
            row: dict[str, Any] = {"id": f"rs_{self._ident}_{place}", "type": "reasoning", "summary": []}
        else:
            row = {
                "id": f"msg_{self._ident}_{place}",
                "type": "message",
                "status": "in_progress",
                "role": "assistant",
                "content": [],
            }
        self._open = _Item(place, kind, row)
        added = self._event("response.output_item.added", output_index=place, item=dict(row))
        return [added, self._part_event(self._open, f"{self._names(kind)[0]}.added", part=self._part(kind, ""))]

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
        index = piece.get("index")
        index = index if isinstance(index, int) else 0
        events: list[Event] = []
        function = as_mapping(piece.get("function"))
        item = self._calls.get(index)
        if item is None:
            events += self._close_open()
            place = self._take_place()
            call = {"id": piece.get("id"), "function": {"name": function.get("name") or "", "arguments": ""}}
            self._call_ids[index] = call
            row = call_item(self._chat, call, f"{self._ident}_{place}", "in_progress")
            item = self._calls[index] = _Item(place, row["type"], row)
            events.append(self._event("response.output_item.added", output_index=place, item=dict(row)))
        arguments = function.get("arguments")
        if isinstance(arguments, str) and arguments:
            item.parts.append(arguments)
            if (
                item.kind == "function_call"
            ):  # a custom tool's input lies inside the arguments: it goes when it is whole
                kind = "response.function_call_arguments.delta"
                events.append(self._event(kind, item_id=item.item["id"], output_index=item.place, delta=arguments))
        return events

    def _close_all(self) -> list[Event]:
        events = self._close_open()
        if self._thought:  # only what no text shows, such as encrypted details
            place = self._take_place()
            if row := reasoning_item(self._chat, self._thought, f"rs_{self._ident}_{place}", self._route):
                events.append(self._event("response.output_item.added", output_index=place, item=row))
                events.append(self._done(place, row))
        for index, item in self._calls.items():
            events += self._close_call(item, self._call_ids[index])
        self._calls.clear()
        return events

    def _close_call(self, item: _Item, call: dict[str, Any]) -> list[Event]:
        call["function"]["arguments"] = item.text or "{}"
        row = {**call_item(self._chat, call, f"{self._ident}_{item.place}"), "call_id": item.item["call_id"]}
        where = {"item_id": row["id"], "output_index": item.place}
        if item.kind == "function_call":
            done = [
                self._event(
                    "response.function_call_arguments.done", **where, name=row["name"], arguments=row["arguments"]
                )
            ]
        else:
            done = [
                self._event("response.custom_tool_call_input.delta", **where, delta=row["input"]),
                self._event("response.custom_tool_call_input.done", **where, input=row["input"]),
            ]
        return [*done, self._done(item.place, row)]

    def _take_place(self) -> int:
        self._next_place += 1
        return self._next_place - 1

    def _now(self) -> dict[str, Any]:
        output = [self._output[place] for place in sorted(self._output)]
        return {**self._shell, "model": self._model or self._shell["model"], "output": output}

    def _event(self, kind: str, **fields: Any) -> Event:
        self._number += 1
        return {"type": kind, "sequence_number": self._number, **fields}


def _data(raw: bytes) -> Any:
    """Of the last of these events."""
    try:
        return wire.loads(raw.rstrip(b"\n").rpartition(b"\n\n")[2].partition(b"data: ")[2])
    except ValueError:
        return None
