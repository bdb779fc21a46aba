"""When a silent route of a group with `hedge = true` is raced by the next one, and the money for it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from chomp_mcp.gateway.admission import Admission
from chomp_mcp.gateway.speeds import Speeds
from chomp_mcp.messages import Caller, ChatRequest, Route
from chomp_mcp.policy.grants import Grant
from chomp_mcp.store.holds import Hold

_TIMES = 3
"""Silent for so many times its usual first token."""
_SHORTEST_SECONDS = 0.05
"""A shorter silence is the network's and the machine's own."""
_UNMEASURED_SECONDS = {True: 2.0, False: 20.0}
"""What is usual where nobody has measured, streamed or not: else a route that never answers would never be raced."""


@dataclass(slots=True)
class Hedge:
    """Of one request."""

    speeds: Speeds
    admission: Admission
    caller: Caller
    request: ChatRequest
    grant: Grant
    secure: Callable[[Hold | None], Awaitable[None]]
    """Awaited before the second call leaves, as before the first: from then on its cost outlives this process."""
    holds: list[Hold] = field(default_factory=list)
    """Reserved for the second call, beside the first one's."""

    async def patience(self, route: Route, *, stream: bool) -> float:
        """Seconds of silence after which it is raced."""
        [speed] = await self.speeds.of([route], stream=stream)
        usual = _UNMEASURED_SECONDS[stream] if speed.usual_seconds is None else speed.usual_seconds
        return max(_TIMES * usual, _SHORTEST_SECONDS)

    async def reserve(self, route: Route) -> None:
        """Hold what a call on this route may cost beside what the first one may; `BudgetExceeded`: no room for both."""
        if hold := await self.admission.reserve_beside(self.caller, self.request, route, self.grant):
            self.holds.append(hold)
            await self.secure(hold)
