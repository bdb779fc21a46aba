"""What is under way over HTTP: counted for a shutdown that waits for it, and capped before it fills the memory."""

from __future__ import annotations

from typing import Final, Self

import anyio

from chomp_mcp.errors import Overloaded
from chomp_mcp.messages import Caller

SHARE: Final = "chomp.share"
"""In the scope of a request: its `Share`."""

_RETRY_SECONDS = 1.0


class Traffic:
    """All requests under way, and the bytes of their bodies.

    A caller with a token of its own may have a part of them, so that none shuts out the others; the owner all.
    """

    def __init__(self, max_requests: int, most_of_caller: int, max_bytes: int) -> None:
        self.max_requests = max_requests
        self.most_of_caller = most_of_caller
        self.max_bytes = max_bytes
        self.requests = 0
        self.bytes = 0
        self.of_callers: dict[str, list[int]] = {}
        """Caller id -> requests and bytes."""
        self._quiet = anyio.Event()

    def left(self) -> None:
        self.requests -= 1
        if not self.requests:
            self._quiet.set()

    async def drained(self, seconds: float) -> None:
        """Wait until nothing is in flight, at most so long."""
        with anyio.move_on_after(seconds):
            while self.requests:
                self._quiet = anyio.Event()
                await self._quiet.wait()


class Share:
    """One request's part of the traffic, for as long as the block lasts; whoever asks for too much gets Overloaded."""

    __slots__ = ("_bytes", "_caller_id", "_traffic")

    def __init__(self, traffic: Traffic) -> None:
        self._traffic = traffic
        self._bytes = 0
        self._caller_id = ""

    def __enter__(self) -> Self:
        self._traffic.requests += 1
        return self

    def __exit__(self, *_: object) -> None:
        traffic = self._traffic
        traffic.bytes -= self._bytes
        if self._caller_id:
            mine = traffic.of_callers[self._caller_id]
            mine[0] -= 1
            mine[1] -= self._bytes
            if not mine[0]:
                del traffic.of_callers[self._caller_id]
        traffic.left()

    def admit(self) -> None:
        """Before anything else is done for it."""
        if self._traffic.requests > self._traffic.max_requests:
            raise _overloaded("requests", "CHOMP_MAX_REQUESTS", self._traffic.max_requests)

    def belongs_to(self, caller: Caller) -> None:
        """From here on it counts as this caller's."""
        if caller.is_owner:
            return
        traffic = self._traffic
        mine = traffic.of_callers.setdefault(caller.id, [0, 0])
        mine[0] += 1
        mine[1] += self._bytes
        self._caller_id = caller.id
        self._check(mine)

    def hold(self, count: int) -> None:
        """So many bytes of its body more: as they are announced, or as they come in."""
        traffic = self._traffic
        self._bytes += count
        traffic.bytes += count
        if traffic.bytes > traffic.max_bytes:
            raise _overloaded("bytes of requests", "CHOMP_MAX_REQUEST_BYTES", traffic.max_bytes)
        if self._caller_id:
            mine = traffic.of_callers[self._caller_id]
            mine[1] += count
            self._check(mine)

    def _check(self, mine: list[int]) -> None:
        most = self._traffic.most_of_caller
        if mine[0] > most:
            raise _overloaded("requests of one caller", "CHOMP_MAX_CALLER_REQUESTS", most)
        if mine[1] > self._traffic.max_bytes // 2:
            raise _overloaded("bytes of one caller's requests", "CHOMP_MAX_REQUEST_BYTES", self._traffic.max_bytes // 2)


def _overloaded(what: str, setting: str, most: int) -> Overloaded:
    hint = f"Ask again in a moment; the limit is {setting}."
    return Overloaded(f"{most:,} {what} are under way, and that is the most.", hint=hint, retry_after=_RETRY_SECONDS)
