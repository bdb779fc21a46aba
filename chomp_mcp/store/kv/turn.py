"""The turn of the event loop: within one, a store asks once whether somebody else has written."""

from __future__ import annotations

import asyncio


class Turns:
    """Numbers for the turns of the event loop, and for the stretches of a turn between two writes.

    What was learned in this turn is still true for everybody who runs in it. Whoever was woken by somebody that wrote
    after that runs after the end of the turn, because a loop makes its calls in the order in which they were asked for.
    """

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._number = 0

    def now(self) -> int:
        """The number of this turn; the loop is asked to end it."""
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._loop = loop
            self._number += 1
            loop.call_soon(self.end)
        return self._number

    def end(self) -> None:
        """What was learned has to be asked again; also after a write in the middle of a turn."""
        self._loop = None


turns = Turns()
"""Of this process: any two stores in it may be on one file."""
