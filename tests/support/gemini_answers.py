"""What a router answers that speaks Gemini: a whole GenerateContentResponse, or the events of one."""

from __future__ import annotations

import json
from typing import Any

from tests.support.scripted import Recorded, ScriptedRouter, Wire

__all__ = ["content", "events_of", "script_content", "wired"]


def content(*parts: Any, finish: str = "STOP", usage: dict[str, int] | None = None, **more: Any) -> dict[str, Any]:
    """A response with one candidate; a text stands for a text part."""
    told = [{"text": part} if isinstance(part, str) else part for part in parts]
    candidate = {"content": {"role": "model", "parts": told}, "finishReason": finish, "index": 0}
    counts = {"promptTokenCount": 7, "candidatesTokenCount": 3, "totalTokenCount": 10}
    return {
        "candidates": [candidate],
        "usageMetadata": usage or counts,
        "modelVersion": "gemini-3.5-flash",
        "responseId": "r-1",
        **more,
    }


def events_of(told: dict[str, Any]) -> list[dict[str, Any]]:
    """The events that stream this response: a part each, the last with why it ended."""
    [candidate] = told["candidates"]
    events = []
    for part in candidate["content"]["parts"]:
        half = len(part["text"]) // 2 if "text" in part else 0
        pieces = [{**part, "text": part["text"][:half]}, {**part, "text": part["text"][half:]}] if half else [part]
        for piece in pieces:
            one = {"content": {"role": "model", "parts": [piece]}, "index": candidate["index"]}
            events.append({**told, "candidates": [one]})
    end = {"content": {"role": "model", "parts": [{"text": ""}]}, "index": candidate["index"]}
    return [*events, {**told, "candidates": [{**end, "finishReason": candidate["finishReason"]}]}]


def wired(told: dict[str, Any]) -> bytes:
    return b"".join(b"data: %b\r\n\r\n" % json.dumps(event).encode() for event in events_of(told))


def script_content(upstream: ScriptedRouter, told: dict[str, Any]) -> None:
    """Answer so from now on, streamed where the path asks for a stream."""

    async def play(request: Recorded, wire: Wire) -> None:
        if ":streamGenerateContent" not in request.target:
            await wire.whole(200, json.dumps(told).encode())
            return
        await wire.head(200, {"content-type": "text/event-stream"})
        await wire.send(wired(told))
        await wire.end()

    upstream.play(play)
