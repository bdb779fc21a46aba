"""A stream, added up into one completion."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from chomp_mcp.messages import Delta

__all__ = ["Folder"]

_TEXTS = ("content", "reasoning_content", "reasoning", "refusal")


class Folder:
    """Adds up the deltas of choice 0 into a `chat.completion` object."""

    def __init__(self) -> None:
        self._head: dict[str, Any] = {}
        self._texts: dict[str, list[str]] = {}
        self._calls: dict[int, dict[str, Any]] = {}
        self._finish: str | None = None
        self._usage: Any = None

    def add(self, deltas: Iterable[Delta]) -> str:
        """Take these in; returns the text they carried."""
        return "".join(self._add(delta) for delta in deltas)

    def _add(self, delta: Delta) -> str:
        chunk = delta.chunk
        if not self._head:
            self._head = {name: chunk.get(name) for name in ("id", "created", "model")}
        self._usage = chunk.get("usage") or self._usage
        self._finish = delta.finish_reason or self._finish
        choice = delta.choice
        for name in _TEXTS:
            if isinstance(text := choice.get(name), str) and text:
                self._texts.setdefault(name, []).append(text)
        for call in choice.get("tool_calls") or ():
            self._add_call(call)
        return delta.text

    def _add_call(self, piece: Mapping[str, Any]) -> None:
        """Tool calls come in pieces: names and ids once, arguments bit by bit."""
        index = piece.get("index", 0)
        call = self._calls.setdefault(index, {"id": "", "type": "function", "function": {"name": "", "arguments": ""}})
        call["id"] = piece.get("id") or call["id"]
        function = piece.get("function") or {}
        call["function"]["name"] += function.get("name") or ""
        call["function"]["arguments"] += function.get("arguments") or ""

    def body(self) -> dict[str, Any]:
        """The `chat.completion` object so far."""
        message: dict[str, Any] = {"role": "assistant", "content": None}
        message.update({name: "".join(parts) for name, parts in self._texts.items()})
        if self._calls:
            message["tool_calls"] = [self._calls[index] for index in sorted(self._calls)]
        choice = {"index": 0, "message": message, "finish_reason": self._finish or "stop", "logprobs": None}
        body = {**self._head, "object": "chat.completion", "choices": [choice]}
        return {**body, "usage": self._usage} if self._usage else body
