"""One line on stderr that says what is waited for: on a terminal, from the first second on, gone when words come."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Callable
from typing import Self

from chomp_mcp.doors.cli.output import plain, room_on

PATIENCE_SECONDS = 1.0
TICK_SECONDS = 0.25
_CLEAR = "\r\x1b[K"


class StatusLine:
    """Shows what `doing()` says, with the seconds so far, until `clear()` or the end; from a thread of its own.

    Not from the event loop: a line must also come where a command waits without one, or holds it.
    """

    def __init__(self, doing: Callable[[], str]) -> None:
        self._doing = doing
        self._lock = threading.Lock()
        self._is_over = threading.Event()
        self._is_shown = False
        self._began = time.monotonic()

    def __enter__(self) -> Self:
        if sys.stderr.isatty():
            self._began = time.monotonic()
            threading.Thread(target=self._tick, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.clear()

    def clear(self) -> None:
        """Wipe it, for good."""
        self._is_over.set()
        with self._lock:
            self._wipe()

    def tell(self, text: str) -> None:
        """A line of the command's own on stdout, above it; what is waited for next begins anew."""
        with self._lock:
            self._wipe()
            self._began = time.monotonic()
            print(text, flush=True)

    def _wipe(self) -> None:
        if self._is_shown:
            self._is_shown = False
            self._write(_CLEAR)

    def _tick(self) -> None:
        while not self._is_over.wait(TICK_SECONDS):
            waited = time.monotonic() - self._began
            if waited < PATIENCE_SECONDS:
                continue
            text = plain(f"{self._doing()} · {waited:.0f} s")
            with self._lock:
                if not self._is_over.is_set():
                    self._is_shown = True
                    self._write(f"{_CLEAR}{text[: room_on(sys.stderr) - 1]}")

    def _write(self, text: str) -> None:
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.write(text)
            sys.stderr.flush()
