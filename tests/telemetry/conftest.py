"""What the telemetry tests share: reports as an exchange would leave them."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from chomp_mcp.messages import Attempt, Receipt, Usage
from chomp_mcp.telemetry.report import Report

MakeReport = Callable[..., Report]


@pytest.fixture
def make_report() -> MakeReport:
    """A report of one good exchange on groq; name the fields that differ, of the report or of its receipt."""

    def make(**changes: Any) -> Report:
        receipt = {
            "asked": "groq/auto",
            "served": "groq/openai/gpt-oss-120b",
            "attempts": (Attempt("groq", "openai/gpt-oss-120b", "ok", 200, 250),),
            "usage": Usage(100, 20, 10),
            "cost_usd": Decimal("0.0025"),
            "latency_ms": 260,
        }
        receipt |= {name: changes.pop(name) for name in receipt.keys() & changes.keys()}
        facts = {
            "door": "mcp",
            "caller_id": "owner",
            "asked": receipt["asked"],
            "receipt": Receipt(**receipt),
            "streamed": True,
            "started_at": 1_763_800_000.0,
            "duration_seconds": 0.26,
            "first_token_seconds": 0.05,
            "price": "known",
        }
        return Report(**(facts | changes))

    return make
