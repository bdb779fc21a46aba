"""One line on stderr that says what is waited for: on a terminal, from the first second on, gone when words come."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from chomp_mcp.doors.cli.output import plain, room_on

__all__ = ["StatusLine"]

PATIENCE_SECONDS = 1.0
TICK_SECONDS = 0.25
_CLEAR = "\r\x1b[K"


class StatusLine:
    """Shows what `doing()` says, with the seconds so far, until `clear()` or the end."""

    def __init__(self, doing: Callable[[], str]) -> None:
        self._doing = doing
        self._task: asyncio.Task[None] | None = None
        self._is_shown = False

    async def __aenter__(self) -> Self:
        if sys.stderr.isatty():
            self._task = asyncio.create_task(self._tick())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.clear()

    def clear(self) -> None:
        """Wipe it, for good."""
        if self._task is not None:
            self._task.cancel()
            self._task = None
        if self._is_shown:
            self._is_shown = False
            self._write(_CLEAR)

    async def _tick(self) -> None:
        began = time.monotonic()
        await asyncio.sleep(PATIENCE_SECONDS)
        while True:
            self._is_shown = True
            text = plain(f"{self._doing()} · {time.monotonic() - began:.0f} s")
            self._write(f"{_CLEAR}{text[: room_on(sys.stderr) - 1]}")
            await asyncio.sleep(TICK_SECONDS)

    def _write(self, text: str) -> None:
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.write(text)
            sys.stderr.flush()
