"""What a key has left by the router's own account page, where it has one (OpenRouter's `GET /key`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

import anyio

from chomp_mcp import wire
from chomp_mcp.messages import Router, WireRequest
from chomp_mcp.policy.quota import Reading
from chomp_mcp.routers.client import Client, Unreachable
from chomp_mcp.store.kv.protocol import KV

__all__ = ["Credit", "CreditReader"]

FRESH_SECONDS = 300.0
FETCH_SECONDS = 5.0
MAX_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class Credit:
    """A key's account: `free_only` when it pays for nothing; `readings` count the free models' calls."""

    free_only: bool = False
    remaining_usd: str | None = None
    """None: no limit, or not told."""
    readings: tuple[Reading, ...] = ()


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
        return _credit(data, float(stored["at"])) if isinstance(data, Mapping) and data else None

    async def _fetch(self, router: Router, key: str) -> Any:
        """The `data` object of the answer, None when there was none: an account page never stops a request."""
        headers = {"authorization": f"Bearer {key}", "accept": "application/json"}
        try:
            with anyio.fail_after(FETCH_SECONDS):
                response = await self._client.send(WireRequest("GET", router.url + router.key_info, headers))
                try:
                    body = wire.loads(await response.read(MAX_BYTES))
                finally:
                    response.close()
        except (Unreachable, ValueError, TimeoutError):
            return None
        return body.get("data") if response.is_success and isinstance(body, Mapping) else None


def _credit(data: Mapping[str, Any], at: float) -> Credit:
    """OpenRouter, docs/api-reference/limits: `limit_remaining`, `is_free_tier`, `free_model_daily_requests`."""
    remaining = _money(data.get("limit_remaining"))
    free_only = data.get("is_free_tier") is True or (remaining is not None and remaining <= 0)
    daily = data.get("free_model_daily_requests")
    readings = (_daily(daily, at),) if isinstance(daily, Mapping) else ()
    return Credit(free_only, None if remaining is None else format(remaining, "f"), readings)


def _daily(told: Mapping[str, Any], at: float) -> Reading:
    """One counter for all free models of the account; it starts anew at midnight UTC."""
    midnight = datetime.combine(datetime.fromtimestamp(at, UTC).date() + timedelta(days=1), time.min, tzinfo=UTC)
    limit, remaining = (told.get(name) if isinstance(told.get(name), int) else None for name in ("limit", "remaining"))
    return Reading("requests", "day", limit, remaining, midnight.timestamp(), "key")


def _money(value: Any) -> Decimal | None:
    try:
        amount = None if value is None or isinstance(value, bool) else Decimal(str(value))
    except InvalidOperation:
        return None
    return amount if amount is not None and amount.is_finite() else None
