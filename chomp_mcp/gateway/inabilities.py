"""What models have refused of what requests needed: remembered for all processes, until it may have been a hiccup."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from chomp_mcp.messages import Route
from chomp_mcp.store.holds import SKEW_SECONDS
from chomp_mcp.store.kv.lenient import unwritten_is_logged
from chomp_mcp.store.kv.protocol import KV, Value, Write

_log = logging.getLogger("chomp_mcp.inabilities")

REMEMBERED_SECONDS = 6 * 3600.0
"""As long as a model counts as gone: routers do add vision and tools to models, or a refusal was about one picture."""
MOST_REMEMBERED = 500
_NAME = "unable"


class Inabilities:
    """One record in the store: `unable` -> `{"refs": {ref: {need: until}}}`; read only for requests with needs."""

    def __init__(self, kv: KV, *, clock: Callable[[], float]) -> None:
        self._kv = kv
        self._clock = clock

    async def known(self) -> Mapping[str, frozenset[str]]:
        """Ref -> needs."""
        stored, now = await self._kv.get(_NAME), self._clock()
        return {ref: frozenset(needs) for ref, needs in _current(stored, now).items()}

    async def learn(self, route: Route, need: str) -> None:
        """The model has just refused it. Where that cannot be written down, the next request finds out by itself."""
        now = self._clock()

        def step(values: Sequence[Value | None]) -> Sequence[Write | None]:
            known = _current(values[0], now)
            needs = {**known.pop(route.ref, {}), need: now + REMEMBERED_SECONDS}
            kept = dict([*known.items(), (route.ref, needs)][-MOST_REMEMBERED:])
            return [Write({"refs": kept}, expires_in=REMEMBERED_SECONDS)]

        with unwritten_is_logged(_log, "what %s cannot do could not be written", route.ref):
            await self._kv.update([_NAME], step)


def _current(stored: Value | None, now: float) -> dict[str, dict[str, Any]]:
    """What has not ended, and not longer than it was ever written for."""
    found = {}
    for ref, needs in (stored or {}).get("refs", {}).items():
        ends = {need: float(end) - now for need, end in needs.items()}
        if left := {need: needs[need] for need, end in ends.items() if 0 < end <= REMEMBERED_SECONDS + SKEW_SECONDS}:
            found[ref] = left
    return found
