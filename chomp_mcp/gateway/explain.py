"""Why a request would go where: the plan, with the reason of each place, without a call."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TypedDict

from chomp_mcp.gateway.health import Health
from chomp_mcp.gateway.orders import Orders
from chomp_mcp.messages import AUTO, ChatRequest, Plan
from chomp_mcp.policy.capability import is_able


class PlaceView(TypedDict):
    """One try of the plan."""

    place: int
    """From 1."""
    router: str
    model: str
    reason: str
    """Why it stands here."""
    ready: bool
    """It would be tried now; else `rests` says why it would be passed over."""
    rests: str


class PlanView(TypedDict):
    """A plan as JSON; nothing was called."""

    object: str
    asked: str
    needs: list[str]
    plan: list[PlaceView]
    notes: list[str]
    """Who was left out, and why, among others."""


@dataclass(frozen=True, slots=True)
class Explainer:
    """Asks what the plan was made of once more, in words."""

    orders: Orders
    health: Health

    async def of(self, plan: Plan, request: ChatRequest) -> PlanView:
        by_order = await self.orders.reasons(plan, request)
        seen: Counter[str] = Counter()
        needs = ", ".join(sorted(plan.needs))
        places: list[PlaceView] = []
        for number, (route, why) in enumerate(zip(plan.routes, by_order, strict=True), 1):
            seen[route.ref] += 1
            rest = await self.health.standing(route, mind_quota=plan.free_choice)
            preferred = route.router.models
            if route is plan.kept:
                choice = "the conversation was here before"
            elif plan.group is not None:
                choice = ""  # `why` says it
            elif not plan.free_choice:
                choice = "named by the caller"
            elif (request.model or AUTO).rpartition("/")[2] != AUTO:
                choice = f"{route.router.id} has a model of that name"
            elif route.model in preferred:
                choice = f"number {preferred.index(route.model) + 1} of what auto prefers on {route.router.id}"
            else:
                choice = f"from the list of {route.router.id}"
            reasons = [choice, why]
            if seen[route.ref] > 1:
                reasons.append(f"with key number {seen[route.ref]}")
            if needs:
                is_known = is_able(plan.needs, route.router, route.model, route.listed, {})
                reasons.append(f"can: {needs}" if is_known else f"nobody knows whether it can: {needs}")
            places.append(
                {
                    "place": number,
                    "router": route.router.id,
                    "model": route.model,
                    "reason": "; ".join(filter(None, reasons)),
                    "ready": rest is None,
                    "rests": rest.words if rest else "",
                }
            )
        return {
            "object": "chat.completion.plan",
            "asked": plan.asked,
            "needs": sorted(plan.needs),
            "plan": places,
            "notes": list(plan.notes),
        }
