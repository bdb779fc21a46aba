"""What an exchange leaves behind, written exactly once: money in the ledger, a report for the observers."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from dataclasses import dataclass

from chomp_mcp.gateway.bill import Booking
from chomp_mcp.gateway.receipt_log import ReceiptLog
from chomp_mcp.messages import Caller
from chomp_mcp.policy import budget
from chomp_mcp.store.holds import Hold
from chomp_mcp.store.ledger import Ledger
from chomp_mcp.store.tally import Settled
from chomp_mcp.telemetry.report import Observers, Report


@dataclass(frozen=True, slots=True)
class Settlement:
    """Writes the end of an exchange."""

    ledger: Ledger
    observers: Observers
    receipts: ReceiptLog
    """One of the observers; it is also told what was said, where that is kept."""

    def secure(self, hold: Hold | None) -> Awaitable[None]:
        """From here on the call's cost outlives this process, as an estimate at least."""
        return self.ledger.secure(hold)

    def written(self) -> Awaitable[None]:
        """What has been settled is in the store."""
        return self.ledger.written()

    def settle(self, caller: Caller, holds: Sequence[Hold], bookings: Sequence[Booking], report: Report) -> None:
        """Spend for all that a router answered, whole or cut, or is paid for; reservations back for nothing."""
        left = list(holds)
        for booking in bookings:
            cost = None if booking.cost_usd is None else budget.nano(booking.cost_usd)
            hold = left.pop(0) if left else None
            self.ledger.note(caller.id, Settled(hold, cost, booking.usage, booking.router))
        for hold in left:
            self.ledger.note(caller.id, Settled(hold))
        self.observers.exchange(report)
