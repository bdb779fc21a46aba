"""The receipts of the newest exchanges, of all processes on the store: no prompt, no answer, no key in them."""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from chomp_mcp.store.kv.protocol import KV

KEPT_SECONDS = 86_400.0
CHUNK = 50
"""Receipts of one record."""
MOST_CHUNKS = 200
"""Records that a look may read."""


class Receipts:
    """`receipts:{time of the first}{random}` -> {"rows": [...]}: records of one process each, kept for a day."""

    def __init__(self, kv: KV) -> None:
        self._kv = kv
        self._name = ""
        self._rows: list[Mapping[str, Any]] = []

    async def add(self, rows: Sequence[Mapping[str, Any]], now: float) -> None:
        """Into the record of this process until that is full, then into another one."""
        if not self._name or len(self._rows) + len(rows) > CHUNK:
            self._name, self._rows = f"receipts:{int(now * 1000):011x}{secrets.token_hex(5)}", []
        self._rows = [*self._rows, *rows]
        await self._kv.put(self._name, {"rows": self._rows}, expires_in=KEPT_SECONDS)

    async def recent(self) -> list[Mapping[str, Any]]:
        """What the newest records hold, in no order."""
        entries = await self._kv.list("receipts:", limit=MOST_CHUNKS, newest_first=True)
        return list(itertools.chain.from_iterable(entry.value["rows"] for entry in entries))
