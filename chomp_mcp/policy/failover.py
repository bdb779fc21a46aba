"""What follows from a failed attempt: the failure table of the design, row by row."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from chomp_mcp.messages import Failed, FailureKind, Route

__all__ = ["ACTIONS", "GONE_SECONDS", "Action", "next_index", "rest_until", "retry_wait"]

Next = Literal["route", "key", "stop", "larger", "if_free_choice"]
Rest = Literal["", "retry_after", "reset_or_hour", "until_replaced", "model_gone"]

HOUR = 3600.0
GONE_SECONDS = 6 * HOUR
"""How long a model counts as gone: routers retire models for good, but a list may lag behind a launch."""


@dataclass(frozen=True, slots=True)
class Action:
    """One row: retry here, where to go on, whose fault it is for the breaker, what rests and for how long."""

    retry_same: bool
    next: Next
    counts_for_breaker: bool
    rest: Rest = ""
    """What rests: the key (retry_after, reset_or_hour, until_replaced) or the model (model_gone)."""


ACTIONS: Mapping[FailureKind, Action] = {
    #                                 retry_same  next            breaker  rest
    FailureKind.TRANSIENT: Action(True, "route", True),
    FailureKind.TIMEOUT: Action(False, "route", True),
    FailureKind.RATE_LIMITED: Action(False, "key", False, "retry_after"),
    FailureKind.QUOTA: Action(False, "key", False, "reset_or_hour"),
    FailureKind.BAD_KEY: Action(False, "key", False, "until_replaced"),
    FailureKind.NO_SUCH_MODEL: Action(False, "if_free_choice", False, "model_gone"),
    FailureKind.TOO_LONG: Action(False, "larger", False),
    FailureKind.CALLER_FAULT: Action(False, "stop", False),
    FailureKind.CUT: Action(False, "stop", True),
    FailureKind.HUNG_UP: Action(False, "stop", False),
}


def next_index(routes: Sequence[Route], index: int, kind: FailureKind, free_choice: bool) -> int | None:
    """The next try after `routes[index]` failed with `kind`, None when the plan ends here.

    Never goes back, so every plan ends. The keys of one router and model stand side by side in a plan: "key" takes the
    next of them, then the next route; "route" leaves them out, since the failure was not the key's.
    """
    step = ACTIONS[kind].next
    if step == "if_free_choice" and not free_choice:
        return None
    suits = _SUITS[step]
    return next((i for i in range(index + 1, len(routes)) if suits(routes[index], routes[i])), None)


def _is_elsewhere(failed: Route, route: Route) -> bool:
    """Another router or another model."""
    return (route.router.id, route.model) != (failed.router.id, failed.model)


def _is_another_key(failed: Route, route: Route) -> bool:
    return _is_elsewhere(failed, route) or route.key != failed.key


def _is_larger(failed: Route, route: Route) -> bool:
    """Its context is known, and larger than the failed one's where that is known; keys make no difference."""
    return _is_elsewhere(failed, route) and _context(route) > _context(failed)


def _context(route: Route) -> int:
    return (route.listed.context_length or 0) if route.listed else 0


def _never(_failed: Route, _route: Route) -> bool:
    return False


_SUITS: Mapping[Next, Callable[[Route, Route], bool]] = {
    "route": _is_elsewhere,
    "if_free_choice": _is_elsewhere,
    "key": _is_another_key,
    "larger": _is_larger,
    "stop": _never,
}

_REST_SECONDS: Mapping[Rest, float] = {
    "retry_after": 60.0,  # most free limits count by the minute
    "reset_or_hour": HOUR,
    "until_replaced": 24 * HOUR,  # a replaced key has another key_id; a mended account is found again next day
    "model_gone": GONE_SECONDS,
}
_TOLD: frozenset[Rest] = frozenset({"retry_after", "reset_or_hour"})
_SHORTEST_REST, _LONGEST_REST = 1.0, 24 * HOUR


def rest_until(failed: Failed, now: float) -> float | None:
    """Until when the key (or the model, see `Action.rest`) rests; None: nothing rests.

    What the router told is believed between one second (a Retry-After of milliseconds brings storms) and a day (a
    wrong one must not freeze a key for weeks; one wasted call a day is the price).
    """
    rest = ACTIONS[failed.kind].rest
    if not rest:
        return None
    if rest in _TOLD and failed.retry_after is not None:
        return now + min(max(failed.retry_after, _SHORTEST_REST), _LONGEST_REST)
    return now + _REST_SECONDS[rest]


_SHORT_SECONDS = 2.0
_RETRY_SECONDS = (0.1, 0.4)
"""The least wait before a retry, and what jitter adds at most."""


def retry_wait(failed: Failed, jitter: float) -> float | None:
    """Seconds (at most 2) until the same route is tried once more; None: do not. `jitter` is random, from 0 to 1."""
    told = failed.retry_after or 0.0
    if not ACTIONS[failed.kind].retry_same or told > _SHORT_SECONDS:
        return None
    least, spread = _RETRY_SECONDS
    return max(told, least + spread * jitter)
