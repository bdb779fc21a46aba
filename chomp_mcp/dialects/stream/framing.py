"""Bytes as they happen to arrive -> whole frames: SSE events and JSON objects."""

from __future__ import annotations

import re
from typing import Protocol

MAX_ANSWER_BYTES = 64 * 1024 * 1024
"""A whole answer, or one event of a stream; a larger one is no answer but a fault, and would be held in memory."""

MOST_LINES = 200_000
"""Of one event. A line of three bytes costs the memory of fifty, and its event is taken apart in one go."""

MOST_SILENT_BYTES = 2 * 1024 * 1024
"""Of comments and empty events in one stream: a router that says every half second that it is alive takes an hour for
a tenth of that, and packed, millions of them are a few kB."""

Event = tuple[bytes, bytes]
"""(event name or b"", data); several data lines are joined by a space, which is the same JSON on one line."""

_BOM = b"\xef\xbb\xbf"
_SSE_STARTS = b"deir:"
"""data, event, id, retry, a comment; a body that starts otherwise is no event stream."""


class Frames(Protocol):
    """What cuts a body into frames; any chunking of the same bytes gives the same frames."""

    @property
    def overflow(self) -> bool:
        """More than MAX_ANSWER_BYTES or MOST_LINES in a frame, or MOST_SILENT_BYTES; what follows is not read."""

    @property
    def body(self) -> bytearray | None:
        """The whole body so far, when it is no stream of frames at all (an error page, one JSON object)."""

    def feed(self, chunk: bytes) -> list[Event]:
        """The frames that these bytes complete."""

    def close(self) -> list[Event]:
        """The frame that lacks its end, whole or not."""


class Events:
    """Server-sent events: comments, events without data and unknown fields are left out.

    Rules: the HTML standard, 9.2.5 (a byte order mark at the start is nothing) and 9.2.6; in addition an event that
    lacks its final blank line counts at the end.
    """

    __slots__ = ("_cr", "_lines", "_rest", "_silent", "_sniffed", "_sniffing", "body", "overflow")

    def __init__(self) -> None:
        self._rest = bytearray()
        self._lines = self._silent = 0
        self._sniffed = b""
        self._cr = False
        self._sniffing = True
        self.overflow = False
        self.body: bytearray | None = None

    def feed(self, chunk: bytes) -> list[Event]:
        if self._sniffing:
            chunk = self._sniff(chunk)
        if self.body is not None:
            self.body += chunk
            self._measure(len(self.body))
            return []
        if self._cr or b"\r" in chunk:
            # Line feeds as line ends; a carriage return at the very end waits for what follows it.
            chunk = b"\r" + chunk if self._cr else chunk
            self._cr = chunk.endswith(b"\r")
            chunk = chunk.removesuffix(b"\r").replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        if self._rest:
            # The blank line may begin with the last byte of what came before.
            start = len(self._rest) - 1
            self._rest += chunk
            if self._rest.find(b"\n\n", start) < 0:
                self._measure(len(self._rest))
                self._lines += chunk.count(b"\n")
                self.overflow = self.overflow or self._lines > MOST_LINES
                return []
            self._lines = 0
            chunk = bytes(self._rest)
            self._rest.clear()
        blocks = chunk.split(b"\n\n")
        if rest := blocks.pop():
            self._rest += rest
        if len(chunk) > MOST_LINES:
            self._measure(len(self._rest))
            for at, block in enumerate(blocks):
                if _is_too_large(block):
                    self.overflow = True
                    return _events(blocks[:at])
        events = _events(blocks)
        if blocks and not events:
            self._silent += len(chunk) - len(rest)
            self.overflow = self.overflow or self._silent > MOST_SILENT_BYTES
        return events

    def close(self) -> list[Event]:
        block = bytes(self._rest).strip(b"\n")
        self._rest.clear()
        self.overflow = self.overflow or _is_too_large(block)
        return _events([block]) if block and not self.overflow else []

    def _sniff(self, chunk: bytes) -> bytes:
        chunk = (self._sniffed + chunk).lstrip()
        if len(chunk) < len(_BOM) and _BOM.startswith(chunk):
            self._sniffed = chunk
            return b""
        chunk = chunk.removeprefix(_BOM).lstrip()
        # A mark that came alone waits for what follows it: a second one would be content.
        self._sniffed = b"" if chunk else _BOM
        if chunk:
            self._sniffing = False
            self.body = None if chunk[0] in _SSE_STARTS else bytearray()
        return chunk

    def _measure(self, size: int) -> None:
        if size > MAX_ANSWER_BYTES:
            self.overflow = True


