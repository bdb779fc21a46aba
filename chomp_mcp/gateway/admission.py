"""The only refusals before a router is called: the rate limit, and the budget's reservation."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace

import anyio

from chomp_mcp.errors import BudgetExceeded, RateLimited
from chomp_mcp.gateway.prices import Prices
from chomp_mcp.messages import Caller, ChatRequest, Plan, Route
from chomp_mcp.policy import budget, rate_limit
from chomp_mcp.policy.budget import Limits
from chomp_mcp.policy.grants import UNLIMITED, Grant, within
from chomp_mcp.policy.rate_limit import Bucket
from chomp_mcp.store.ledger import Hold, Ledger

__all__ = ["Admission"]

MOST_BUCKETS = 10_000
QUEUED_BURSTS = 5
MOST_WAITING_SECONDS = 10.0
"""In line for the rate limit; clients wait longer than that for their first token."""


class Admission:
    """Lets a request in, or says when to come back."""

    def __init__(
        self,
        ledger: Ledger,
        prices: Prices,
        limits: Limits,
        *,
        rps: float,
        burst: int,
        clock: Callable[[], float],
    ) -> None:
        self.limits = limits
        self._ledger = ledger
        self._prices = prices
        self._rps = rps
        self._burst = burst
        self._patience = min(MOST_WAITING_SECONDS, QUEUED_BURSTS * (burst - 1) / rps) if rps > 0 else 0.0
        self._clock = clock
        self._buckets: OrderedDict[str, Bucket] = OrderedDict()

    async def let_in(self, caller: Caller) -> None:
        """Wait for the caller's turn, where there is one soon; `RateLimited` otherwise."""
        wait = self.check_rate(caller)
        if wait:
            await anyio.sleep(wait)

    def check_rate(self, caller: Caller, *, takes: bool = True) -> float:
        """How long the caller waits for its turn; `RateLimited` when that is too long. Only callers over HTTP count.

        Programs send fifty calls at once (`asyncio.gather`, LangChain's `abatch`) and few of them come back after a
        refusal: some times the burst may wait in line. A burst of one says that nothing may.
        `takes`: the request counts from here on; else it is only asked whether it would be refused.
        """
        rps, burst, patience = self._rate_of(caller)
        if not caller.limited or rps <= 0:
            return 0.0
        now = self._clock()
        bucket = self._buckets.get(caller.id) or rate_limit.full(now, burst)
        bucket, wait = rate_limit.take(bucket, now, rps, burst, patience)
        if takes:
            self._buckets[caller.id] = bucket
            self._buckets.move_to_end(caller.id)
            if len(self._buckets) > MOST_BUCKETS:
                self._buckets.popitem(last=False)
        if wait > patience:
            mend = "ask the owner for more" if caller.rps else "raise GATEWAY_RATE_RPS and GATEWAY_RATE_BURST"
            raise RateLimited(
                f"More than {rps:g} requests a second.",
                hint=f"Wait {math.ceil(wait)} s, or {mend}.",
                retry_after=wait,
            )
        return wait

    def _rate_of(self, caller: Caller) -> tuple[float, int, float]:
        """Requests a second, the burst, and how long to wait in line; of a token's own rate a second is the burst."""
        if caller.rps is None or 0 < self._rps <= caller.rps:
            return self._rps, self._burst, self._patience
        return caller.rps, max(1, math.ceil(caller.rps)), 0.0

    async def reserve(
        self, caller: Caller, request: ChatRequest, plan: Plan, grant: Grant = UNLIMITED
    ) -> tuple[Plan, Hold | None]:
        """Hold the most that the plan may cost. With the budget used up only its free routes are left.

        Raises:
            BudgetExceeded: not even a free route is left.
        """
        if all(route.router.free for route in plan.routes):
            return plan, None
        await self._prices.load(plan.routes)
        estimates = [(route, self._prices.estimate(route, request.body)) for route in plan.routes]
        most, least, likely = (
            max(budget.nano(getattr(each, name)) for _, each in estimates) for name in ("most", "least", "likely")
        )
        if most == 0:
            return plan, None
        try:
            return plan, await self._ledger.reserve(
                caller.id, most, within(self.limits, grant), least=least, likely=likely
            )
        except BudgetExceeded:
            free = tuple(route for route, estimate in estimates if estimate.is_free)
            if not free:
                raise
            note = "the budget is used up: free models only"
            return replace(plan, routes=free, notes=(*plan.notes, note)), None

    async def reserve_beside(self, caller: Caller, request: ChatRequest, route: Route, grant: Grant) -> Hold | None:
        """Hold the most that one more call, on this route, may cost; None: nothing.

        Raises:
            BudgetExceeded: there is no room beside what is held already.
        """
        estimate = self._prices.estimate(route, request.body)
        most, likely = budget.nano(estimate.most), budget.nano(estimate.likely)
        if most == 0:
            return None
        return await self._ledger.reserve(caller.id, most, within(self.limits, grant), likely=likely)
