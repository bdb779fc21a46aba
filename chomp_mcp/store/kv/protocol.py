"""The KV protocol: what the domain files ask of a store, and all they may ask.

Keys are text with `:` between the parts, values JSON objects. A value may expire; an expired one is not there. Every
backend passes the same contract tests.
"""

from __future__ import annotations

import builtins
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

Value = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Write:
    """A new value and, in seconds from now, its end; `value` None deletes the key."""

    value: Value | None
    expires_in: float | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """A key and what it holds."""

    key: str
    value: Value


Change = Callable[[Sequence[Value | None]], Sequence[Write | None]]
"""Old values in, writes out, one for each key; None leaves a key as it is. May run more than once: it must be pure."""


class KV(Protocol):
    """All methods raise `StoreError` when the store cannot answer, and leave what is stored as it was."""

    async def get(self, key: str) -> Value | None: ...

    async def get_many(self, keys: Sequence[str]) -> builtins.list[Value | None]:
        """Several at once, in the order asked for; not atomic."""

    async def put(self, key: str, value: Value, *, expires_in: float | None = None) -> None: ...

    async def delete(self, key: str) -> bool:
        """True if there was something to delete; of two racing callers only one is told so."""

    async def list(self, prefix: str, *, limit: int | None = None, newest_first: bool = False) -> list[Entry]:
        """Entries whose key starts with `prefix`, ordered by key; `newest_first` turns the order round."""

    async def update(self, keys: Sequence[str], change: Change) -> None:
        """Read, change and write several keys as one atomic step, across processes too.

        It runs to its end whatever becomes of the caller: `CancelledError` means that it is written, any other error
        that it is not.
        """

    async def close(self) -> None: ...


async def delete_all(kv: KV, prefix: str) -> None:
    """Delete the entries whose key starts with `prefix`, a page of them at a time."""
    while entries := await kv.list(prefix, limit=_PAGE):
        await kv.update([entry.key for entry in entries], lambda old: [Write(None) for _ in old])


_PAGE = 500
