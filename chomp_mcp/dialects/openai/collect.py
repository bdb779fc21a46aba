"""A stream, added up into one completion."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from chomp_mcp.dialects.openai.shapes import INDEXED
from chomp_mcp.dialects.openai.tool_calls import MOST_OPEN, CallStream, mend_message
from chomp_mcp.dialects.values import as_index, as_list, as_objects
from chomp_mcp.messages import Completion, Delta, text_of

_TEXTS = frozenset({
    "content", "reasoning_content", "reasoning", "refusal", "arguments", "input", "text", "summary", "data",
    "transcript",
})  # fmt: skip
"""What comes bit by bit, and is one text in the end; every other text is told once."""


class Folder:
    """Adds up the deltas of all choices into a `chat.completion` object."""

    def __init__(self) -> None:
        self._head: dict[str, Any] = {}
        self._plain: list[str] = []
        """Texts of choice 0 that are not in its sum yet."""
        self._choices: dict[int, dict[str, Any]] = {}
        self._calls = CallStream()
        self._usage: Any = None
        self._returned: list[str] = []

    def add(self, deltas: Iterable[Delta]) -> str:
        """Take these in; returns the text they carried (choice 0)."""
        texts = []
        for delta in deltas:
            # Such a frame was never parsed: its text is all that it says, and parsing it for more would cost the
            # stream.
            if self._head and (text := delta.plain):
                self._plain.append(text)
                texts.append(text)
                continue
            chunk = delta.chunk
            if not self._head:
                self._head = {name: chunk.get(name) for name in ("id", "created", "model")}
            self._usage = chunk.get("usage") or self._usage
            for choice in delta.choices:
                self._add_choice(choice)
            texts.append(delta.text)
        self._returned.append(whole := "".join(texts))
        return whole

    def rest(self) -> str:
        """At the end: what the answer says beyond the text that `add` returned, tool calls as JSON."""
        whole, returned = Completion(self.body()).text, "".join(self._returned)
        return whole.removeprefix(returned) if whole.startswith(returned) else ""

    def body(self) -> dict[str, Any]:
        """The `chat.completion` object so far."""
        choices = [self._choice(index) for index in sorted(self._choices)] or [self._choice(0)]
        body = {**self._head, "object": "chat.completion", "choices": choices}
        return {**body, "usage": self._usage} if self._usage else body

    def _add_choice(self, choice: Mapping[str, Any]) -> None:
        index = as_index(choice.get("index"))
        so_far = self._choices.setdefault(index, {"message": {}})
        self._take_plain()
        for name, value in choice.items():
            if name == "delta" and isinstance(value, Mapping):
                delta = dict(value)
                self._calls.mend(index, delta)
                if isinstance(parts := delta.get("content"), list):
                    # Mistral's parts become the texts, and the pictures, that other routers send.
                    delta["content"] = text_of(parts)
                    if pictures := [part for part in as_objects(parts) if part.get("image_url")]:
                        delta["images"] = [*as_list(delta.get("images")), *pictures]
                    if thought := "".join(text_of(part.get("thinking")) for part in as_objects(parts)):
                        delta["reasoning_content"] = thought
                _merge(so_far["message"], delta)
            elif name == "logprobs" and isinstance(value, Mapping):
                _merge(so_far.setdefault("logprobs", {}), value)
            elif name not in {"index", "delta"} and value is not None:
                so_far[name] = value

    def _take_plain(self) -> None:
        if self._plain:
            text = "".join(self._plain)
            self._plain.clear()
            _merge(self._choices.setdefault(0, {"message": {}})["message"], {"content": text})

    def _choice(self, index: int) -> dict[str, Any]:
        self._take_plain()
        so_far = self._choices.get(index, {"message": {}})
        more = {name: value for name, value in so_far.items() if name != "message"}
        # The message with its texts joined, and without the indices that only pieces have.
        whole = {name: _joined(value) for name, value in so_far["message"].items()}
        for name in INDEXED & whole.keys():
            entries = [entry for entry in as_list(whole[name]) if isinstance(entry, dict)]
            whole[name] = [{k: v for k, v in entry.items() if k != "index"} for entry in entries]
        mend_message(whole)
        message = {"role": "assistant", "content": None, **whole}
        return {"index": index, "message": message, "finish_reason": "stop", "logprobs": None, **more}


_DEPTH = 6
"""What a router nests deeper is taken as it is."""


class _Text(list[str]):
    """A text so far, bit by bit."""


def _merge(so_far: dict[str, Any], piece: Mapping[str, Any], depth: int = _DEPTH) -> None:
    """Texts are joined, lists are put together entry by entry, anything else is told once."""
    for name, value in piece.items():
        known = so_far.get(name)
        if name in _TEXTS and isinstance(value, str) and value:
            if not isinstance(known, _Text):
                known = so_far[name] = _Text()
            known.append(value)
        elif isinstance(value, Mapping) and depth:
            if not isinstance(known, dict):
                known = so_far[name] = {}
            _merge(known, value, depth - 1)
        elif isinstance(value, list) and depth:
            if not isinstance(known, list) or isinstance(known, _Text):
                known = so_far[name] = []
            _merge_list(known, value, depth - 1)
        elif value not in (None, "") and not isinstance(known, _Text):
            so_far[name] = value


def _merge_list(so_far: list[Any], pieces: list[Any], depth: int) -> None:
    """Entries with an index go on where the entry of that index (and kind) is; all others are entries of their own."""
    for piece in pieces:
        if not isinstance(piece, Mapping):
            so_far.append(piece)
            continue
        known = None
        if isinstance(piece.get("index"), int):
            # Not all: a router that numbers a million entries would have each compared with all before it.
            for entry in so_far[-MOST_OPEN:]:
                if isinstance(entry, dict) and entry.get("index") == piece["index"]:
                    kinds = {kind for kind in (entry.get("type"), piece.get("type")) if isinstance(kind, str)}
                    if len(kinds) < 2:  # noqa: PLR2004 - of two kinds they are two entries
                        known = entry
                        break
        if known is None:
            known = {}
            so_far.append(known)
        _merge(known, piece, depth)


def _joined(value: Any, depth: int = _DEPTH + 2) -> Any:
    if isinstance(value, _Text):
        return "".join(value)
    if not depth:
        return value
    if isinstance(value, dict):
        return {name: _joined(item, depth - 1) for name, item in value.items()}
    return [_joined(item, depth - 1) for item in value] if isinstance(value, list) else value
