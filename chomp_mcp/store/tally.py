"""What was spent in a day or a month, as it stands in the store; pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from chomp_mcp.frozen import struct
from chomp_mcp.messages import Usage
from chomp_mcp.store.holds import Hold, Holds
from chomp_mcp.store.kv.protocol import Value

NO_USAGE = Usage()
COUNTS = ("nano_usd", "calls", "unpriced", "estimated", "estimated_nano", "input_tokens", "output_tokens")


@struct(frozen=True, slots=True)
class Settled:
    """A call that has ended: what it cost in nano-USD (None: unknown), or nothing where no `router` answered."""

    hold: Hold | None = None
    cost_nano: int | None = None
    usage: Usage = NO_USAGE
    router: str = ""


def cost_of(record: Value | None) -> int:
    """Nano-USD."""
    return 0 if record is None else int(record.get("nano_usd", 0))


def by_router(record: Value | None) -> dict[str, int]:
    """Router id -> nano-USD."""
    return {} if record is None else dict(record.get("nano_by_router", {}))


def tally(calls: Iterable[Settled], dead: Holds | None = None) -> dict[str, Any]:
    """Of the calls that a router answered, and of those whose process died, which are estimated."""
    counts = dict.fromkeys(COUNTS, 0)
    routers: dict[str, int] = {}
    for call in calls:
        if not call.router:
            continue
        counts["calls"] += 1
        counts["input_tokens"] += call.usage.input_tokens
        counts["output_tokens"] += call.usage.output_tokens
        counts["estimated"] += call.usage.estimated
        if call.cost_nano is None:
            counts["unpriced"] += 1
        else:
            counts["nano_usd"] += call.cost_nano
            counts["estimated_nano"] += call.cost_nano if call.usage.estimated else 0
            routers[call.router] = routers.get(call.router, 0) + call.cost_nano
    if dead is not None and dead.dead:
        counts["calls"] += dead.calls
        counts["estimated"] += dead.calls
        counts["nano_usd"] += dead.likely
        counts["estimated_nano"] += dead.likely
    return {**counts, "nano_by_router": routers}


def added(old: Value | None, more: Mapping[str, Any]) -> dict[str, Any]:
    """The record with these calls in it."""
    if old is None:
        return dict(more)
    routers = by_router(old)
    for router, nano in more["nano_by_router"].items():
        routers[router] = routers.get(router, 0) + nano
    return {**{name: int(old.get(name, 0)) + more[name] for name in COUNTS}, "nano_by_router": routers}
