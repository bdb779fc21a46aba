"""How quick routes are, as measured of late: kept in the store, for all processes, what is old counting less."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from chomp_mcp.messages import Route
from chomp_mcp.store.holds import SKEW_SECONDS
from chomp_mcp.store.kv.lenient import unwritten_is_logged
from chomp_mcp.store.kv.protocol import KV, Value, Write

_log = logging.getLogger("chomp_mcp.speeds")

KEPT_SECONDS = 6 * 3600.0
"""After that a route counts as never measured, and is tried again."""
_HALF_LIFE_SECONDS = 900.0
"""An old figure counts half as much after that, beside the newest, which always counts for a third at least."""
_NEWEST = 1 / 3


@dataclass(frozen=True, slots=True)
class Speed:
    """One route's figures; None: not measured of late."""

    seconds: float | None = None
    """To the first token of a stream, or for a whole answer."""
    usual_seconds: float | None = None
    """The same without its outliers: one hiccup moves it by two thirds at most."""
    tokens_per_second: float | None = None
    """From the first token on."""


class Speeds:
    """`speed:{router}/{model}` -> `{"stream": [seconds, at, usual], "whole": the same, "rate": [tokens a second, at]}`.

    Measured where a group reads it. An answer that is not streamed has no first token: then the whole counts, among
    its like.
    """

    def __init__(self, kv: KV, *, clock: Callable[[], float]) -> None:
        self._kv = kv
        self._clock = clock

    async def of(self, routes: Sequence[Route], *, stream: bool) -> list[Speed]:
        """Route by route."""
        now, found = self._clock(), []
        for stored in await self._kv.get_many([_name(route) for route in routes]):
            rate = (_figures(stored, "rate", now) or (None,))[0]
            begun = _figures(stored, "stream" if stream else "whole", now) or (None, now, None)
            usual = begun[2] if len(begun) > 2 else begun[0]  # noqa: PLR2004 - an older version wrote two
            found.append(Speed(begun[0], usual, rate))
        return found

    async def measured(self, route: Route, seconds: float, *, stream: bool, is_least: bool = False) -> None:
        """One more answer began, or `is_least`: had not begun after so long, and was given up."""
        kind, seconds = "stream" if stream else "whole", max(0.0, seconds)

        def fold(stored: Value, now: float) -> Value:
            old = _figures(stored, kind, now)
            if not old:
                return {kind: [seconds, now, None if is_least else seconds]}
            if is_least and seconds <= old[0]:
                return {}  # it was not late yet
            weight = _weight(old[1], now)
            usual = old[2] if len(old) > 2 else old[0]  # noqa: PLR2004 - an older version wrote two
            if usual is None:
                usual = None if is_least else seconds
            else:
                usual += (min(seconds, _MOST_TIMES * usual) - usual) * weight
            return {kind: [old[0] + (seconds - old[0]) * weight, now, usual]}

        await self._update(route, fold)

    async def generated(self, route: Route, tokens: int, seconds: float) -> None:
        """A stream of so many tokens took so long from its first one on; short ones say nothing."""
        if tokens < _FEWEST_TOKENS:
            return
        rate = tokens / max(seconds, _SHORTEST_SECONDS)

        def fold(stored: Value, now: float) -> Value:
            old = _figures(stored, "rate", now)
            return {"rate": [old[0] + (rate - old[0]) * _weight(old[1], now) if old else rate, now]}

        await self._update(route, fold)

    async def _update(self, route: Route, fold: Callable[[Value, float], Value]) -> None:
        now = self._clock()

        def step(values: Sequence[Value | None]) -> Sequence[Write | None]:
            stored = values[0] or {}
            return [Write({**stored, **fold(stored, now)}, expires_in=KEPT_SECONDS)]

        with unwritten_is_logged(_log, "the speed of %s could not be written", route.ref):
            await self._kv.update([_name(route)], step)


_MOST_TIMES = 3
"""So many times the usual counts as no more than that: a stall is not what is usual."""
_FEWEST_TOKENS = 16
_SHORTEST_SECONDS = 0.001


def _name(route: Route) -> str:
    return f"speed:{route.ref}"


def _weight(at: float, now: float) -> float:
    """What the newest figure counts beside one of `at`."""
    return max(_NEWEST, 1 - math.exp2(-max(0.0, now - at) / _HALF_LIFE_SECONDS))


def _figures(stored: Value | None, kind: str, now: float) -> list[Any] | None:
    """What is stored, if it is of late; a time that is ahead of us is none."""
    figures: Any = (stored or {}).get(kind)
    return figures if figures and -SKEW_SECONDS <= now - float(figures[1]) < KEPT_SECONDS else None
