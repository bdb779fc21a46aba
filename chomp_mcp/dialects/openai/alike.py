"""Frames that differ from one before in their text alone, which are nearly all of a stream: they need no parser."""

from __future__ import annotations

from typing import Any

from chomp_mcp import wire

_LESSONS = 8
"""So many patterns that fit nothing, and no more are tried: some routers pad every frame with noise."""
_PROBE = "?"


class Alike:
    """What stands around the text of a frame, byte by byte; the text itself must be one that JSON writes as it is."""

    __slots__ = ("_after", "_before", "_end", "_lessons", "_start")

    def __init__(self) -> None:
        self._before, self._after = b"\n", b""  # as no frame begins
        self._start = self._end = 0
        self._lessons = _LESSONS

    def text_in(self, data: bytes) -> str:
        """The text of a frame like the one that was learned; empty for all others."""
        if not (data.startswith(self._before) and data.endswith(self._after)):
            return ""
        try:
            text = data[self._start : self._end].decode()
        except ValueError:
            return ""
        if not text.isprintable() or '"' in text or "\\" in text:
            return ""
        self._lessons = _LESSONS
        return text

    def learn(self, data: bytes, chunk: dict[str, Any]) -> None:
        """Take a plain frame for the pattern of the next ones, if it says a text and nothing else."""
        if not self._lessons or data.startswith(self._before) or (text := _only_text(chunk)) in {"", _PROBE}:
            return
        self._lessons -= 1
        before, quoted, after = data.partition(wire.dumps(text))
        if not quoted:
            return
        before, after = before + b'"', b'"' + after
        # The same text may stand elsewhere in the frame, even as a key.
        if _only_text(wire.loads(before + _PROBE.encode() + after)) == _PROBE:
            self._before, self._after = before, after
            self._start, self._end = len(before), -len(after)


def _only_text(chunk: Any) -> str:
    """The content of choice 0, when there is no other choice and nothing else is said; else empty."""
    match chunk:
        case {"choices": [{"delta": {"content": str() as content, **rest}, **choice}]}:
            is_alone = not choice.get("index") and not any(rest[name] for name in rest.keys() - {"role"})
            return content if is_alone else ""
        case _:
            return ""
