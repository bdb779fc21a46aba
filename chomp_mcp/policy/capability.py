"""What a request needs and a route can: who cannot is left out of the plan, and the plan says so."""

from __future__ import annotations

from dataclasses import replace

from chomp_mcp.errors import NotCapable
from chomp_mcp.messages import ChatRequest, Plan

__all__ = ["capable"]


def capable(plan: Plan, request: ChatRequest) -> Plan:
    """The plan without the routes whose router does not serve the request's endpoint.

    Raises:
        NotCapable: none is left; names who was left out.
    """
    if request.endpoint == "chat":
        return plan
    able = tuple(route for route in plan.routes if request.endpoint in route.router.endpoints)
    if len(able) == len(plan.routes):
        return plan
    without = ", ".join(dict.fromkeys(route.router.name for route in plan.routes if route not in able))
    if not able:
        raise NotCapable(
            f"{without} has no /v1/{request.endpoint}.",
            hint="Name a model of a router that has it, such as openrouter/… or ollama/….",
        )
    return replace(plan, routes=able, notes=(*plan.notes, f"left out: {without} has no /v1/{request.endpoint}"))
