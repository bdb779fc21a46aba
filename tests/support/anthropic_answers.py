"""What an Anthropic router answers: a Message, or the events of one."""

from __future__ import annotations

import json
from typing import Any

from tests.support.scripted import Recorded, ScriptedRouter, Wire

__all__ = ["events_of", "message", "script_message"]


def message(*content: Any, stop: str = "end_turn", usage: dict[str, int] | None = None, **more: Any) -> dict[str, Any]:
    """A Message; a text stands for a text block."""
    blocks = [{"type": "text", "text": block} if isinstance(block, str) else block for block in content]
    return {
        "id": "msg_01",
        "type": "message",
        "role": "assistant",
        "model": "claude-opus-5-5",
        "content": blocks,
        "stop_reason": stop,
        "stop_sequence": None,
        "usage": usage or {"input_tokens": 7, "output_tokens": 3},
        **more,
    }


def events_of(told: dict[str, Any]) -> list[dict[str, Any]]:
    """The events that stream this Message, in Anthropic's order."""
    start = {**told, "content": [], "stop_reason": None, "usage": {**told["usage"], "output_tokens": 1}}
    events: list[dict[str, Any]] = [{"type": "message_start", "message": start}, {"type": "ping"}]
    for index, block in enumerate(told["content"]):
        empty, deltas = _pieces(block)
        events.append({"type": "content_block_start", "index": index, "content_block": empty})
        events += [{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas]
        events.append({"type": "content_block_stop", "index": index})
    ending = {"stop_reason": told["stop_reason"], "stop_sequence": told["stop_sequence"]}
    events.append({"type": "message_delta", "delta": ending, "usage": told["usage"]})
    return [*events, {"type": "message_stop"}]


def _pieces(block: dict[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    kind = block["type"]
    if kind == "text":
        half = len(block["text"]) // 2
        texts = [block["text"][:half], block["text"][half:]]
        return {"type": "text", "text": ""}, [{"type": "text_delta", "text": text} for text in texts if text]
    if kind == "thinking":
        return {"type": "thinking", "thinking": "", "signature": ""}, [
            {"type": "thinking_delta", "thinking": block["thinking"]},
            {"type": "signature_delta", "signature": block["signature"]},
        ]
    if kind == "tool_use":
        given = json.dumps(block["input"])
        return {**block, "input": {}}, [
            {"type": "input_json_delta", "partial_json": part} for part in (given[:5], given[5:])
        ]
    return block, []


def wired(events: list[dict[str, Any]]) -> bytes:
    return b"".join(f"event: {each['type']}\ndata: {json.dumps(each)}\n\n".encode() for each in events)


def script_message(upstream: ScriptedRouter, told: dict[str, Any]) -> None:
    """Answer with this Message, streamed where the request asks for it."""

    async def play(request: Recorded, wire: Wire) -> None:
        if not request.wants_stream:
            await wire.whole(200, json.dumps(told).encode())
            return
        await wire.head(200, {"content-type": "text/event-stream"})
        for each in events_of(told):
            await wire.send(wired([each]))
        await wire.end()

    upstream.play(play)
