"""The only refusals before a router is called: the rate limit, and the budget's reservation."""

from __future__ import annotations

import math
from dataclasses import replace

import anyio

from chomp_mcp.errors import BudgetExceeded, RateLimited, StoreAway
from chomp_mcp.gateway.prices import Prices
from chomp_mcp.messages import Caller, ChatRequest, Plan, Route
from chomp_mcp.policy import budget
from chomp_mcp.policy.budget import Limits
from chomp_mcp.policy.estimate import most_input
from chomp_mcp.policy.grants import UNLIMITED, Grant, within
from chomp_mcp.policy.rate_limit import Rate
from chomp_mcp.store.holds import Hold
from chomp_mcp.store.ledger import Ledger
from chomp_mcp.store.rates import Rates

QUEUED_BURSTS = 5
MOST_WAITING_SECONDS = 10.0
"""In line for the rate limit; clients wait longer than that for their first token."""


class Admission:
    """Lets a request in, or says when to come back."""

    def __init__(self, ledger: Ledger, prices: Prices, limits: Limits, rates: Rates, *, rps: float, burst: int) -> None:
        self.limits = limits
        self._ledger = ledger
        self._prices = prices
        self._rates = rates
        # Programs send fifty calls at once (`asyncio.gather`, LangChain's `abatch`) and few of them come back after a
        # refusal: some times the burst may wait in line. A burst of one says that nothing may.
        patience = min(MOST_WAITING_SECONDS, QUEUED_BURSTS * (burst - 1) / rps) if rps > 0 else 0.0
        self._rate = Rate(rps, burst, patience)

    async def let_in(self, caller: Caller) -> None:
        """Wait for the caller's turn, if there is one soon; `RateLimited` otherwise. Only callers over HTTP count."""
        if not caller.limited or (rate := self._rate_of(caller)).rps <= 0:
            return
        wait = await self._rates.take(caller.id, rate)
        if wait > rate.patience:
            raise _too_fast(caller, rate, wait)
        if wait:
            await anyio.sleep(wait)

    def refuse_early(self, caller: Caller) -> None:
        """`RateLimited` where the caller's next request is certainly refused; takes nothing, waits for nobody."""
        rate = self._rate_of(caller)
        if caller.limited and rate.rps > 0 and (wait := self._rates.refused_for(caller.id, rate)):
            raise _too_fast(caller, rate, wait)

    def _rate_of(self, caller: Caller) -> Rate:
        """Of a token's own rate a second is the burst, and nobody waits in line."""
        if caller.rps is None or 0 < self._rate.rps <= caller.rps:
            return self._rate
        return Rate(caller.rps, max(1, math.ceil(caller.rps)))

    async def reserve(
        self, caller: Caller, request: ChatRequest, plan: Plan, grant: Grant = UNLIMITED
    ) -> tuple[Plan, Hold | None]:
        """Hold the most that the plan may cost; a used-up budget leaves the free routes alone, or `BudgetExceeded`."""
        if not [route for route in plan.routes if not route.router.free]:
            return plan, None
        await self._prices.load(plan.routes)
        said = request.said
        tokens = most_input(said)
        estimates = [self._prices.estimate(route, said, tokens) for route in plan.routes]
        dearest, least_usd, likely_usd, _ = map(max, zip(*estimates, strict=True))
        most, least, likely = budget.nano(dearest), budget.nano(least_usd), budget.nano(likely_usd)
        if most == 0:
            return plan, None
        limits = within(self.limits, grant)
        try:
            return plan, await self._ledger.reserve(caller.id, most, limits, least=least, likely=likely)
        except (BudgetExceeded, StoreAway) as error:
            free = tuple(route for route, each in zip(plan.routes, estimates, strict=True) if each.is_free)
            if not free:
                raise
            is_known = isinstance(error, BudgetExceeded)
            note = f"the budget is {'used up' if is_known else 'not known'}: free models only"
            return replace(plan, routes=free, notes=(*plan.notes, note)), None

    async def reserve_beside(self, caller: Caller, request: ChatRequest, route: Route, grant: Grant) -> Hold | None:
        """Hold the most that one more call, on this route, may cost, if any; `BudgetExceeded`: no room for both."""
        estimate = self._prices.estimate(route, request.said, most_input(request.said))
        most, likely = budget.nano(estimate.most), budget.nano(estimate.likely)
        if most == 0:
            return None
        return await self._ledger.reserve(caller.id, most, within(self.limits, grant), likely=likely)


def _too_fast(caller: Caller, rate: Rate, wait: float) -> RateLimited:
    mend = "ask the owner for more" if caller.rps else "raise GATEWAY_RATE_RPS and GATEWAY_RATE_BURST"
    why = f"More than {rate.rps:g} requests a second."
    return RateLimited(why, hint=f"Wait {math.ceil(wait)} s, or {mend}.", retry_after=wait)
