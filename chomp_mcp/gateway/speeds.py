"""How long routes take to their first token, as measured of late: kept in the store, for all processes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

from chomp_mcp.errors import StoreError
from chomp_mcp.messages import Route
from chomp_mcp.store.holds import SKEW_SECONDS
from chomp_mcp.store.kv.protocol import KV, Value, Write

__all__ = ["KEPT_SECONDS", "Speeds"]

_log = logging.getLogger("chomp_mcp.speeds")

KEPT_SECONDS = 6 * 3600.0
"""After that a route counts as never measured, and is tried again."""
_HALF_LIFE_SECONDS = 900.0
"""An old figure counts half as much after that, beside the newest, which always counts for a third at least."""
_NEWEST = 1 / 3


class Speeds:
    """`speed:{router}:{model}` -> `{"stream": [seconds, at], "whole": [seconds, at]}`; measured in groups by speed.

    An answer that is not streamed has no first token: then the whole counts, among its like.
    """

    def __init__(self, kv: KV, *, clock: Callable[[], float]) -> None:
        self._kv = kv
        self._clock = clock

    async def of(self, routes: Sequence[Route], *, stream: bool) -> list[float | None]:
        """Seconds, route by route; None: not measured of late."""
        now, kind = self._clock(), _kind(stream)
        stored = await self._kv.get_many([_name(route) for route in routes])
        found = [_current(value, kind, now) for value in stored]
        return [known[0] if known else None for known in found]

    async def measured(self, route: Route, seconds: float, *, stream: bool) -> None:
        """One more answer. What cannot be written is said in the log: the answer goes out."""
        now, kind = self._clock(), _kind(stream)

        def step(values: Sequence[Value | None]) -> Sequence[Write | None]:
            known = _current(values[0], kind, now)
            figure = max(0.0, seconds)
            if known:
                old, at = known
                weight = max(_NEWEST, 1 - 0.5 ** (max(0.0, now - at) / _HALF_LIFE_SECONDS))
                figure = old + (figure - old) * weight
            return [Write({**(values[0] or {}), kind: [figure, now]}, expires_in=KEPT_SECONDS)]

        try:
            await self._kv.update([_name(route)], step)
        except StoreError:
            _log.exception("the speed of %s could not be written", route.ref)


def _name(route: Route) -> str:
    return f"speed:{route.ref}"


def _kind(stream: bool) -> str:
    return "stream" if stream else "whole"


def _current(stored: Value | None, kind: str, now: float) -> tuple[float, float] | None:
    """Seconds, and when; a time that is ahead of us is none."""
    figure: Any = (stored or {}).get(kind)
    if not figure or not -SKEW_SECONDS <= now - float(figure[1]) < KEPT_SECONDS:
        return None
    return float(figure[0]), float(figure[1])
