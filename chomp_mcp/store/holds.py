"""What calls under way may still spend: this process's reservations, and the record that tells of every process's."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from chomp_mcp.frozen import struct
from chomp_mcp.store.kv.protocol import Value, Write

HOLD_SECONDS = 15 * 60.0
"""How long the reservations of a process count of which nothing more is heard; then they become spend."""
ROOM_SECONDS = 10.0
"""How long room that no call uses is kept from other processes."""
KEPT_SECONDS = 40 * 86_400.0
"""How long the record waits for somebody to book what a dead process had reserved."""
MARKED_SECONDS = 7 * 86_400.0
"""How long it is known which of its steps a process has written: a journal that is older is booked blindly."""
SKEW_SECONDS = 60.0
"""What clocks of processes and machines may differ by; an end farther away was written by a clock that was wrong."""
_SOON_SECONDS = 1.0
"""By then a reservation that was made within the room is written, too."""


@struct(frozen=True, slots=True)
class Hold:
    """A reservation of the most that a call may cost, and what it probably does, in nano-USD."""

    id: str
    caller_id: str
    nano_usd: int
    likely_nano: int = 0


@dataclass(slots=True)
class Held:
    """The reservations of this process for one caller, by id."""

    holds: OrderedDict[str, Hold] = field(default_factory=OrderedDict)
    nano_usd: int = 0
    """Of all of them."""
    granted: int = 0
    """What the record says that this process holds: with room for calls to come, which need not be written then."""
    granted_until: float = 0.0
    overdrawn: int = 0
    """What calls that have ended, and are not written down yet, cost beyond what was reserved for them."""
    unwritten: set[str] = field(default_factory=set)
    """Reservations within the room that the record does not count as calls yet."""

    def has_room(self, nano_usd: int, now: float) -> bool:
        wanted = self.nano_usd + self.overdrawn + nano_usd
        return wanted <= self.granted and _SOON_SECONDS < self.granted_until - now <= HOLD_SECONDS

    def is_idle(self, now: float) -> bool:
        return not self.holds and self.granted_until <= now

    def place(self, hold: Hold) -> None:
        self.holds[hold.id] = hold
        self.nano_usd += hold.nano_usd

    def end(self, hold_ids: Collection[str]) -> None:
        self.unwritten.difference_update(hold_ids)
        for hold_id in hold_ids:
            if hold := self.holds.pop(hold_id, None):
                self.nano_usd -= hold.nano_usd

    def held_for(self, hold_ids: Iterable[str]) -> int:
        """What `end` would let go of."""
        return sum(self.holds[i].nano_usd for i in set(hold_ids) if i in self.holds)

    def without(self, hold_ids: Iterable[str]) -> list[Hold]:
        """What `end` would leave."""
        ended = set(hold_ids)
        return [hold for hold in self.holds.values() if hold.id not in ended]


@struct(frozen=True, slots=True)
class Holds:
    """What the other processes hold, by process, as it stands in the record."""

    live: dict[str, Mapping[str, Any]]
    dead: dict[str, Mapping[str, Any]]
    """Nothing was heard of these for too long, and calls of theirs were under way."""

    @property
    def total(self) -> int:
        """What nobody else may reserve, in nano-USD: room for calls to come included."""
        return sum(int(hold["nano_usd"]) for hold in self.live.values())

    @property
    def used(self) -> int:
        """What calls hold, in nano-USD."""
        return sum(int(hold["used_nano"]) for hold in self.live.values())

    @property
    def likely(self) -> int:
        """What the calls of dead processes probably cost, in nano-USD."""
        return sum(int(hold["likely_nano"]) for hold in self.dead.values())

    @property
    def calls(self) -> int:
        return sum(int(hold["calls"]) for hold in self.dead.values())

    def mark_of(self, process: str, now: float) -> dict[str, Any]:
        """What is booked for a dead process, in case that its journal says more of these calls."""
        hold = self.dead[process]
        return {"number": 0, "at": now, "calls": int(hold["calls"]), "likely_nano": int(hold["likely_nano"])}


def parted(record: Value | None, process: str, now: float) -> Holds:
    """Those of the processes other than this one; a clock that jumped keeps none alive."""
    live, dead = {}, {}
    for name, hold in ({} if record is None else record.get("holds", {})).items():
        if name == process:
            continue
        if 0 < hold["expires_at"] - now <= HOLD_SECONDS + SKEW_SECONDS:
            live[name] = hold
        elif hold.get("used_nano"):
            dead[name] = hold
    return Holds(live, dead)


def entry(granted: int, holds: Iterable[Hold], until: float) -> dict[str, Any]:
    """What the record says of this process."""
    few = list(holds)
    return {
        "nano_usd": granted,
        "used_nano": sum(hold.nano_usd for hold in few),
        "likely_nano": sum(hold.likely_nano for hold in few),
        "calls": len(few),
        "expires_at": until,
    }


def held_write(
    old: Value | None, holds: Mapping[str, Mapping[str, Any]], now: float, marks: Mapping[str, Mapping[str, Any]]
) -> Write | None:
    """The record of `holds`, until somebody has booked what is left of them; None where it says so already."""
    if holds == ({} if old is None else old.get("holds")) and not (marks and marks != old_marks(old)):
        return None
    kept = {name: mark for name, mark in marks.items() if now - mark["at"] < MARKED_SECONDS}
    if not holds and not kept:
        return Write(None)
    value = {"holds": holds, "marks": kept} if kept else {"holds": holds}
    if any(hold["used_nano"] for hold in holds.values()):
        return Write(value, expires_in=KEPT_SECONDS)
    last = max((hold["expires_at"] - now for hold in holds.values()), default=1.0)
    return Write(value, expires_in=max(last, MARKED_SECONDS if kept else 1.0))


def old_marks(record: Value | None) -> dict[str, Mapping[str, Any]]:
    """By process, `{"number", "at"}` of its last step here.

    Where others took it for dead, `{"calls", "likely_nano"}` are what they booked as an estimate.
    """
    return dict(record.get("marks", {})) if record else {}
