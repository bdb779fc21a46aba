"""The receipt as JSON and as a line."""

from __future__ import annotations

from decimal import Decimal

import pytest

from chomp_mcp.messages import Attempt, Receipt, Usage

FAILED = Attempt("groq", "m", "rate_limited", 429, 12, "slow down")
ANSWERED = Attempt("zen", "m", "ok", 200, 340)


@pytest.mark.parametrize(
    ("cost", "told"),
    [
        (None, None),
        (Decimal(0), "0"),
        (Decimal("0E-9"), "0"),
        (Decimal("1.500"), "1.5"),
        (Decimal("1E+2"), "100"),
        (Decimal("0.000000001"), "0.000000001"),
    ],
)
def test_a_cost_is_exact_and_unknown_is_null(cost, told):
    assert Receipt("auto", cost_usd=cost).as_dict()["cost_usd"] == told


def test_what_says_nothing_is_left_out():
    assert Receipt("auto").as_dict() == {
        "asked": "auto",
        "served": "",
        "attempts": [],
        "usage": {"input_tokens": 0, "output_tokens": 0, "cached_tokens": 0},
        "cost_usd": None,
        "latency_ms": 0,
    }


def test_what_was_tried_counted_and_noted_is_told():
    usage = Usage(10, 5, 4, cache_write_tokens=2, reasoning_tokens=3, estimated=True)
    receipt = Receipt("auto", "zen/m", (FAILED, ANSWERED), usage, Decimal("0.25"), 1234, ("a note",), sticky=False)
    told = receipt.as_dict()
    assert told["attempts"][0] == {
        "router": "groq",
        "model": "m",
        "outcome": "rate_limited",
        "status": 429,
        "ms": 12,
        "message": "slow down",
    }
    assert "message" not in told["attempts"][1]
    assert told["usage"] == {
        "input_tokens": 10,
        "output_tokens": 5,
        "cached_tokens": 4,
        "cache_write_tokens": 2,
        "reasoning_tokens": 3,
        "estimated": True,
    }
    assert (told["sticky"], told["notes"]) == (False, ["a note"])
    assert receipt.line() == "zen/m · 10 in, 5 out · $0.25 · 1.2 s · after groq/m rate_limited · a note"


def test_a_line_says_that_nobody_answered_and_that_a_price_is_unknown():
    assert Receipt("auto").line() == "no answer · 0 in, 0 out · price unknown · 0.0 s"
