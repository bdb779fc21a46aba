"""The frame of every stream decoder: bytes in, deltas out, stop at an error, know how it ended."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from decimal import Decimal
from typing import Any

from chomp_mcp.dialects.openai.answer import nonsense
from chomp_mcp.dialects.openai.shapes import as_chunks
from chomp_mcp.dialects.openai.text import Halves, loads
from chomp_mcp.dialects.stream.framing import MAX_ANSWER_BYTES, MOST_LINES, MOST_SILENT_BYTES, Frames
from chomp_mcp.messages import Completion, Delta, ErrorObject, Failed, FailureKind, Usage

Whole = Callable[[bytes], Completion | Failed | ErrorObject]
"""A dialect's `decode`."""


class FrameDecoder(ABC):
    """Implements `dialects.Decoder`; a dialect says how its stream is cut (`frames`) and what a frame means (`_frame`).

    A router that answers with one body all the same (mostly an error, or it ignored `stream`) is understood too.
    """

    __slots__ = (
        "_decode", "_frames", "_halves", "_seen", "choices", "cost_usd", "done", "error", "finished", "is_mute",
        "usage",
    )  # fmt: skip

    def __init__(self, frames: Frames, decode: Whole) -> None:
        self.usage: Usage | None = None
        self.cost_usd: Decimal | None = None
        self.choices = 1
        self.finished = False
        self.done = False
        self.is_mute = False
        self.error: Failed | ErrorObject | None = None
        self._frames = frames
        self._decode = decode
        self._halves = Halves()
        self._seen = False

    def feed(self, chunk: bytes) -> list[Delta]:
        """The deltas that these bytes complete; nothing after an error."""
        deltas: list[Delta] = []
        if self.error is not None:
            return deltas
        for name, data in self._frames.feed(chunk):
            deltas += self._frame(name, data)
            if self.error is not None:
                return deltas
        self._mind_overflow()
        return deltas

    def _mind_overflow(self) -> None:
        if self._frames.overflow:
            most = f"{MAX_ANSWER_BYTES // 2**20} MiB, or {MOST_LINES:,} lines"
            silence = f"{MOST_SILENT_BYTES // 2**20} MiB of nothing but signs of life"
            self._fail(f"The router sent one event of more than {most}, or {silence}.")

    def close(self) -> list[Delta]:
        """What the last bytes hold: a frame without its end (half a one is dropped), or a whole body."""
        if self.error is not None:
            return []
        if self._frames.body is not None:
            return self._whole(self._decode(bytes(self._frames.body)))
        deltas: list[Delta] = []
        for name, data in self._frames.close():
            is_whole = data.strip() == b"[DONE]"
            with suppress(ValueError):
                is_whole = is_whole or isinstance(loads(data), dict)
            # Half a frame behind whole ones is dropped; where nothing else came, it says what went wrong.
            if name == b"error" or is_whole or not self._seen:
                deltas += self._frame(name, data)
        self._mind_overflow()
        if self.error is not None:
            return deltas
        if not self._seen:
            self.error = nonsense(b"")
        return deltas

    @abstractmethod
    def _frame(self, name: bytes, data: bytes) -> Iterable[Delta]:
        """What one frame adds; sets `_seen`, and `error` at an error or garbage."""

    def _joined(self, deltas: Iterable[Delta], data: bytes) -> Iterable[Delta]:
        """The deltas made of this frame, with the characters whole that the router cut in two."""
        if not self._halves.may_be_in(data):
            return deltas
        whole = list(deltas)
        for choice in (choice for each in whole for choice in each.choices):
            delta = choice.get("delta")
            if isinstance(delta, dict):
                self._halves.join(choice.get("index", 0), delta, is_end=bool(choice.get("finish_reason")))
        return whole

    def _fail(self, message: str) -> None:
        self.error = Failed(FailureKind.TRANSIENT, message)

    def _garbage(self) -> None:
        self._seen = True
        self._fail("The router's stream holds something that is not a JSON object.")

    def _whole(self, answer: Completion | Failed | ErrorObject) -> list[Delta]:
        if not isinstance(answer, Completion):
            self.error = answer
            return []
        self.usage, self.cost_usd = answer.usage, answer.cost_usd
        self.finished = self.done = True
        return as_chunks(answer.body)


class ObjectDecoder(FrameDecoder):
    """For streams whose every frame is a JSON object of another shape: `_take` says what one means."""

    __slots__ = ()

    def _frame(self, name: bytes, data: bytes) -> Iterable[Delta]:  # noqa: ARG002 - the objects name themselves
        if self.done or not data.strip():
            return ()
        try:
            value = loads(data)
        except ValueError:
            value = None
        if not isinstance(value, dict):
            self._garbage()
            return ()
        self._seen = True
        return self._joined(self._take(value), data)

    @abstractmethod
    def _take(self, value: Mapping[str, Any]) -> Iterable[Delta]:
        """The deltas of one object."""
