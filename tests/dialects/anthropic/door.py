"""The Messages door: a body as a chat, and an answer as a message or as its events."""

from __future__ import annotations

import json
from typing import Any

from anthropic.types import Message
from hypothesis import strategies as st

from chomp_mcp.dialects.anthropic.door_request import chat_of
from chomp_mcp.dialects.anthropic.door_stream import MessageEvents
from chomp_mcp.messages import Completion, Delta, Usage

HELLO = [{"role": "user", "content": "hi"}]
USAGE = Usage(10, 5, 4)


def chat(**body: Any) -> dict[str, Any]:
    return chat_of({"messages": HELLO, **body})[0]


TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=12).map("w{}w".format)
"""Without blanks at its ends, which Messages refuses of an assistant."""


def completion(message: dict[str, Any], finish: str | None) -> Completion:
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish}
    return Completion({"id": "c", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice]}, USAGE)


class Accumulated:
    """What a client adds up, checked event by event; `take_<type>` for each that says something."""

    def __init__(self) -> None:
        self.message: dict[str, Any] = {}
        self.arguments: list[str] = []
        self.is_open = False

    def take(self, event: dict[str, Any]) -> None:
        getattr(self, f"take_{event['type']}", lambda _event: None)(event)

    def take_message_start(self, event: dict[str, Any]) -> None:
        assert self.message == {}
        self.message = event["message"]

    def take_content_block_start(self, event: dict[str, Any]) -> None:
        assert not self.is_open
        assert event["index"] == len(self.message["content"])
        self.is_open = True
        self.message["content"].append(event["content_block"])
        self.arguments.append("")

    def take_content_block_delta(self, event: dict[str, Any]) -> None:
        assert self.is_open
        block, delta = self.message["content"][event["index"]], event["delta"]
        self.arguments[event["index"]] += delta.get("partial_json", "")
        for name in {"text", "thinking", "signature"} & set(delta):
            block[name] += delta[name]

    def take_content_block_stop(self, event: dict[str, Any]) -> None:
        assert self.is_open
        self.is_open = False
        if self.message["content"][event["index"]]["type"] == "tool_use":
            self.message["content"][event["index"]]["input"] = json.loads(self.arguments[event["index"]])

    def take_message_delta(self, event: dict[str, Any]) -> None:
        self.message |= event["delta"]
        self.message["usage"] |= event["usage"]


def streamed(deltas: list[Delta]) -> Message:
    made, told = MessageEvents(model="m", usage=Usage(3)), Accumulated()
    text = (b"".join(made.feed([delta]) for delta in deltas) + made.end(USAGE)).decode()
    for line in text.split("\n"):
        if line.startswith("data: "):
            told.take(json.loads(line[6:]))
    assert not told.is_open
    assert text.endswith('data: {"type":"message_stop"}\n\n')
    return Message.model_validate(told.message)
