"""The order of a group's routes for this request: what they cost now, what their keys have left, how quick they are."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from chomp_mcp.gateway.health import Health
from chomp_mcp.gateway.prices import Prices
from chomp_mcp.messages import ChatRequest, Order, Plan, Route
from chomp_mcp.policy import estimate, order, pricing
from chomp_mcp.policy.quota import Reading

MOST_TRIES = 32
"""Routes of a group that one request may try."""

Ranks = Sequence[tuple[order.Rank, str]]
"""Route by route: its rank, and why, in words."""


@dataclass(frozen=True, slots=True)
class Orders:
    """Asked for each request to a group, after what is gone and who cannot are left out."""

    prices: Prices
    health: Health
    clock: Callable[[], float]

    async def arranged(self, plan: Plan, request: ChatRequest) -> Plan:
        if plan.group is None:
            return plan
        if plan.group.order == "listed":
            return replace(plan, routes=plan.routes[:MOST_TRIES]) if len(plan.routes) > MOST_TRIES else plan
        ranks = await self._ranks(plan.group.order, plan.routes, request)
        by_route = {id(route): rank for route, (rank, _) in zip(plan.routes, ranks, strict=True)}
        routes = order.ranked(plan.routes, plan.needs, lambda route: by_route[id(route)])
        return replace(plan, routes=routes[:MOST_TRIES])

    async def reasons(self, plan: Plan, request: ChatRequest) -> list[str]:
        """Why each route stands where it does, as far as the group's order says."""
        if plan.group is None:
            return ["" for _ in plan.routes]
        if plan.group.order == "listed":
            return [f"as listed in the group {plan.group.name}" for _ in plan.routes]
        return [why for _, why in await self._ranks(plan.group.order, plan.routes, request)]

    async def _ranks(self, by: Order, routes: Sequence[Route], request: ChatRequest) -> Ranks:
        if by == "cost":
            await self.prices.load(routes)
            usage = estimate.likely_usage(request.said, None)
            prices = [self.prices.of(route) for route in routes]
            costs = [None if price is None else pricing.cost(price, usage) for price in prices]
            return [(order.by_cost(usd), "its price is unknown" if usd is None else f"about ${usd:f}") for usd in costs]
        if by == "speed":
            asked = estimate.asked_output(request.said, None) or _USUAL_TOKENS
            tokens = min(asked, _USUAL_TOKENS) if request.stream else 0  # a whole answer's figure holds them already
            speeds = await self.health.speeds.of(routes, stream=request.stream)
            found = []
            for speed in speeds:
                why, rate = "not measured yet", speed.tokens_per_second
                if speed.seconds is not None:
                    why = f"{speed.seconds:.2f} s {'to the first token' if request.stream else 'for a whole answer'}"
                    why += f", {rate:.0f} tokens a second" if rate else ""
                found.append((order.by_speed(speed.seconds, rate, tokens), why))
            return found
        now, readings = self.clock(), await self.health.readings(routes)
        if by == "quota":
            return [(order.by_quota(few, now), _left(few, now)) for few in readings]
        return [
            (order.by_spread(order.share_left(few, now), random.random()), f"by chance, {_left(few, now)}")  # noqa: S311 - no secret
            for few in readings
        ]


_USUAL_TOKENS = 500
"""Of an answer, where its limit is not lower."""


def _left(readings: Sequence[Reading], now: float) -> str:
    is_known = any(reading.remaining is not None for reading in readings)
    return f"{order.share_left(readings, now):.0%} left" if is_known else "what is left is unknown"
