"""The lists that a plan was made of, and whether they still are what they were."""

from __future__ import annotations

import math
from collections.abc import Iterable

from chomp_mcp.gateway.model_list import Keys, ModelList, RouterList
from chomp_mcp.policy.roster import Roster


class KnownLists:
    """The lists that were looked at: those just read, and those in memory when somebody asked for them."""

    def __init__(self, models: ModelList, keys: Keys) -> None:
        self._models = models
        self._keys = keys
        self._seen: dict[str, RouterList | None] = {}
        self._compared = -1, 0
        """How often any list had been read when these were last compared, and how many they were."""
        self._compared_at = 0.0
        self._current_until = 0.0

    async def read(self, routers: Iterable[str], *, within: float) -> None:
        """Look at these: what is not there in `within` seconds is not waited for."""
        self._seen.update(await self._models.soon(routers, self._keys, within))

    async def read_patiently(self, routers: Iterable[str]) -> None:
        """Wait for the next of those that are on their way or could be tried again."""
        for router in routers:
            if self.get(router) is None:
                self._seen.pop(router, None)
        self._seen.update(await self._models.of(routers, self._keys))

    def get(self, router: str) -> Roster | None:
        """None: not known now."""
        if router not in self._seen:
            self._seen[router] = self._models.in_memory(router, self._keys)
        known = self._seen[router]
        return known.roster if known and not known.error else None

    def are_current(self) -> bool:
        """None of them is due or was read anew since, nor was one that was not known."""
        models, now = self._models, self._models.clock()
        # Compared one by one only after some list was read, so that a thousand cost no more than one.
        compared = models.reads, len(self._seen)
        if compared != self._compared or not self._compared_at <= now < self._current_until:
            for router, seen in self._seen.items():
                known = models.in_memory(router, self._keys)
                if (known and known.version) != (seen and seen.version):
                    return False
            self._compared, self._compared_at = compared, now
            self._current_until = min((known.until for known in self._seen.values() if known), default=math.inf)
        return True
