"""What a router says a key has left, read at most every five minutes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial

import anyio

from chomp_mcp import wire
from chomp_mcp.errors import StoreError
from chomp_mcp.gateway.single_flight import SingleFlight
from chomp_mcp.messages import Router
from chomp_mcp.routers import account_page
from chomp_mcp.routers.account_page import Credit
from chomp_mcp.routers.client import Client
from chomp_mcp.routers.response import Unreachable
from chomp_mcp.store.kv.protocol import KV, Value

FRESH_SECONDS = 300.0
KEPT_SECONDS = 86_400.0
FETCH_SECONDS = 5.0
PATIENCE_SECONDS = 0.75
MAX_BYTES = 256 * 1024


class CreditReader:
    """Asks at most every five minutes per key, for all processes on the store; what cannot be read is None."""

    def __init__(self, kv: KV, client: Client, *, clock: Callable[[], float]) -> None:
        self._kv = kv
        self._client = client
        self._clock = clock
        self._reading: SingleFlight[Value] = SingleFlight()

    async def close(self) -> None:
        await self._reading.close()

    async def of(self, router: Router, key: str, key_id: str) -> Credit | None:
        """What the page says, at most five minutes old."""
        return await self._read(router, key, key_id, None)

    async def soon(self, router: Router, key: str, key_id: str) -> Credit | None:
        """What it says, an old answer included; a request waits a moment at most, and only where none was ever seen."""
        return await self._read(router, key, key_id, PATIENCE_SECONDS)

    async def _read(self, router: Router, key: str, key_id: str, patience: float | None) -> Credit | None:
        if not router.key_info or not key:
            return None
        name = f"credit:{router.id}:{key_id}"
        stored = await self._kv.get(name)
        age = self._clock() - float(stored["at"]) if stored else -1.0
        if stored is None or not 0 <= age < FRESH_SECONDS:
            is_new = name not in self._reading.tasks  # who comes later does not wait for it once more
            task = self._reading.start(name, partial(self._ask, name, router, key))
            if patience is None:
                stored = await asyncio.shield(task)
            elif stored is None and is_new:
                await asyncio.wait([task], timeout=patience)
                stored = task.result() if task.done() and not task.cancelled() and not task.exception() else None
        data = stored.get("data") if stored else None
        return account_page.credit(data, float(stored["at"])) if stored and isinstance(data, Mapping) and data else None

    async def _ask(self, name: str, router: Router, key: str) -> Value:
        """An account page never stops a request: where there is no answer, that is what is stored."""
        data = None
        with suppress(Unreachable, ValueError, TimeoutError), anyio.fail_after(FETCH_SECONDS):
            response, page = await self._client.fetch(account_page.page_of(router, key), MAX_BYTES)
            body = wire.loads(page)
            data = body.get("data") if response.is_success and isinstance(body, Mapping) else None
        stored = {"data": data, "at": self._clock()}
        with suppress(StoreError):  # it is asked again
            await self._kv.put(name, stored, expires_in=KEPT_SECONDS)
        return stored
