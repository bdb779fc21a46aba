"""What an exchange leaves behind, written exactly once: money in the ledger, a report for the observers."""

from __future__ import annotations

from dataclasses import dataclass

from chomp_mcp.messages import Caller, Route
from chomp_mcp.policy import budget
from chomp_mcp.store.ledger import Hold, Ledger, Settled
from chomp_mcp.telemetry.report import Observers, Report

__all__ = ["Settlement"]


@dataclass(frozen=True, slots=True)
class Settlement:
    """Writes the end of an exchange."""

    ledger: Ledger
    observers: Observers

    def settle(self, caller: Caller, hold: Hold | None, route: Route | None, report: Report) -> None:
        """Spend for an answer, whole or cut; the reservation back for none. The report goes out in both cases."""
        if route is not None:
            receipt = report.receipt
            cost = None if receipt.cost_usd is None else budget.micro(receipt.cost_usd)
            self.ledger.note(caller.id, Settled(hold, cost, receipt.usage, route.router.id))
        elif hold is not None:
            self.ledger.note(caller.id, Settled(hold))
        self.observers.exchange(report)
