"""What follows from a failed attempt: the failure table of the design, row by row."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from chomp_mcp.messages import Failed, FailureKind, Route
from chomp_mcp.policy.capability import limit_of

Next = Literal["route", "key", "stop", "larger", "if_free_choice"]
Rest = Literal["", "retry_after", "reset_or_hour", "key_refused", "model_refused", "model_gone"]

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
    """For how long: what the router told, or our own figure. What rests says the gateway's health."""


ACTIONS: Mapping[FailureKind, Action] = {
    #                                 retry_same  next            breaker  rest
    FailureKind.TRANSIENT: Action(True, "route", True),
    FailureKind.TIMEOUT: Action(False, "route", True),
    FailureKind.RATE_LIMITED: Action(False, "key", False, "retry_after"),
    FailureKind.QUOTA: Action(False, "key", False, "reset_or_hour"),
    FailureKind.BAD_KEY: Action(False, "key", False, "key_refused"),
    FailureKind.REFUSED_HERE: Action(False, "key", False, "model_refused"),
    FailureKind.NO_SUCH_MODEL: Action(False, "if_free_choice", False, "model_gone"),
    FailureKind.TOO_LONG: Action(False, "larger", False),
    FailureKind.NOT_TAKEN: Action(False, "route", False),
    FailureKind.CALLER_FAULT: Action(False, "stop", False),
    FailureKind.NOT_CAPABLE: Action(False, "route", False),
    FailureKind.CUT: Action(False, "stop", True),
    FailureKind.LOCAL: Action(False, "route", False),
    FailureKind.HUNG_UP: Action(False, "stop", False),
}


def suitable(routes: Sequence[Route], index: int, kind: FailureKind, free_choice: bool) -> Iterator[int]:
    """All places where the request may go on after `routes[index]` failed with `kind`; none: the plan ends here.

    Never goes back, so every plan ends. The keys of one router and model stand side by side in a plan: "key" takes the
    next of them, then the next route; "route" leaves them out, since the failure was not the key's.
    """
    step = ACTIONS[kind].next
    if step != "if_free_choice" or free_choice:
        suits = _SUITS[step]
        yield from (i for i in range(index + 1, len(routes)) if suits(routes[index], routes[i]))


def _is_elsewhere(failed: Route, route: Route) -> bool:
    """Another router or another model."""
    return (route.router.id, route.model) != (failed.router.id, failed.model)


_SUITS: Mapping[Next, Callable[[Route, Route], bool]] = {
    "route": _is_elsewhere,
    "if_free_choice": _is_elsewhere,
    "key": lambda failed, route: _is_elsewhere(failed, route) or route.key != failed.key,
    # Its context is known, and larger than the failed one's where that is known; keys make no difference.
    "larger": lambda failed, route: (
        _is_elsewhere(failed, route)
        and (limit_of(route, "context_length") or 0) > (limit_of(failed, "context_length") or 0)
    ),
    "stop": lambda _failed, _route: False,
}

_REST_SECONDS: Mapping[Rest, float] = {
    "retry_after": 60.0,  # most free limits count by the minute
    "reset_or_hour": HOUR,
    "key_refused": 60.0,  # valid keys are refused for a minute or two, too (opencode #14252): once more, then a day
    "model_refused": 300.0,
    "model_gone": GONE_SECONDS,
}
KEY_REFUSED_AGAIN_SECONDS = 24 * HOUR
"""Of a key that was refused again after its first rest. A replaced key has another key_id; a mended account is found
again next day."""
_REASONLESS_SECONDS = 60.0
"""A 401 or 403 without a word of why is over in a minute, or comes again."""
_TOLD: frozenset[Rest] = frozenset({"retry_after", "reset_or_hour"})
_SHORTEST_REST, LONGEST_REST_SECONDS = 1.0, 24 * HOUR


def rest_seconds(failed: Failed, *, refused_before: bool = False) -> float | None:
    """How long the key or the model rests; None: neither does. `refused_before`: the key had its first rest already."""
    rest = ACTIONS[failed.kind].rest
    if not rest:
        return None
    # What the router told is believed between one second (a Retry-After of milliseconds brings storms) and a day (a
    # wrong one must not freeze a key for weeks; one wasted call a day is the price).
    if rest in _TOLD and failed.retry_after is not None:
        return min(max(failed.retry_after, _SHORTEST_REST), LONGEST_REST_SECONDS)
    if rest == "key_refused" and refused_before:
        return KEY_REFUSED_AGAIN_SECONDS
    if rest == "model_refused" and not failed.why:
        return _REASONLESS_SECONDS
    return _REST_SECONDS[rest]


def duration(seconds: float) -> str:
    """A wait in words: `56 s`, `12 min`, `3 h`."""
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds > 2 * size:
            return f"{math.ceil(seconds / size)} {unit}"
    return f"{math.ceil(seconds)} s"


_SHORT_SECONDS = 2.0
_RETRY_SECONDS = (0.1, 0.4)
"""The least wait before a retry, and what jitter adds at most."""


def retry_wait(failed: Failed, jitter: float) -> float | None:
    """Seconds (at most 2) until the same route is tried once more; None: do not. `jitter` is random, from 0 to 1."""
    retry_after = failed.retry_after or 0.0
    if not ACTIONS[failed.kind].retry_same or failed.resent or retry_after > _SHORT_SECONDS:
        return None
    least, spread = _RETRY_SECONDS
    return max(retry_after, least + spread * jitter)
