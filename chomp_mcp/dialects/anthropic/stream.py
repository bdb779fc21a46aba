"""The events of a streamed message -> OpenAI's chunks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from chomp_mcp import wire
from chomp_mcp.dialects.numbers import tokens
from chomp_mcp.dialects.openai.shapes import head, piece, usage_piece
from chomp_mcp.dialects.openai.tool_calls import new_id
from chomp_mcp.dialects.stream.decoder import ObjectDecoder, Whole
from chomp_mcp.dialects.stream.framing import Events
from chomp_mcp.dialects.values import as_index, as_mapping
from chomp_mcp.messages import Delta, ErrorObject, Usage

FINISH: Mapping[str, str] = {
    **dict.fromkeys(("end_turn", "stop_sequence", "pause_turn"), "stop"),
    **dict.fromkeys(("max_tokens", "model_context_window_exceeded"), "length"),
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
        return deltas if self.done or not self.finished else [*deltas, *self._stop()]

    def _take(self, event: Mapping[str, Any]) -> Iterable[Delta]:
        index = as_index(event.get("index"))
        said: Mapping[str, Any] = {}
        match event.get("type"):
            case "content_block_delta":  # nearly all of them
                part = as_mapping(event.get("delta"))
                if part.get("type") == "input_json_delta":
                    if (arguments := part.get("partial_json")) and index in self._calls:
                        said = self._argue(index, arguments)
                else:
                    said = _words(part)
                    # A block of thinking is kept whole: what was thought comes in pieces, its signature mostly in one.
                    if thought := self._thoughts.get(index):
                        for name in ("thinking", "signature"):
                            if isinstance(more := part.get(name), str):
                                thought[name] = f"{thought.get(name) or ''}{more}"
            case "content_block_start":
                block = as_mapping(event.get("content_block"))
                if block.get("type") == "tool_use":
                    at = self._calls[index] = len(self._calls)
                    self._unsaid[index] = wire.dumps(block.get("input") or {}).decode()
                    function = {"name": block.get("name"), "arguments": ""}
                    named = {"index": at, "id": block.get("id") or new_id(), "type": "function", "function": function}
                    said = {"tool_calls": [named]}
                else:
                    said = _words(block)
                    if block.get("type") in THINKING:
                        self._thoughts[index] = dict(block)
            case "content_block_stop":
                if thought := self._thoughts.pop(index, None):
                    said = {"thinking_blocks": [{"index": self._signed, **thought}]}
                    self._signed += 1
                elif index in self._unsaid:
                    said = self._argue(index, self._unsaid[index])
            case kind:
                return self._turn(kind, event)
        return (piece(self._top, said),) if said else ()

    def _turn(self, kind: Any, event: Mapping[str, Any]) -> Iterable[Delta]:
        """Where the message itself begins or ends."""
        match kind:
            case "message_start" if self._begun:
                self._fail("The router began a second answer in the middle of the first.")
            case "message_start":
                self._begun = True
                message = as_mapping(event.get("message"))
                self._top = head(str(message.get("id", "")), str(message.get("model", "")))
                self.usage = usage_of(message.get("usage"), self.usage)
                return (piece(self._top, {"role": "assistant", "content": ""}),)
            case "message_delta":
                self.usage = usage_of(event.get("usage"), self.usage)
                if reason := as_mapping(event.get("delta")).get("stop_reason"):
                    # Mute: Claude may end its turn without a word, mostly after a tool's result.
                    self.finished = self.is_mute = True
                    return (piece(self._top, {}, FINISH.get(str(reason), "stop")),)
            case "message_stop":
                return self._stop()
            case "error":
                self.error = ErrorObject(event.get("error"))
        return ()

    def _argue(self, index: int, arguments: str) -> Mapping[str, Any]:
        self._unsaid.pop(index, None)
        return {"tool_calls": [{"index": self._calls[index], "function": {"arguments": arguments}}]}

    def _stop(self) -> Iterable[Delta]:
        self.finished = self.done = True
        return (usage_piece(self._top, self.usage),) if self.usage else ()


def _words(part: Mapping[str, Any]) -> Mapping[str, Any]:
    """The text or the thinking of a block's start or of a delta."""
    names = (("content", "text"), ("reasoning_content", "thinking"))
    return {ours: part[theirs] for ours, theirs in names if part.get(theirs)}
