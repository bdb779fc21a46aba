"""Gemini in, Gemini out: a request of the Gemini door on a Gemini route, and its answer, as they came.

Only the model and the key are ours.
"""

from __future__ import annotations

from collections.abc import Iterable

from chomp_mcp.dialects.gemini import answer
from chomp_mcp.dialects.gemini.request import call
from chomp_mcp.dialects.stream.relayed import as_it_came
from chomp_mcp.messages import ChatRequest, Delta, Route, WireRequest


def encode(route: Route, request: ChatRequest) -> WireRequest:
    """The client's own body, to the method that it asked for."""
    body = dict(request.native.body) if request.native else {}
    return call(route, request, "streamGenerateContent?alt=sse" if request.stream else "generateContent", body)


decode = as_it_came(answer.decode)


def decoder() -> NativeDecoder:
    """A decoder for one stream."""
    return NativeDecoder(answer.decode)


class NativeDecoder(answer.ContentDecoder):
    """One delta for each event, with the event in it."""

    __slots__ = ()

    def close(self) -> list[Delta]:
        """Without the counts, which its events have told."""
        return [delta for delta in super().close() if not delta.is_usage_only]

    def _frame(self, name: bytes, data: bytes) -> Iterable[Delta]:
        deltas = list(super()._frame(name, data))
        if self.error is not None or not data.strip():
            return ()
        return (Delta(chunk=deltas[0].chunk if deltas else {}, raw=b"data: %b\n\n" % data),)
