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
    if record is None:
        return 0
    # Versions before this one wrote micro-USD, rounded up, and may still write to the same store: where the two figures
    # do not fit together, theirs is the newer one.
    nano, micro = record.get("nano_usd"), int(record.get("micro_usd", 0))
    return int(nano) if nano is not None and _micro(int(nano)) == micro else 1000 * micro


def by_router(record: Value | None) -> dict[str, int]:
    """Router id -> nano-USD."""
    if record is None:
        return {}
    if "nano_by_router" in record:
        return dict(record["nano_by_router"])
    return {router: 1000 * micro for router, micro in record.get("by_router", {}).items()}


def _micro(nano: int) -> int:
    return -(-nano // 1000)


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
    """The record with these calls in it, also for older versions to read."""
    routers = by_router(old)
    for router, nano in more["nano_by_router"].items():
        routers[router] = routers.get(router, 0) + nano
    before = {} if old is None else old
    counts = {name: int(before.get(name, 0)) + more[name] for name in COUNTS}
    counts["nano_usd"] = cost_of(old) + more["nano_usd"]
    return {
        **counts,
        "nano_by_router": routers,
        "micro_usd": _micro(counts["nano_usd"]),
        "by_router": {router: _micro(nano) for router, nano in routers.items()},
    }
