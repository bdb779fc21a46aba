"""What a router says a key has left, read at most every five minutes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import anyio

from chomp_mcp import wire
from chomp_mcp.messages import Router
from chomp_mcp.routers import account_page
from chomp_mcp.routers.account_page import Credit
from chomp_mcp.routers.client import Client, Unreachable
from chomp_mcp.store.kv.protocol import KV

__all__ = ["CreditReader"]

FRESH_SECONDS = 300.0
FETCH_SECONDS = 5.0
MAX_BYTES = 256 * 1024


class CreditReader:
    """Asks at most every five minutes per key, for all processes on the store; what cannot be read is None."""

    def __init__(self, kv: KV, client: Client, *, clock: Callable[[], float]) -> None:
        self._kv = kv
        self._client = client
        self._clock = clock

    async def of(self, router: Router, key: str, key_id: str) -> Credit | None:
        if not router.key_info or not key:
            return None
        name = f"credit:{router.id}:{key_id}"
        stored = await self._kv.get(name)
        if stored is None:
            stored = {"data": await self._fetch(router, key), "at": self._clock()}
            await self._kv.put(name, stored, expires_in=FRESH_SECONDS)
        data = stored.get("data")
        return account_page.credit(data, float(stored["at"])) if isinstance(data, Mapping) and data else None

    async def _fetch(self, router: Router, key: str) -> Any:
        """The `data` object of the answer, None when there was none: an account page never stops a request."""
        try:
            with anyio.fail_after(FETCH_SECONDS):
                response = await self._client.send(account_page.page_of(router, key))
                try:
                    body = wire.loads(await response.read(MAX_BYTES))
                finally:
                    response.close()
        except (Unreachable, ValueError, TimeoutError):
            return None
        return body.get("data") if response.is_success and isinstance(body, Mapping) else None
