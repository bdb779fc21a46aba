"""The circuit breaker of a router: closed, open, half-open with exactly one probe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

Position = Literal["closed", "open", "half_open"]

PROBE_RESETS = 2
"""A probe that never reports back (its process was killed) holds its place for this many reset times."""


@dataclass(frozen=True, slots=True)
class BreakerRules:
    """`threshold` failures in a row open it; after `reset_seconds` one probe may try."""

    threshold: int = 3
    reset_seconds: float = 60.0


@dataclass(frozen=True, slots=True)
class BreakerState:
    """Where a router's breaker stands; times are epoch seconds, 0.0 when they mean nothing."""

    state: Position = "closed"
    failures: int = 0
    """Failures in a row."""
    opened_at: float = 0.0
    probe_until: float = 0.0
    """Half-open: the probe's place is taken until then."""

    @classmethod
    def from_value(cls, value: Mapping[str, Any] | None) -> BreakerState:
        """What is stored of one as a dictionary; nothing, or something of another shape, is a closed breaker."""
        if not value or value.get("state") not in get_args(Position):
            return CLOSED
        try:
            opened_at, probe_until = float(value.get("opened_at", 0.0)), float(value.get("probe_until", 0.0))
            return cls(value["state"], int(value.get("failures", 0)), opened_at, probe_until)
        except (TypeError, ValueError, OverflowError):
            return CLOSED


CLOSED = BreakerState()


def allows(state: BreakerState, now: float, settings: BreakerRules) -> tuple[bool, BreakerState]:
    """May a request pass, and the state to store before it is sent.

    Past the reset time an open breaker turns half-open and lets exactly one probe pass; everybody else waits for its
    verdict, or until the probe has been silent for `PROBE_RESETS` reset times. The state comes back as the same object
    where nothing changed.
    """
    if state.state == "closed":
        return True, state
    # A clock that was turned back cannot keep a breaker open: times too far ahead count as past.
    is_waiting = 0 < state.probe_until - now <= PROBE_RESETS * settings.reset_seconds
    if state.state == "open":
        is_waiting = abs(now - state.opened_at) < settings.reset_seconds
    if is_waiting:
        return False, state
    return True, replace(state, state="half_open", probe_until=now + PROBE_RESETS * settings.reset_seconds)


def after_success(state: BreakerState) -> BreakerState:
    """Closed, with the failures forgotten; the same object if it was so already."""
    return state if state == CLOSED else CLOSED


def after_failure(state: BreakerState, now: float, settings: BreakerRules) -> BreakerState:
    """One more failure: opens at the threshold, or at once when a probe failed."""
    if state.state == "open":
        return state  # it was sent before: such failures would push the reset away
    failures = state.failures + 1
    if state.state == "half_open" or failures >= settings.threshold:
        return BreakerState("open", failures, opened_at=now)
    return replace(state, failures=failures)


def after_release(state: BreakerState) -> BreakerState:
    """The request ended without a verdict on the router (the caller hung up, a 429): a probe's place is free again."""
    return replace(state, probe_until=0.0) if state.state == "half_open" else state


def open_until(state: BreakerState, settings: BreakerRules) -> float | None:
    """When the next probe may pass, None for a closed breaker."""
    ends = {"open": state.opened_at + settings.reset_seconds, "half_open": state.probe_until}
    return ends.get(state.state)
