"""Booking what dead processes left in the journal: each row once, whatever was written before they died."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from chomp_mcp.errors import StoreError
from chomp_mcp.store.holds import held_write, old_marks
from chomp_mcp.store.journal import Journal, Row
from chomp_mcp.store.kv.protocol import KV, Value, Write
from chomp_mcp.store.tally import added, tally

_log = logging.getLogger("chomp_mcp.ledger")

AGAIN_SECONDS = 2.0
KEPT_SECONDS = (40 * 86_400.0, 400 * 86_400.0)
"""How long the tallies of a day and of a month are kept."""


async def book_orphans(journal: Journal, kv: KV, clock: Callable[[], float]) -> None:
    """Until none is left; a store that is away is waited for."""
    while journal.has_orphans:
        try:
            with journal.orphan() as found:
                if found is None:
                    return  # theirs live
                process, rows = found
                ended = {call.hold.id for row in rows for call in row.calls if call.hold}
                holds = {row.hold.id for row in rows if row.hold}
                for row in sorted(rows, key=lambda row: row.number):
                    if row.hold is None or row.hold.id not in ended:
                        await kv.update(row.names, partial(_booked, process, row, holds, clock()))
                _log.warning("%d rows of the journal of process %s are booked", len(rows), process)
        except (StoreError, OSError) as error:
            _log.warning("the journal waits: %s", error)
            await asyncio.sleep(AGAIN_SECONDS)


def stepped(
    spent: Mapping[str, Any], marks: dict[str, Mapping[str, Any]], process: str, number: int, now: float
) -> dict[str, Any]:
    """Mark the step of a process that lives; what others booked for it, who took it for dead, is taken back."""
    mark = marks.get(process, {})
    marks[process] = {"number": number, "at": now}
    return _more(spent, -mark.get("calls", 0), -mark.get("likely_nano", 0))


def tally_writes(day: Value | None, month: Value | None, spent: Mapping[str, Any]) -> list[Write | None]:
    """The tallies with `spent` in them; nothing where nothing was."""
    if not spent["calls"] and not spent["nano_usd"]:
        return [None, None]
    return [Write(added(record, spent), kept) for record, kept in zip((day, month), KEPT_SECONDS, strict=True)]


def _booked(
    process: str, row: Row, journaled: set[str], now: float, old: Sequence[Value | None]
) -> Sequence[Write | None]:
    """The row in the tallies, and out of what its process held or was estimated to have spent."""
    day, month, record = old
    marks = old_marks(record)
    mark = dict(marks.get(process, {"number": 0}))
    if row.number <= mark["number"]:
        return [None, None, None]
    spent = tally(row.calls)
    if row.hold is not None:  # nobody knows how it ended
        spent = _more(spent, 1, row.hold.likely_nano)
    entries = dict((record or {}).get("holds", {}))
    for hold in (call.hold for call in row.calls if call.hold and call.hold.id not in journaled):
        if entry := entries.get(process):
            nano, likely = hold.nano_usd, hold.likely_nano
            ended = {"nano_usd": nano, "used_nano": nano, "likely_nano": likely, "calls": 1}
            entries[process] = {**entry, **{name: max(0, entry[name] - amount) for name, amount in ended.items()}}
        elif mark.get("calls"):  # booked already, as an estimate
            mark |= {"calls": mark["calls"] - 1, "likely_nano": mark["likely_nano"] - hold.likely_nano}
            spent = _more(spent, -1, -hold.likely_nano)
    marks[process] = {**mark, "number": row.number, "at": now}
    return [*tally_writes(day, month, spent), held_write(record, entries, now, marks)]


def _more(spent: Mapping[str, Any], calls: int, nano: int) -> dict[str, Any]:
    """With so many calls more that are estimated."""
    more = {"calls": calls, "estimated": calls, "nano_usd": nano, "estimated_nano": nano}
    return {**spent, **{name: spent[name] + number for name, number in more.items()}}
