"""How fast each caller asks: a bucket of this process, or on a remote store one for all replicas."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Protocol, TypeVar, runtime_checkable

from chomp_mcp.errors import StoreAway
from chomp_mcp.policy import rate_limit
from chomp_mcp.policy.rate_limit import Bucket, Rate

MOST_BUCKETS = 10_000
LONGEST_SECONDS = 3600.0
"""A refusal that ends farther away was noted before the clock was turned back."""

T = TypeVar("T")


@runtime_checkable
class SharedBuckets(Protocol):
    """One step on a store that many machines share, by its clock."""

    async def take(self, name: str, rps: float, burst: int, patience: float) -> float:
        """The seconds to wait for a token; above `patience` none was taken. `StoreAway` where nobody answers."""


class Rates:
    """Takes tokens. Where the shared store is away, each replica keeps to the limit by itself."""

    def __init__(self, shared: SharedBuckets | None = None, *, clock: Callable[[], float] = time.time) -> None:
        self._shared = shared
        self._clock = clock
        self._buckets: OrderedDict[str, Bucket] = OrderedDict()
        self._refused: OrderedDict[str, float] = OrderedDict()
        """Bucket -> until when nobody gets a token of it, as the store has told."""

    def refused_for(self, name: str, rate: Rate) -> float:
        """Seconds to wait where the next one is certainly refused, else 0.0; nothing is taken, nobody is asked."""
        now = self._clock()
        if self._shared is not None:
            left = self._refused.get(name, 0.0) - now
            return rate.patience + left if 0 < left <= LONGEST_SECONDS else 0.0
        wait = self._taken(name, rate, now)[1]
        return wait if wait > rate.patience else 0.0

    async def take(self, name: str, rate: Rate) -> float:
        """The seconds to wait for the token that was taken; above `rate.patience` none was."""
        now = self._clock()
        if self._shared is not None:
            if refused := self.refused_for(name, rate):
                return refused
            try:
                wait = await self._shared.take(name, rate.rps, rate.burst, rate.patience)
            except StoreAway:
                pass
            else:
                if wait > rate.patience:
                    _remember(self._refused, name, now + wait - rate.patience)
                return wait
        bucket, wait = self._taken(name, rate, now)
        _remember(self._buckets, name, bucket)
        return wait

    def _taken(self, name: str, rate: Rate, now: float) -> tuple[Bucket, float]:
        bucket = self._buckets.get(name) or rate_limit.full(now, rate.burst)
        return rate_limit.take(bucket, now, rate.rps, rate.burst, rate.patience)


def _remember(memory: OrderedDict[str, T], name: str, what: T) -> None:
    memory[name] = what
    memory.move_to_end(name)
    if len(memory) > MOST_BUCKETS:
        memory.popitem(last=False)
