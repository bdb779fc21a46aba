"""What a router answers that speaks Responses: a whole Response, or the events of one."""

from __future__ import annotations

import json
from typing import Any

from tests.support.scripted import Recorded, ScriptedRouter, Wire

__all__ = ["events_of", "response", "said", "script_response", "thought", "wired"]


def said(text: str, ident: str = "msg_1") -> dict[str, Any]:
    """A message item."""
    part = {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
    return {"id": ident, "type": "message", "status": "completed", "role": "assistant", "content": [part]}


def thought(*summaries: str, sealed: str | None = "c2VhbGVk", ident: str = "rs_1") -> dict[str, Any]:
    """A reasoning item."""
    parts = [{"type": "summary_text", "text": text} for text in summaries]
    return {"id": ident, "type": "reasoning", "summary": parts, **({"encrypted_content": sealed} if sealed else {})}


def response(*output: Any, usage: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """A Response; a text stands for a message item."""
    counts = {
        "input_tokens": 7,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": 3,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 10,
    }
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 1,
        "status": "completed",
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "metadata": {},
        "model": "gpt-5.5-2026-04-23",
        "output": [said(item) if isinstance(item, str) else item for item in output],
        "parallel_tool_calls": True,
        "temperature": 1,
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1,
        "usage": usage or counts,
        **more,
    }


def events_of(told: dict[str, Any]) -> list[dict[str, Any]]:
    """The events that stream this Response, in OpenAI's order."""
    start = {**told, "status": "in_progress", "output": [], "usage": None, "incomplete_details": None}
    events: list[dict[str, Any]] = [
        {"type": f"response.{word}", "response": start} for word in ("created", "in_progress")
    ]
    for place, item in enumerate(told["output"]):
        where = {"item_id": item.get("id"), "output_index": place}
        events.append({"type": "response.output_item.added", "output_index": place, "item": _empty(item)})
        events += [{**event, **where} for event in _pieces(item)]
        events.append({"type": "response.output_item.done", "output_index": place, "item": item})
    end = "incomplete" if told["status"] == "incomplete" else "completed"
    events.append({"type": f"response.{end}", "response": told})
    return [{**event, "sequence_number": number} for number, event in enumerate(events)]


_GROWS = ("content", "arguments", "input", "summary", "encrypted_content")


def _empty(item: dict[str, Any]) -> dict[str, Any]:
    blank = {name: type(item[name])() for name in _GROWS if name in item}
    return {**item, **blank, **({"status": "in_progress"} if "status" in item else {})}


def _halves(text: str) -> list[str]:
    half = len(text) // 2
    return [part for part in (text[:half], text[half:]) if part]


def _pieces(item: dict[str, Any]) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = []
    for name, kind in (("arguments", "function_call_arguments"), ("input", "custom_tool_call_input")):
        if name in item:
            events += [{"type": f"response.{kind}.delta", "delta": part} for part in _halves(item[name])]
            events.append({"type": f"response.{kind}.done", name: item[name], "name": item["name"]})
    for index, part in enumerate(item.get("summary", ())):
        at, empty = {"summary_index": index}, {**part, "text": ""}
        events.append({"type": "response.reasoning_summary_part.added", **at, "part": empty})
        events += [
            {"type": "response.reasoning_summary_text.delta", **at, "delta": text} for text in _halves(part["text"])
        ]
        events.append({"type": "response.reasoning_summary_text.done", **at, "text": part["text"]})
        events.append({"type": "response.reasoning_summary_part.done", **at, "part": part})
    for index, part in enumerate(item.get("content", ())):
        at, kind = {"content_index": index}, part["type"]
        field = "refusal" if kind == "refusal" else "text"
        more = {"logprobs": []} if kind == "output_text" else {}
        events.append({"type": "response.content_part.added", **at, "part": {**part, field: ""}})
        events += [{"type": f"response.{kind}.delta", **at, "delta": text, **more} for text in _halves(part[field])]
        events.append({"type": f"response.{kind}.done", **at, field: part[field], **more})
        events.append({"type": "response.content_part.done", **at, "part": part})
    return events


def wired(events: list[dict[str, Any]]) -> bytes:
    return b"".join(f"event: {each['type']}\ndata: {json.dumps(each)}\n\n".encode() for each in events)


def script_response(upstream: ScriptedRouter, told: dict[str, Any]) -> None:
    """Answer with this Response, streamed where the request asks for it."""

    async def play(request: Recorded, wire: Wire) -> None:
        if not request.wants_stream:
            await wire.whole(200, json.dumps(told).encode())
            return
        await wire.head(200, {"content-type": "text/event-stream"})
        for each in events_of(told):
            await wire.send(wired([each]))
        await wire.end()

    upstream.play(play)
