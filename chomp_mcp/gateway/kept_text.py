"""What an answer said, for the owner who keeps that: also of a stream that went through unread."""

from __future__ import annotations

from collections.abc import Iterable

from chomp_mcp.dialects import Decoder, dialect
from chomp_mcp.dialects.openai.collect import Folder
from chomp_mcp.messages import Completion, Delta, Route

__all__ = ["KeptText"]


class KeptText:
    """Adds up the deltas of one stream; frames that nobody has parsed are parsed here."""

    def __init__(self, route: Route) -> None:
        self._route = route
        self._folder = Folder()
        self._reader: Decoder | None = None

    def add(self, batch: Iterable[Delta]) -> None:
        for delta in batch:
            if not delta.raw:
                self._folder.add((delta,))
                continue
            if self._reader is None:
                self._reader = dialect(self._route.router.dialect).decoder()
            self._folder.add(self._reader.feed(delta.raw))

    @property
    def text(self) -> str:
        return Completion(self._folder.body()).text
