"""For streams that go to the client in the router's own bytes: one delta for each event, with the event in it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, ClassVar

from chomp_mcp import wire
from chomp_mcp.dialects.stream.decoder import ObjectDecoder, Whole
from chomp_mcp.dialects.values import as_mapping
from chomp_mcp.messages import Completion, Delta, ErrorObject, Failed

_NOTHING: dict[str, Any] = {}


def as_it_came(decode: Whole) -> Whole:
    """A dialect's `decode` whose completions also hold the body as the router wrote it, for the client."""

    def decoded(body: bytes) -> Completion | Failed | ErrorObject:
        outcome = decode(body)
        return replace(outcome, raw=body) if isinstance(outcome, Completion) else outcome

    return decoded


class Relayed(ObjectDecoder):
    """Stands before a dialect's own decoder, which reads what is to be learned of an event: usage, the end, an error.

    Once the answer has begun, its pieces are not parsed.
    """

    # Without slots, for those of two bases do not go together.
    _has_begun = False

    PIECES: ClassVar[frozenset[bytes]]
    """Names of the events that say nothing but a piece of the answer."""
    AROUND: ClassVar[int]
    """Bytes of such an event that are no part of the answer, about."""
    COUNTS_FIRST: ClassVar[bool] = False
    """Its usage is told before the first piece, and has to be read first."""

    def feed(self, chunk: bytes) -> list[Delta]:
        """As in every decoder; pieces that come together are one delta."""
        deltas: list[Delta] = []
        if self.error is not None:
            return deltas
        raw: list[bytes] = []
        unread = 0
        for name, data in self._frames.feed(chunk):
            # A piece without its closing brace was cut, and is parsed like the others, so that it is found out.
            if self._has_begun and name in self.PIECES and not self.done and data.endswith(b"}"):
                raw.append(b"event: %b\ndata: %b\n\n" % (name, data))
                unread += max(1, len(data) - self.AROUND)
                continue
            if raw:
                deltas.append(Delta(chunk=_NOTHING, raw=b"".join(raw), unread=unread))
                raw, unread = [], 0
            deltas += self._frame(name, data)
            if self.error is not None:
                return deltas
        if raw:
            deltas.append(Delta(chunk=_NOTHING, raw=b"".join(raw), unread=unread))
        self._mind_overflow()
        return deltas

    def _frame(self, name: bytes, data: bytes) -> Iterable[Delta]:
        was_done = self.done
        deltas = list(super()._frame(name, data))
        if self.error is not None or was_done or not data.strip():
            return ()
        if not self._has_begun and (self.usage is not None or not self.COUNTS_FIRST):
            self._has_begun = any(delta.is_real for delta in deltas)
        chunk = deltas[0].chunk if deltas else _NOTHING
        if not name:  # the router gave it only inside
            name = str(as_mapping(wire.loads(data)).get("type", "")).encode()
        return (Delta(chunk=chunk, raw=b"event: %b\ndata: %b\n\n" % (name, data)),)
