"""A stream that nobody has to read: what has no room is dropped, and no writer ever waits (mcp-go #956).

Some hosts start a server with a pipe for stderr and never look into it; once that is full, a line more would stop us.
"""

from __future__ import annotations

import atexit
import io
import os
import queue
import threading
import time
from contextlib import suppress
from typing import Final, TextIO

MOST_WAITING: Final = 1000
"""Pieces of text, most of them lines."""
LAST_WORDS_SECONDS: Final = 0.5


class LossyStream(io.StringIO):
    """Text for `stream`, written by a thread of its own; at exit it gets half a second for what is left."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._stream = stream
        self._waiting: queue.Queue[str] = queue.Queue(MOST_WAITING)
        self._is_started = False
        self._starting = threading.Lock()

    def write(self, text: str) -> int:
        """Take the text, or drop it."""
        if not self._is_started:  # looked at twice, so that only the first writers pay for the lock
            with self._starting:
                if not self._is_started:
                    self._is_started = True
                    threading.Thread(target=self._write_out, daemon=True, name="stderr").start()
                    atexit.register(self.drain)
        with suppress(queue.Full):
            self._waiting.put_nowait(text)
        return len(text)

    def fileno(self) -> int:
        return self._stream.fileno()

    def drain(self, seconds: float = LAST_WORDS_SECONDS) -> None:
        """Wait until what was taken has been written, at most so long."""
        until = time.monotonic() + seconds
        while self._waiting.unfinished_tasks and time.monotonic() < until:
            time.sleep(0.01)

    def _write_out(self) -> None:
        while True:
            text = self._waiting.get()
            with suppress(OSError, ValueError):  # the reader has gone, or the stream was closed
                try:
                    # To the descriptor where there is one: a lock on the stream would stop the interpreter's end, too.
                    descriptor = self._stream.fileno()
                except (OSError, ValueError):
                    self._stream.write(text)
                else:
                    left = text.encode("utf-8", "replace")
                    while left:
                        left = left[os.write(descriptor, left) :]
            self._waiting.task_done()
