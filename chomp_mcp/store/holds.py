"""What calls under way may still spend: this process's reservations, and the record that tells of every process's."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from chomp_mcp.store.kv.protocol import Value, Write

__all__ = ["ROOM_SECONDS", "Held", "Hold", "held_write", "others", "total", "used"]

ROOM_SECONDS = 10.0
"""How long room that no call uses is kept from other processes."""
_SOON_SECONDS = 1.0
"""By then a reservation that was made within the room is written, too."""

_Holds = dict[str, Mapping[str, Any]]
"""By process, as they stand in the record: `micro_usd`, `used_micro` of these when it was written, `expires_at`."""


@dataclass(frozen=True, slots=True)
class Hold:
    """A reservation; one with an empty `id` is a promise only: nothing had to be written down."""

    id: str
    caller_id: str
    micro_usd: int
    expires_at: float


@dataclass(slots=True)
class Held:
    """The reservations of this process for one caller: by id, the first to expire first."""

    holds: OrderedDict[str, Hold] = field(default_factory=OrderedDict)
    micro_usd: int = 0
    """Of all of them."""
    expires_at: float = 0.0
    """When the last does."""
    granted: int = 0
    """What the record says that this process holds: with room for calls to come, which need not be written then."""
    granted_until: float = 0.0
    overdrawn: int = 0
    """What calls that have ended, and are not written down yet, cost beyond what was reserved for them."""

    def has_room(self, micro_usd: int, now: float) -> bool:
        wanted = self.micro_usd + self.overdrawn + micro_usd
        return wanted <= self.granted and now + _SOON_SECONDS < self.granted_until

    def is_idle(self, now: float) -> bool:
        return not self.holds and self.granted_until <= now

    def place(self, hold: Hold) -> None:
        self.holds[hold.id] = hold
        self.micro_usd += hold.micro_usd
        self.expires_at = max(self.expires_at, hold.expires_at)

    def drop(self, hold_id: str) -> None:
        """Let go of it, unless that has happened or it has expired."""
        if hold := self.holds.pop(hold_id, None):
            self.micro_usd -= hold.micro_usd

    def end(self, hold_ids: Iterable[str]) -> None:
        for hold_id in hold_ids:
            self.drop(hold_id)

    def held_for(self, hold_ids: Iterable[str]) -> int:
        """What `end` would let go of."""
        return sum(self.holds[i].micro_usd for i in set(hold_ids) if i in self.holds)

    def expire(self, now: float) -> None:
        while self.holds and (first := next(iter(self.holds.values()))).expires_at <= now:
            self.drop(first.id)


def others(record: Value | None, process: str, now: float) -> _Holds:
    """What the processes other than this one hold; those that died stop to when the last of theirs expires."""
    holds = {} if record is None else record.get("holds", {})
    return {i: hold for i, hold in holds.items() if i != process and hold["expires_at"] > now}


def total(holds: _Holds) -> int:
    """What nobody else may reserve, in micro-USD: room for calls to come included."""
    return sum(hold["micro_usd"] for hold in holds.values()) if holds else 0


def used(holds: _Holds) -> int:
    """What calls hold, in micro-USD."""
    return sum(hold.get("used_micro", hold["micro_usd"]) for hold in holds.values()) if holds else 0


def held_write(old: Value | None, holds: _Holds, now: float) -> Write | None:
    """The record of `holds`, for as long as any lasts; None where it says so already."""
    if holds == ({} if old is None else old.get("holds")):
        return None
    if not holds:
        return Write(None)
    last = max(hold["expires_at"] for hold in holds.values())
    return Write({"holds": holds}, expires_in=last - now)
