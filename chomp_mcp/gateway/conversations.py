"""Conversations keep their route: a router's prompt cache belongs to one model there, and to one key.

Only where a plan has more than one route. A conversation is known by the name that its program gives it
(`ChatRequest.session`), else, from its second turn on, by how it begins.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Mapping
from dataclasses import replace

from chomp_mcp import wire
from chomp_mcp.messages import Caller, ChatRequest, Plan, Route
from chomp_mcp.store.kv.lenient import unwritten_is_logged
from chomp_mcp.store.kv.protocol import KV

KEPT_SECONDS = 3600.0
"""The longest that a prompt cache lives without being read (Anthropic's, with `ttl: 1h`)."""
REFRESH_SECONDS = 300.0

_log = logging.getLogger("chomp_mcp.conversations")


class Conversations:
    """What is remembered is in the store, which all workers share: `sticky:{hash}` -> `{"route", "key", "at"}`."""

    def __init__(self, kv: KV, *, clock: Callable[[], float]) -> None:
        self._kv = kv
        self._clock = clock

    def name_of(self, caller: Caller, request: ChatRequest, plan: Plan) -> str:
        """Its key in the store, which tells nothing of it; empty where there is nothing to keep."""
        if (plan.group and not plan.group.sticky) or len(plan.routes) < 2:  # noqa: PLR2004 - one leaves no choice
            return ""
        begins = request.session.encode("utf-8", "replace")
        messages = request.said.get("messages", request.said.get("input"))
        if not begins and isinstance(messages, list):
            # What stands before the first answer: a first turn has none, and no cache to find again.
            roles = [message.get("role") if isinstance(message, Mapping) else None for message in messages]
            begins = wire.dumps(messages[: roles.index("assistant")]) if "assistant" in roles else b""
        if not begins:
            return ""
        return f"sticky:{hashlib.sha256(wire.dumps([caller.id, plan.asked]) + begins).hexdigest()[:32]}"

    async def with_kept(self, name: str, plan: Plan) -> Plan:
        """The plan with the conversation's route in front, as far as it is still in it."""
        known = await self._kv.get(name)
        if not known:
            return plan
        kept = next((r for r in plan.routes if r.ref == known.get("route") and r.key_id == known.get("key")), None)
        if kept is None:
            return plan
        routes = (kept, *(route for route in plan.routes if route is not kept))
        return replace(plan, routes=routes, kept=kept, kept_at=float(known.get("at") or 0))

    async def keep(self, name: str, plan: Plan, route: Route) -> None:
        """This route answers: the next turn goes there first."""
        now = self._clock()
        if route is plan.kept and now - plan.kept_at < REFRESH_SECONDS:
            return
        value = {"route": route.ref, "key": route.key_id, "at": now}
        with unwritten_is_logged(_log, "the route of a conversation could not be kept"):
            await self._kv.put(name, value, expires_in=KEPT_SECONDS)