def _is_too_large(block: bytes) -> bool:
    return len(block) > MOST_LINES and (len(block) > MAX_ANSWER_BYTES or block.count(b"\n") > MOST_LINES)


def _events(blocks: list[bytes]) -> list[Event]:
    events = []
    for block in blocks:
        if block.startswith(b"data: ") and b"\n" not in block:  # nearly all of them
            events.append((b"", block[6:]))
            continue
        if block.startswith(b":") and b"\n" not in block:  # a comment, of which a packed body holds millions
            continue
        name, data = b"", []
        for line in block.split(b"\n"):
            field, _, value = line.partition(b":")
            if field == b"data":
                data.append(value.removeprefix(b" "))
            elif field == b"event":
                name = value.strip()
        if (joined := b" ".join(data)).strip():
            events.append((name, joined))
    return events


_TOKENS = re.compile(rb'["{}]|\\(?s:.)?')


class Objects:
    """JSON objects one after the other, with or without line ends between them (NDJSON and Go's json.Encoder)."""

    __slots__ = ("_depth", "_in_string", "_rest", "_seen", "body", "overflow")

    def __init__(self) -> None:
        self._rest = bytearray()
        self._seen = 0
        self._depth = 0
        self._in_string = False
        self.overflow = False
        self.body: bytearray | None = None

    def feed(self, chunk: bytes) -> list[Event]:
        """The objects that these bytes complete; what stands between objects comes along with the next one."""
        self._rest += chunk
        frames: list[Event] = []
        start = 0
        for token in _TOKENS.finditer(self._rest, self._seen):
            if token[0] == b"\\":  # its other half has not come yet
                break
            self._seen = token.end()
            if token[0] == b'"':
                self._in_string = not self._in_string
            elif not self._in_string and token[0] in b"{}":
                self._depth = max(0, self._depth + (1 if token[0] == b"{" else -1))
                if not self._depth:  # the end of an outermost object
                    frames.append((b"", bytes(self._rest[start : self._seen]).strip()))
                    start = self._seen
        else:
            self._seen = len(self._rest)
        del self._rest[:start]
        self._seen -= start
        self.overflow = self.overflow or len(self._rest) > MAX_ANSWER_BYTES
        return frames

    def close(self) -> list[Event]:
        """What is left: nothing, an object that was cut, or something else."""
        rest = bytes(self._rest).strip()
        return [(b"", rest)] if rest else []


class Either:
    """Events or objects, whichever the first byte says."""

    __slots__ = ("_chosen",)

    def __init__(self) -> None:
        self._chosen: Frames | None = None

    @property
    def are_objects(self) -> bool:
        """The body begins with a JSON object."""
        return isinstance(self._chosen, Objects)

    @property
    def overflow(self) -> bool:
        return self._chosen is not None and self._chosen.overflow

    @property
    def body(self) -> bytearray | None:
        return self._chosen.body if self._chosen else None

    def feed(self, chunk: bytes) -> list[Event]:
        if self._chosen is None:
            chunk = chunk.lstrip()
            if not chunk:
                return []
            self._chosen = Objects() if chunk[:1] == b"{" else Events()
        return self._chosen.feed(chunk)

    def close(self) -> list[Event]:
        return self._chosen.close() if self._chosen else []
