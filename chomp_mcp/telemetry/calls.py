"""Calls and failovers since the start of this process, each caller's and all together."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Mapping
from typing import Any

from chomp_mcp.messages import Caller
from chomp_mcp.telemetry.report import NO_FAILURES, SHOWN_CALLER, Report, Transition

MOST_CALLERS = 4096
"""Whose calls are counted apart; who has asked nothing for the longest time starts again."""


class Calls:
    """An observer that counts since the start of this process: each caller's exchanges, and all of them together."""

    def __init__(self) -> None:
        self._all = Counts()
        self._of: OrderedDict[str, Counts] = OrderedDict()

    def exchange(self, report: Report) -> None:
        self._all.add(report)
        counts = self._of.get(report.caller_id)
        if counts is None:
            counts = self._of[report.caller_id] = Counts()
            if len(self._of) > MOST_CALLERS:
                self._of.popitem(last=False)
        self._of.move_to_end(report.caller_id)
        counts.add(report)

    def transition(self, transition: Transition) -> None:
        """Breakers are read as they stand."""

    def of(self, caller: Caller) -> Counts:
        """What the caller may see: the owner everything, everybody else their own."""
        return self._all if caller.is_owner else self._of.get(caller.id[:SHOWN_CALLER]) or Counts()


class Counts:
    """Exchanges that reached a router, and their attempts."""

    def __init__(self) -> None:
        self._exchanges = 0
        self._failovers = 0
        self._calls: Counter[str] = Counter()
        self._failures: Counter[str] = Counter()

    def add(self, report: Report) -> None:
        attempts = report.receipt.attempts
        for attempt in attempts:
            self._calls[attempt.router] += 1
            self._failures[attempt.router] += attempt.outcome not in NO_FAILURES
        self._exchanges += bool(attempts)
        if len(attempts) > 1:
            self._failovers += len({(attempt.router, attempt.model) for attempt in attempts}) - 1

    def totals(self) -> dict[str, int]:
        return {"total_calls": self._exchanges, "failovers": self._failovers}

    def beside(self, routers: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
        """The counts of each router in front of what else is known of it."""
        return {
            router: {"calls": self._calls[router], "failures": self._failures[router], **known}
            for router, known in routers.items()
        }
