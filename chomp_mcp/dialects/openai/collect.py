"""A stream, added up into one completion."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from chomp_mcp import wire
from chomp_mcp.messages import Delta

__all__ = ["Folder"]

_TEXTS = frozenset({"content", "reasoning_content", "reasoning", "refusal"})


@dataclass(slots=True)
class _Call:
    """A tool call so far."""

    id: str = ""
    name: str = ""
    arguments: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        function = {"name": self.name, "arguments": "".join(self.arguments)}
        return {"id": self.id, "type": "function", "function": function}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _arguments(value: Any) -> str:
    """Some routers send the object itself, whole, where OpenAI sends its JSON bit by bit."""
    if not isinstance(value, Mapping):
        return _text(value)
    try:
        return wire.dumps(value).decode()
    except ValueError:  # nested too deeply for a tool to take
        return ""


class Folder:
    """Adds up the deltas of choice 0 into a `chat.completion` object."""

    def __init__(self) -> None:
        self._head: dict[str, Any] = {}
        self._texts: defaultdict[str, list[str]] = defaultdict(list)
        self._calls: dict[int, _Call] = {}
        self._finish: str | None = None
        self._usage: Any = None

    def add(self, deltas: Iterable[Delta]) -> str:
        """Take these in; returns the text they carried."""
        return "".join([self._add(delta) for delta in deltas])

    def _add(self, delta: Delta) -> str:
        if self._head and (text := delta.plain):
            self._texts["content"].append(text)
            return text
        chunk = delta.chunk
        if not self._head:
            self._head = {name: chunk.get(name) for name in ("id", "created", "model")}
        self._usage = chunk.get("usage") or self._usage
        self._finish = delta.finish_reason or self._finish
        for name, value in delta.choice.items():
            if name in _TEXTS and value and isinstance(value, str):
                self._texts[name].append(value)
            elif name == "tool_calls" and isinstance(value, list):
                self._add_calls(value)
        return delta.text

    def _add_calls(self, pieces: list[Any]) -> None:
        for piece in pieces:
            if isinstance(piece, Mapping):
                self._add_call(piece)

    def _add_call(self, piece: Mapping[str, Any]) -> None:
        """Tool calls come in pieces: names and ids once, arguments bit by bit. What is no text there is left out."""
        index, function = piece.get("index"), piece.get("function")
        call = self._calls.setdefault(index if isinstance(index, int) else 0, _Call())
        call.id = _text(piece.get("id")) or call.id
        if isinstance(function, Mapping):
            call.name += _text(function.get("name"))
            call.arguments.append(_arguments(function.get("arguments")))

    def body(self) -> dict[str, Any]:
        """The `chat.completion` object so far."""
        message: dict[str, Any] = {"role": "assistant", "content": None}
        message.update({name: "".join(parts) for name, parts in self._texts.items()})
        if self._calls:
            message["tool_calls"] = [self._calls[index].as_dict() for index in sorted(self._calls)]
        choice = {"index": 0, "message": message, "finish_reason": self._finish or "stop", "logprobs": None}
        body = {**self._head, "object": "chat.completion", "choices": [choice]}
        return {**body, "usage": self._usage} if self._usage else body
