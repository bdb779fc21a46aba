"""Deltas of chat completions -> the events of a streamed Message, for the Messages door.

The order is Anthropic's: `message_start`, block after block (start, deltas, stop), `message_delta`, `message_stop`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from chomp_mcp import wire
from chomp_mcp.dialects.anthropic.door_answer import message_id, reasoning_in, stop_reason, usage_object
from chomp_mcp.dialects.anthropic.signatures import sign
from chomp_mcp.dialects.values import as_list, as_mapping, as_objects
from chomp_mcp.messages import Delta, Usage

PING = b'event: ping\ndata: {"type":"ping"}\n\n'

_TEXT_DELTA = (
    b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,'
    b'"delta":{"type":"text_delta","text":%b}}\n\n'
)


def event(value: Mapping[str, Any]) -> bytes:
    """A server-sent event, named by its `type`."""
    return b"event: %b\ndata: %b\n\n" % (str(value["type"]).encode(), wire.dumps(value))


class MessageEvents:
    """One stream; `model` is what the answer's model is called where the router did not say."""

    def __init__(self, *, model: str, usage: Usage) -> None:
        self._model = model
        self._usage = usage
        self._index = -1
        """Of the open block, or of the last one."""
        self._open = ""
        """The kind of the open block: text, thinking, tool, or none."""
        self._call: Any = None
        """The index of the call that the open tool block is."""
        self._arguments: list[str] = []
        """What the open tool block has of its arguments."""
        self._waiting: list[tuple[str, Any]] = []
        """What came in between the pieces of one call: blocks follow each other here."""
        self._details: list[Any] = []
        self._has_started = False
        self._has_calls = False
        self._finish: str | None = None
        self._sequence: str | None = None

    def feed(self, deltas: Iterable[Delta]) -> bytes:
        """The events for these deltas; neighbouring pieces of text become one."""
        out: list[bytes] = []
        texts: list[str] = []
        for delta in deltas:
            if delta.plain and self._has_started:
                texts.append(delta.plain)
                continue
            self._say(texts, out)
            self._start(delta.chunk, out)
            added = delta.choice
            if thought := reasoning_in(added):
                self._piece("thinking", thought, out)
            self._details += as_list(added.get("reasoning_details"))
            if text := delta.text or added.get("refusal"):
                self._piece("text", str(text), out)
            for call in as_objects(added.get("tool_calls")):
                self._piece("tool", call, out)
            self._finish = delta.finish_reason or self._finish
            for choice in delta.choices[:1]:
                if isinstance(ended_by := choice.get("stop_reason"), str):  # vLLM and its like
                    self._sequence = ended_by
        self._say(texts, out)
        return b"".join(out)

    def end(self, usage: Usage) -> bytes:
        """The last events, with the final counts."""
        out: list[bytes] = []
        self._start({}, out)
        waiting, self._waiting = self._waiting, []
        for kind, piece in _by_call(waiting):
            if not self._goes_on(kind, piece):
                self._stop(out)
            self._piece(kind, piece, out)
        self._stop(out)
        reason, sequence = stop_reason(self._finish, self._sequence, has_calls=self._has_calls)
        delta = {"stop_reason": reason, "stop_sequence": sequence}
        out.append(event({"type": "message_delta", "delta": delta, "usage": usage_object(usage)}))
        out.append(event({"type": "message_stop"}))
        return b"".join(out)

    def _say(self, texts: list[str], out: list[bytes]) -> None:
        if texts:
            self._piece("text", "".join(texts), out)
            texts.clear()

    def _start(self, chunk: Mapping[str, Any], out: list[bytes]) -> None:
        if self._has_started:
            return
        self._has_started = True
        message: dict[str, Any] = {
            "id": message_id(chunk.get("id")),
            "type": "message",
            "role": "assistant",
            "model": str(chunk.get("model") or self._model),
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": usage_object(self._usage),
        }
        out += (event({"type": "message_start", "message": message}), PING)

    def _piece(self, kind: str, piece: Any, out: list[bytes]) -> None:
        """One piece of text, of thinking, or of a call; what would part the pieces of a call waits for its end."""
        is_same = self._goes_on(kind, piece)
        if self._open == "tool" and not is_same and (self._waiting or not self._is_complete()):
            self._waiting.append((kind, piece))
            return
        if not is_same:
            self._stop(out)
            self._index += 1
            self._open = kind
            block: dict[str, Any] = {"type": "text", "text": ""}
            if kind == "thinking":
                block = {"type": "thinking", "thinking": "", "signature": ""}
            elif kind == "tool":
                self._has_calls, self._call, self._arguments = True, piece.get("index"), []
                name = as_mapping(piece.get("function")).get("name")
                given = str(piece.get("id") or f"toolu_{self._index}")
                block = {"type": "tool_use", "id": given, "name": str(name or ""), "input": {}}
            out.append(event({"type": "content_block_start", "index": self._index, "content_block": block}))
        if kind == "text":
            out.append(_TEXT_DELTA % (self._index, wire.dumps(piece)))
        elif kind == "thinking":
            self._delta({"type": "thinking_delta", "thinking": piece}, out)
        elif arguments := as_mapping(piece.get("function")).get("arguments"):
            written = arguments if isinstance(arguments, str) else wire.dumps(arguments).decode()
            self._arguments.append(written)
            self._delta({"type": "input_json_delta", "partial_json": written}, out)
        if self._waiting and self._is_complete():
            waiting, self._waiting = self._waiting, []
            for each in _by_call(waiting):
                self._piece(*each, out)

    def _goes_on(self, kind: str, piece: Any) -> bool:
        """The piece belongs to the open block."""
        return kind == self._open and (kind != "tool" or piece.get("index") == self._call)

    def _is_complete(self) -> bool:
        """The open call's arguments are whole."""
        try:
            return isinstance(wire.loads("".join(self._arguments) or "null"), dict)
        except ValueError:
            return False

    def _delta(self, delta: Mapping[str, Any], out: list[bytes]) -> None:
        out.append(event({"type": "content_block_delta", "index": self._index, "delta": delta}))

    def _stop(self, out: list[bytes]) -> None:
        if not self._open:
            return
        if self._open == "thinking":
            self._delta({"type": "signature_delta", "signature": sign(self._details)}, out)
            self._details = []
        elif self._open == "tool" and not self._arguments:
            self._delta({"type": "input_json_delta", "partial_json": "{}"}, out)
        out.append(event({"type": "content_block_stop", "index": self._index}))
        self._open = ""


def _by_call(waiting: list[tuple[str, Any]]) -> list[tuple[str, Any]]:
    """The pieces of each call together, in the order in which the calls began."""
    order: dict[Any, int] = {}
    for kind, piece in waiting:
        order.setdefault(piece.get("index") if kind == "tool" else kind, len(order))
    return sorted(waiting, key=lambda each: order[each[1].get("index") if each[0] == "tool" else each[0]])
