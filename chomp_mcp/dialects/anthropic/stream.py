"""The events of a streamed message -> OpenAI's chunks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from chomp_mcp import wire
from chomp_mcp.dialects.numbers import tokens
from chomp_mcp.dialects.openai.shapes import head, piece, usage_piece
from chomp_mcp.dialects.openai.tool_calls import new_id
from chomp_mcp.dialects.stream.decoder import ObjectDecoder, Whole
from chomp_mcp.dialects.stream.framing import Events
from chomp_mcp.dialects.values import as_mapping
from chomp_mcp.messages import Delta, ErrorObject, Usage

__all__ = ["FINISH", "THINKING", "MessageDecoder", "usage_of"]

FINISH: Mapping[str, str] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}


THINKING = ("thinking", "redacted_thinking")


def usage_of(usage: Any, before: Usage | None) -> Usage | None:
    """Messages counts cached input apart; the counts of later events are totals, and win field by field."""
    if not isinstance(usage, dict):
        return before
    counts = [tokens(usage.get(name)) for name in _COUNTS]
    if any(count is None and usage.get(name) is not None for name, count in zip(_COUNTS, counts, strict=True)):
        return before  # what nobody can have counted counts for nothing
    asked, answered, read, written = counts
    known = before or Usage()
    hour = tokens(as_mapping(usage.get("cache_creation")).get("ephemeral_1h_input_tokens"))
    tier = usage.get("service_tier")
    return Usage(
        known.input_tokens if asked is None else asked + (read or 0) + (written or 0),
        known.output_tokens if answered is None else answered,
        known.cached_tokens if read is None else read,
        cache_write_tokens=known.cache_write_tokens if written is None else written,
        cache_write_hour_tokens=known.cache_write_hour_tokens if hour is None else hour,
        service_tier=tier if isinstance(tier, str) else known.service_tier,
    )


_COUNTS = ("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")


class MessageDecoder(ObjectDecoder):
    """`message_start`, content blocks, `message_delta`, `message_stop`; pings and what is new are passed over."""

    __slots__ = ("_begun", "_calls", "_signed", "_thoughts", "_top", "_unsaid")

    def __init__(self, decode: Whole) -> None:
        super().__init__(Events(), decode)
        self._top = head("", "")
        self._begun = False
        self._calls: dict[int, int] = {}
        """Index of a tool_use block -> index of the call."""
        self._thoughts: dict[int, dict[str, Any]] = {}
        """Index of a block of thinking -> the block so far, which must go back as it was."""
        self._signed = 0
        self._unsaid: dict[int, str] = {}
        """Arguments that a tool_use block brought whole, until a piece of them is streamed."""

    def close(self) -> list[Delta]:
        """As in every decoder; the usage of a stream that lacks its `message_stop` is told here."""
        deltas = super().close()
        return deltas if self.done or not self.finished else [*deltas, *self._stop({})]

    def _take(self, value: Mapping[str, Any]) -> Iterable[Delta]:
        take = _EVENTS.get(str(value.get("type")))
        return take(self, value) if take else ()

    def _start(self, event: Mapping[str, Any]) -> Iterable[Delta]:
        if self._begun:
            self._fail("The router began a second answer in the middle of the first.")
            return ()
        self._begun = True
        message = as_mapping(event.get("message"))
        self._top = head(str(message.get("id", "")), str(message.get("model", "")))
        self.usage = usage_of(message.get("usage"), self.usage)
        return (piece(self._top, {"role": "assistant", "content": ""}),)

    def _block_start(self, event: Mapping[str, Any]) -> Iterable[Delta]:
        block, index = as_mapping(event.get("content_block")), _index(event)
        if block.get("type") in THINKING:
            self._thoughts[index] = dict(block)
        if block.get("type") != "tool_use":
            return self._text_piece(block)
        self._calls[index] = len(self._calls)
        self._unsaid[index] = wire.dumps(block.get("input") or {}).decode()
        function = {"name": block.get("name"), "arguments": ""}
        call = {
            "index": self._calls[index],
            "id": block.get("id") or new_id(),
            "type": "function",
            "function": function,
        }
        return (piece(self._top, {"tool_calls": [call]}),)

    def _block_delta(self, event: Mapping[str, Any]) -> Iterable[Delta]:
        delta, index = as_mapping(event.get("delta")), _index(event)
        if delta.get("type") != "input_json_delta":
            thought = self._thoughts.get(index)
            # A block of thinking is kept whole: what was thought comes in pieces, its signature mostly in one.
            for name in ("thinking", "signature"):
                if thought is not None and isinstance(more := delta.get(name), str):
                    thought[name] = f"{thought.get(name) or ''}{more}"
            return self._text_piece(delta)
        arguments = delta.get("partial_json")
        return self._argue(index, arguments) if arguments and index in self._calls else ()

    def _block_stop(self, event: Mapping[str, Any]) -> Iterable[Delta]:
        index = _index(event)
        if thought := self._thoughts.pop(index, None):
            block = {"index": self._signed, **thought}
            self._signed += 1
            return (piece(self._top, {"thinking_blocks": [block]}),)
        return self._argue(index, self._unsaid[index]) if index in self._unsaid else ()

    def _argue(self, index: int, arguments: str) -> Iterable[Delta]:
        self._unsaid.pop(index, None)
        call = {"index": self._calls[index], "function": {"arguments": arguments}}
        return (piece(self._top, {"tool_calls": [call]}),)

    def _text_piece(self, part: Mapping[str, Any]) -> Iterable[Delta]:
        """The text or the thinking of a block's start or of a delta."""
        names = (("content", "text"), ("reasoning_content", "thinking"))
        delta = {ours: part[theirs] for ours, theirs in names if part.get(theirs)}
        return (piece(self._top, delta),) if delta else ()

    def _finish(self, event: Mapping[str, Any]) -> Iterable[Delta]:
        self.usage = usage_of(event.get("usage"), self.usage)
        reason = as_mapping(event.get("delta")).get("stop_reason")
        if not reason:
            return ()
        self.finished = self.is_mute = True  # Claude may end its turn without a word, mostly after a tool's result
        return (piece(self._top, {}, FINISH.get(str(reason), "stop")),)

    def _stop(self, event: Mapping[str, Any]) -> Iterable[Delta]:  # noqa: ARG002 - the table's signature
        self.finished = self.done = True
        return (usage_piece(self._top, self.usage),) if self.usage else ()

    def _error(self, event: Mapping[str, Any]) -> Iterable[Delta]:
        self.error = ErrorObject(event.get("error"))
        return ()


_EVENTS: Mapping[str, Callable[[MessageDecoder, Mapping[str, Any]], Iterable[Delta]]] = {
    "message_start": MessageDecoder._start,  # noqa: SLF001 - the table of this class
    "content_block_start": MessageDecoder._block_start,  # noqa: SLF001
    "content_block_delta": MessageDecoder._block_delta,  # noqa: SLF001
    "content_block_stop": MessageDecoder._block_stop,  # noqa: SLF001
    "message_delta": MessageDecoder._finish,  # noqa: SLF001
    "message_stop": MessageDecoder._stop,  # noqa: SLF001
    "error": MessageDecoder._error,  # noqa: SLF001
}


def _index(event: Mapping[str, Any]) -> int:
    index = event.get("index")
    return index if isinstance(index, int) else 0
