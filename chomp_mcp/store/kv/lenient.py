"""A KV whose reads find nothing where the store cannot be read: for what an answer can do without."""

from __future__ import annotations

import builtins
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from chomp_mcp.errors import StoreAway, StoreError
from chomp_mcp.store.kv.protocol import KV, Change, Entry, Value

_log = logging.getLogger("chomp_mcp.store")


PAUSE_SECONDS = 5.0
"""A locked file keeps its reader waiting: not every one of them, one after the other."""


@contextmanager
def unwritten_is_logged(log: logging.Logger, text: str, *about: object) -> Iterator[None]:
    """What the answer can do without was not written: it goes out, for it may be paid for already."""
    try:
        yield
    except StoreError as error:
        if not isinstance(error, StoreAway):  # that a Redis is away says once who looks for it
            log.error("%s: %s", text % about, error)  # noqa: TRY400 - what the store says, in a line


class Lenient:
    """Health, lists and conversations are read through it; money and jobs are not. Writes go on as they are."""

    def __init__(self, kv: KV, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._kv = kv
        self._clock = clock
        self._again_at = 0.0
        self.trouble = ""
        """Why nothing is found at the moment; empty: all is well."""
        self.hint = ""
        """What mends that."""
        self.is_remote = False
        """The trouble is a Redis that is away."""

    async def get(self, key: str) -> Value | None:
        return (await self.get_many([key]))[0]

    async def get_many(self, keys: Sequence[str]) -> builtins.list[Value | None]:
        if self.trouble and self._is_away():
            return [None] * len(keys)
        try:
            found = await self._kv.get_many(keys)
        except StoreError as error:
            self._noted(error)
            return [None] * len(keys)
        self.trouble = ""
        return found

    async def list(self, prefix: str, *, limit: int | None = None, newest_first: bool = False) -> builtins.list[Entry]:
        if self._is_away():
            return []
        try:
            return await self._kv.list(prefix, limit=limit, newest_first=newest_first)
        except StoreError as error:
            self._noted(error)
            return []

    async def put(self, key: str, value: Value, *, expires_in: float | None = None) -> None:
        await self._kv.put(key, value, expires_in=expires_in)

    async def delete(self, key: str) -> bool:
        return await self._kv.delete(key)

    async def update(self, keys: Sequence[str], change: Change) -> None:
        await self._kv.update(keys, change)

    async def close(self) -> None:
        """The store is closed by who opened it."""

    def _is_away(self) -> bool:
        return bool(self.trouble) and self._clock() < self._again_at

    def _noted(self, error: StoreError) -> None:
        self.trouble, self.hint = error.message, error.hint or ""
        self.is_remote = isinstance(error, StoreAway)
        if not self.is_remote:  # a Redis that is away says so at once
            self._again_at = self._clock() + PAUSE_SECONDS
            _log.warning("read without the store: %s", error)
