"""Receipts of the newest exchanges: whose, in which order, and without what was said."""

from __future__ import annotations

from pathlib import Path

import pytest

from chomp_mcp.gateway.receipt_log import ReceiptLog
from chomp_mcp.messages import OWNER, Attempt, Caller, Receipt
from chomp_mcp.store.kv.sqlite import Sqlite
from chomp_mcp.telemetry.report import Report
from tests.support.clock import Clock

pytestmark = pytest.mark.anyio


def report(asked: str, at: float, caller: str = "owner") -> Report:
    receipt = Receipt(asked, asked, (Attempt("lab", "m", "transient", 503, 1, "the prompt was sesame"),))
    return Report(door="cli", caller_id=caller, asked=asked, receipt=receipt, started_at=at)


async def test_the_newest_come_first_before_and_after_they_are_written_and_none_twice(home: Path, clock: Clock) -> None:
    store = Sqlite(home / "state.db", clock=clock)
    log = ReceiptLog(store, None, clock=clock)
    for n in range(5):
        log.exchange(report(f"lab/m{n}", clock() + n))
    assert [row["receipt"]["asked"] for row in await log.recent(3)] == ["lab/m4", "lab/m3", "lab/m2"]
    await log.close()
    log.exchange(report("lab/new", clock() + 9))
    assert [row["receipt"]["asked"] for row in await log.recent(3)] == ["lab/new", "lab/m4", "lab/m3"]
    await log.close()
    other = ReceiptLog(store, None, clock=clock)
    assert len(await other.recent(100)) == 6
    assert "sesame" not in repr(await other.recent(100))
    await store.close()


async def test_a_caller_sees_its_own_and_the_owner_sees_all(home: Path, clock: Clock) -> None:
    store = Sqlite(home / "state.db", clock=clock)
    log = ReceiptLog(store, None, clock=clock)
    for n, caller in enumerate(("owner", "a" * 64, "b" * 64)):
        log.exchange(report("lab/m", clock() + n, caller))
    assert len(await log.recent(10, OWNER)) == 3
    for name in "ab":
        assert [row["caller"][0] for row in await log.recent(10, Caller(name * 64))] == [name]
    assert await log.recent(10, Caller("c" * 64)) == []
    await log.close()
    await store.close()


async def test_what_the_store_refuses_is_lost_and_stops_nobody(home: Path, clock: Clock) -> None:
    (home / "state.db").mkdir(parents=True)
    store = Sqlite(home / "state.db", clock=clock)
    log = ReceiptLog(store, None, clock=clock)
    log.exchange(report("lab/m", clock()))
    await log.close()
    await store.close()
