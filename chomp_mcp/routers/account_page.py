"""A router's account page: what a key has left by the router's own word (OpenRouter's `GET /key`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

from chomp_mcp.messages import Router, WireRequest
from chomp_mcp.policy.quota import Reading


@dataclass(frozen=True, slots=True)
class Credit:
    """A key's account: `free_only` when it pays for nothing; `readings` count the free models' calls."""

    free_only: bool = False
    remaining_usd: str | None = None
    """None: no limit, or not told."""
    readings: tuple[Reading, ...] = ()


def page_of(router: Router, key: str) -> WireRequest:
    """The question for it."""
    headers = {"authorization": f"Bearer {key}", "accept": "application/json"}
    return WireRequest("GET", router.url + router.key_info, headers)


def credit(data: Mapping[str, Any], at: float) -> Credit:
    """OpenRouter, docs/api-reference/limits: `limit_remaining`, `is_free_tier`, `free_model_daily_requests`."""
    try:
        told = data.get("limit_remaining")
        remaining = None if told is None or isinstance(told, bool) else Decimal(str(told))
    except InvalidOperation:
        remaining = None
    if remaining is not None and not remaining.is_finite():
        remaining = None
    free_only = data.get("is_free_tier") is True or (remaining is not None and remaining <= 0)
    daily = data.get("free_model_daily_requests")
    readings: tuple[Reading, ...] = ()
    if isinstance(daily, Mapping):
        # One counter for all free models of the account; it starts anew at midnight UTC.
        midnight = datetime.combine(datetime.fromtimestamp(at, UTC).date() + timedelta(days=1), time.min, tzinfo=UTC)
        limit, left = (daily[name] if isinstance(daily.get(name), int) else None for name in ("limit", "remaining"))
        readings = (Reading("requests", "day", limit, left, midnight.timestamp(), "key"),)
    return Credit(free_only, None if remaining is None else format(remaining, "f"), readings)
