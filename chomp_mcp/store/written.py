"""The files that answers were written into, so that only those are ever written over."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from pathlib import Path

from chomp_mcp.store.kv.protocol import KV

KEPT_SECONDS = 365 * 86_400


class Written:
    """`written:{SHA-256 of the path}` -> the SHA-256 of the content that we left there, and the job it is of."""

    def __init__(self, kv: KV, *, clock: Callable[[], float] = time.time) -> None:
        self._kv = kv
        self._clock = clock

    async def remember(self, path: Path, content: bytes, job_id: str) -> None:
        value = {"content": _hash(content), "job": job_id, "at": self._clock()}
        await self._kv.put(_name(path), value, expires_in=KEPT_SECONDS)

    async def is_ours(self, path: Path, content: bytes) -> bool:
        """What stands there now is what we wrote, and nobody has changed it since."""
        value = await self._kv.get(_name(path))
        return value is not None and value["content"] == _hash(content)

    async def job_of(self, path: Path) -> str:
        """The job whose answer was written there last; empty: none."""
        value = await self._kv.get(_name(path))
        return "" if value is None else str(value["job"])


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _name(path: Path) -> str:
    return f"written:{_hash(str(path).encode('utf-8', 'surrogatepass'))}"
