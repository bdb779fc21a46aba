"""A router's answer as its bytes come in, or why there is none."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

from chomp_mcp.messages import FailureKind

MAX_BODY_BYTES = 64 * 1024 * 1024
"""What one answer may say, unpacked, streamed or whole; the longest outputs of today's models stay under 2 MB."""
TURN_BYTES = 128 * 1024
"""After so much that was there without a wait, everybody else has a turn: packed bodies unpack to a thousand times."""
FIRST_OTHER_STATUS = 300
"""Redirects are not followed, so that they are failures like 4xx and 5xx."""


class Unreachable(Exception):
    """No answer, or the rest of one did not come.

    `kind` is TRANSIENT (refused, reset, cut, too much sent) or TIMEOUT; BAD_KEY where the key itself cannot stand in a
    header; LOCAL where this machine has no more to give. The text names the host and what happened, and never a key.
    `resent`: the request went out twice, first on an old connection that turned out to be dead.
    """

    def __init__(self, kind: FailureKind, message: str, *, resent: bool = False) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.resent = resent


class Response:
    """A router's answer: `status`, `headers` (names in lower case), and its bytes, once. Close it whatever happens.

    `next_bytes` gives what has come, waits where nothing has, and gives b"" at the end. All waits together last
    `patience` seconds at most, counted anew by `prolong`: comments and empty pieces must not keep an answer alive for
    ever, so it is for the reader to say what counts. The reader's own time does not.
    """

    __slots__ = (
        "_at_once",
        "_close",
        "_host",
        "_is_closed",
        "_next",
        "_patience",
        "_seen",
        "_until",
        "headers",
        "status",
    )

    def __init__(
        self,
        status: int,
        headers: Mapping[str, str],
        next_bytes: Callable[[], Awaitable[bytes]],
        *,
        host: str,
        patience: float | None = None,
        at_once: Callable[[], bytes | None] | None = None,
        close: Callable[[], None] | None = None,
    ) -> None:
        self.status = status
        self.headers = headers
        self._next = next_bytes
        self._host = host
        self._patience = patience
        self._at_once = at_once
        """The whole body, where it came together with the headers, as short ones do; else None."""
        self._close = close
        self._until: float | None = None
        self._seen = self._is_closed = False
        self.prolong()

    @property
    def is_success(self) -> bool:
        return self.status < FIRST_OTHER_STATUS

    def prolong(self) -> None:
        """Something has come that counts: the router has its time again."""
        if self._patience is not None:
            self._until = asyncio.get_running_loop().time() + self._patience
        self._seen = False

    async def iter_bytes(self) -> AsyncIterator[bytes]:
        """The body as it comes in, unpacked. `Unreachable` when it breaks off, stalls or never ends."""
        time = asyncio.get_running_loop().time
        left, turn = MAX_BODY_BYTES, TURN_BYTES
        while data := await self._waited():
            self._seen = True
            left -= len(data)
            turn -= len(data)
            if left < 0:
                raise self._too_much(MAX_BODY_BYTES)
            if turn < 0:
                turn = TURN_BYTES
                await asyncio.sleep(0)
            given_at = time()
            yield data
            if self._until is not None:
                self._until += time() - given_at

    async def _waited(self) -> bytes:
        if self._is_closed:
            return b""
        try:
            async with asyncio.timeout_at(self._until):
                return await self._next()
        except TimeoutError:
            what = "nothing but signs of life" if self._seen else "nothing"
            raise Unreachable(FailureKind.TIMEOUT, f"{self._host} sent {what} for {self._patience:g} s.") from None

    async def read(self, limit: int = MAX_BODY_BYTES) -> bytes:
        """The whole body. Of a failure the first `limit` bytes; an answer above it is `Unreachable`."""
        body = self._at_once() if self._at_once else None
        if body is None:
            parts, left = [], limit
            async for chunk in self.iter_bytes():
                parts.append(chunk)
                left -= len(chunk)
                if left < 0:  # a little more than `limit`, which tells that there is more
                    break
            body = b"".join(parts)
        if len(body) <= limit:
            return body
        if self.is_success:
            raise self._too_much(limit)
        return body[:limit]

    def _too_much(self, limit: int) -> Unreachable:
        return Unreachable(FailureKind.TRANSIENT, f"{self._host} sent more than {limit / 1024**2:.3g} MiB.")

    def close(self) -> None:
        """Give the connection back, or end it where the answer is not over: that is how a router learns to stop."""
        if not self._is_closed and self._close:
            self._close()
        self._is_closed = True
