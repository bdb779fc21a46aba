"""Calls are counted, each caller apart."""

from __future__ import annotations

import pytest

from chomp_mcp.messages import OWNER, Attempt, Caller, Receipt
from chomp_mcp.telemetry import calls
from chomp_mcp.telemetry.report import Report

pytestmark = pytest.mark.anyio


def test_callers_are_counted_apart_in_bounded_memory(monkeypatch):
    monkeypatch.setattr(calls, "MOST_CALLERS", 2)
    counted = calls.Calls()
    for caller in ("a" * 64, "b" * 64, "a" * 64, "c" * 64):
        receipt = Receipt(asked="lab/m", attempts=(Attempt("lab", "m", "ok"),))
        counted.exchange(Report(door="chat", caller_id=caller, asked="lab/m", receipt=receipt))
    totals = {name: counted.of(Caller(name * 64)).totals()["total_calls"] for name in "abc"}
    assert totals == {"a": 2, "b": 0, "c": 1}
    assert counted.of(OWNER).totals()["total_calls"] == 4
