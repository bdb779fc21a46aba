"""In which order the routes of a group are tried: by cost, by what is left, by speed, or by a weighted chance."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal

from chomp_mcp.messages import Route
from chomp_mcp.policy.capability import is_able
from chomp_mcp.policy.quota import Reading

Rank = tuple[float | Decimal, ...]

_WINDOWS: Mapping[str, int] = {"": 0, "minute": 1, "hour": 2, "day": 3}
_MINUTE = 60.0


def ranked(routes: Iterable[Route], needs: frozenset[str], rank: Callable[[Route], Rank]) -> tuple[Route, ...]:
    """The lowest rank first, those of one rank as they were; who is known to do what is needed before the others."""

    def place(route: Route) -> tuple[bool, Rank]:
        is_known = is_able(needs, route.router, route.model, route.listed, {}) is True
        return not is_known, rank(route)

    return tuple(sorted(routes, key=place))


def by_cost(usd: Decimal | None) -> Rank:
    """What the call will probably cost; an unknown price comes last."""
    return (1, 0) if usd is None else (0, usd)


def by_quota(readings: Sequence[Reading], now: float) -> Rank:
    """What would expire unused first, to the minute, then where most is left; unknown comes later, used up last."""
    live = _live(readings, now)
    if not live:
        return (1, 0.0, 0.0)
    # What expires is the longest of the limits: minutes always expire first, and say nothing.
    longest = max(live, key=lambda reading: _WINDOWS[reading.window])
    share = share_left(live, now)
    expires = math.inf if longest.resets_at is None else longest.resets_at // _MINUTE
    return (0 if share else 2, expires, -share)


def share_left(readings: Sequence[Reading], now: float) -> float:
    """From 0 to 1, of the limit that is closest to its end; 1 where nobody knows."""
    shares = [
        1.0 if reading.remaining and not reading.limit else min(1.0, (reading.remaining or 0) / (reading.limit or 1))
        for reading in _live(readings, now)
    ]
    return min(shares, default=1.0)


def _live(readings: Iterable[Reading], now: float) -> list[Reading]:
    """Those that tell what is left and have not been reset since."""
    return [r for r in readings if r.remaining is not None and (r.resets_at is None or r.resets_at > now)]


def by_speed(seconds: float | None, tokens_per_second: float | None = None, tokens: int = 0) -> Rank:
    """Who was never measured is tried first, once, or nobody would ever know; then who is soonest at the answer's end.

    `tokens` is how long the answer will be; where nobody knows how fast they come, its beginning counts alone.
    """
    if seconds is None:
        return (0, 0.0)
    return (1, seconds + tokens / tokens_per_second if tokens_per_second else seconds)


def by_spread(share: float, chance: float) -> Rank:
    """A weighted shuffle (Efraimidis and Spirakis, 2006); `chance` is random, from 0 to 1; nothing left comes last."""
    if share <= 0:
        return (1, 0.0)
    return (0, -math.log(max(chance, 1e-300)) / share)
