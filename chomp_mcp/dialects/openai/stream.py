"""An OpenAI stream, frame by frame: relayed in the router's own bytes, mended only where a client would stumble."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from chomp_mcp.dialects.openai.alike import Alike
from chomp_mcp.dialects.openai.answer import decode, error_in, share_reasoning
from chomp_mcp.dialects.openai.shapes import as_delta
from chomp_mcp.dialects.openai.text import loads, read
from chomp_mcp.dialects.openai.tool_calls import CallStream
from chomp_mcp.dialects.openai.usage import read_cost, read_usage
from chomp_mcp.dialects.stream.decoder import FrameDecoder, Whole
from chomp_mcp.dialects.stream.framing import Events, Frames
from chomp_mcp.dialects.values import as_list
from chomp_mcp.messages import MUTE_ENDS, Delta, ErrorObject


class StreamDecoder(FrameDecoder):
    """`text/event-stream` of `chat.completion.chunk` objects.

    The router's usage comes out as OpenAI tells it: in one chunk of its own, the last one, whatever chunk it came in.
    """

    __slots__ = ("_alike", "_begun", "_calls", "_ended", "_last")

    def __init__(self, frames: Frames | None = None, whole: Whole = decode) -> None:
        super().__init__(frames or Events(), whole)
        self._alike = Alike()
        self._calls = CallStream()
        self._begun: set[int] = set()
        self._ended: set[int] = set()
        """The choices that have told their finish reason."""
        self._last: Delta | None = None

    def close(self) -> list[Delta]:
        deltas = super().close()
        return deltas if self._last is None or self.error else [*deltas, self._last]

    def feed(self, chunk: bytes) -> list[Delta]:
        """As every decoder; nearly all frames are like one before, and take the short way."""
        deltas: list[Delta] = []
        if self.error is not None:
            return deltas
        text_in = self._alike.text_in
        for name, data in self._frames.feed(chunk):
            if not (name or self.done or self._halves.held) and (text := text_in(data)):
                deltas.append(Delta(data, text))
                continue
            deltas += self._frame(name, data)
            if self.error is not None:
                return deltas
        self._mind_overflow()
        return deltas

    def _frame(self, name: bytes, data: bytes) -> Iterable[Delta]:
        """One event. Nothing goes on that is not JSON, be it parsed or known to be like a frame that was."""
        try:
            chunk, is_exact = read(data) if b"{" in data else (None, False)  # an error costs more than all else here
        except ValueError:
            chunk, is_exact = None, False
        if not isinstance(chunk, dict) or name == b"error":
            self._odd(name, data)
            return ()
        self._seen = True
        may_be_cut = self._halves.may_be_in(data)
        if is_exact and not self.done and _is_plain(chunk) and not may_be_cut:
            self._begin(chunk["choices"])
            self._alike.learn(data, chunk)
            return (Delta(data=data, chunk=chunk),)
        groq = chunk.get("x_groq")
        usage = chunk.get("usage") or (groq.get("usage") if isinstance(groq, dict) else None)
        self.usage = read_usage(usage, chunk.get("service_tier")) or self.usage
        cost = read_cost(chunk)
        self.cost_usd = self.cost_usd if cost is None else cost
        if self.done:
            return ()
        self.error = error_in(chunk)
        return () if self.error else self._mended(chunk, data, is_exact=is_exact, may_be_cut=may_be_cut)

    def _begin(self, choices: list[dict[str, Any]]) -> None:
        for choice in choices:
            self._begun.add(_index(choice))

    def _odd(self, name: bytes, data: bytes) -> None:
        """The end mark, an `event: error`, or garbage."""
        text = data.strip()
        self._seen = self._seen or bool(text)
        if name == b"error":
            try:
                value = loads(text)
            except ValueError:
                value = text.decode("utf-8", "replace")
            self.error = ErrorObject(value.get("error", value) if isinstance(value, dict) else value)
        elif text == b"[DONE]":  # the end of all choices, also where none tells its own
            self.done = True
            self.finished = not self._ended or self._ended >= self._begun
        elif text and not self.done:
            self._garbage()

    def _mended(self, chunk: dict[str, Any], data: bytes, *, is_exact: bool, may_be_cut: bool) -> Iterable[Delta]:
        """The chunk as OpenAI would have sent it, in the router's own bytes where nothing had to change."""
        choices = [choice for choice in as_list(chunk.get("choices")) if isinstance(choice, dict)]
        changed = not is_exact
        for choice in choices:
            delta, index = choice.get("delta"), _index(choice)
            if not isinstance(delta, dict):  # some end with the whole message instead
                delta, changed = as_delta(choice), True
                choice["delta"] = delta
                choice.pop("message", None)
            changed = share_reasoning(delta) or changed
            if "tool_calls" in delta or "function_call" in delta:
                changed = self._calls.mend(index, delta) or changed
            is_end = bool(choice.get("finish_reason"))
            if is_end and (pieces := self._calls.unargued(index)):
                delta["tool_calls"] = [*as_list(delta.get("tool_calls")), *pieces]
                changed = True
            changed = (may_be_cut and self._halves.join(index, delta, is_end=is_end)) or changed
        self._begin(choices)
        if usage := chunk.get("usage"):
            del chunk["usage"]
            if read_usage(usage):  # told once more at the end, with all that stood beside it
                head = {name: value for name, value in chunk.items() if name not in {"choices", "x_groq"}}
                self._last = Delta(chunk={**head, "choices": [], "usage": usage})
            # What is left says nothing new: OpenRouter repeats the finished choice in its usage chunk.
            is_repeated = self._ended.issuperset(map(_index, choices))
            rest = [value for choice in choices for name, value in choice["delta"].items() if name != "role"]
            is_empty = is_repeated and not any(rest)
            changed = True
        else:
            is_empty = self.finished and not choices  # Zen's cost chunk
        if is_empty or "choices" not in chunk:
            return ()
        self._ended.update(_index(choice) for choice in choices if choice.get("finish_reason"))
        self.is_mute = self.is_mute or any(choice.get("finish_reason") in MUTE_ENDS for choice in choices)
        self.finished = len(self._ended) >= self.choices and self._ended >= self._begun
        return (Delta(data=None if changed else data, chunk=chunk),)


_MENDED = frozenset({"reasoning", "tool_calls", "function_call"})
"""What of a delta may have to change."""


def _is_plain(chunk: Mapping[str, Any]) -> bool:
    """Nothing to learn and nothing to mend: nearly all frames."""
    # `type(…) is` in place of `isinstance`: this runs for every frame, and what the parser makes has no subclasses.
    if chunk.get("usage") or chunk.get("error") or "cost" in chunk or "x_groq" in chunk:
        return False
    choices = chunk.get("choices")
    if type(choices) is not list or not choices:
        return False
    for choice in choices:
        delta = choice.get("delta") if type(choice) is dict else None
        if type(delta) is not dict or choice.get("finish_reason") or not _MENDED.isdisjoint(delta):
            return False
    return True


def _index(choice: Mapping[str, Any]) -> int:
    index = choice.get("index", 0)
    return index if isinstance(index, int) else 0
