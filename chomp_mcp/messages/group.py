"""A group: a name for several models, and the order in which they are tried."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

Order = Literal["listed", "quota", "cost", "speed", "spread"]
ORDERS: tuple[Order, ...] = get_args(Order)


@dataclass(frozen=True, slots=True)
class Group:
    """`[groups.<name>]` of config.toml, checked; its name is a model ref at every door."""

    name: str
    models: tuple[str, ...]
    """Refs, and patterns with `*`; names of other groups are resolved to what they hold."""
    order: Order = "listed"
    """listed: as written. quota: what would expire unused first, then where most is left. cost: the cheapest that can.
    speed: who is soonest at an answer's end, by the first token and the tokens a second of late. spread: by chance,
    weighted by what is left."""
    needs: frozenset[str] = frozenset()
    sticky: bool = True
    """A conversation keeps its route while it can."""
    hedge: bool = False
    """A route that is silent for three times its usual first token is raced by the next."""
