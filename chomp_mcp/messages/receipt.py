"""What the caller is told about an answer: who gave it, what was tried, what it cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from chomp_mcp.messages.answer import Usage

__all__ = ["Attempt", "Receipt", "receipt_line"]


@dataclass(frozen=True, slots=True)
class Attempt:
    """One call on one route and its outcome: `ok`, or a failure kind."""

    router: str
    model: str
    outcome: str
    status: int | None = None
    ms: int = 0
    message: str = ""

    def as_dict(self) -> dict[str, Any]:
        """The receipt's row: `{router, model, outcome, status, ms}`, and the router's words after a failure."""
        row = {
            "router": self.router,
            "model": self.model,
            "outcome": self.outcome,
            "status": self.status,
            "ms": self.ms,
        }
        return {**row, "message": self.message} if self.message else row


@dataclass(frozen=True, slots=True)
class Receipt:
    """What the caller is told: asked, served, what was tried, what it cost."""

    asked: str
    served: str = ""
    attempts: tuple[Attempt, ...] = ()
    usage: Usage = field(default_factory=Usage)
    cost_usd: Decimal | None = None
    """None: the price is unknown. Never 0 for unknown."""
    latency_ms: int = 0
    notes: tuple[str, ...] = ()

    @property
    def cost(self) -> str | None:
        """`cost_usd` as JSON tells it: exactly, without exponents or trailing zeros."""
        return None if self.cost_usd is None else format(self.cost_usd.normalize() + 0, "f")

    def as_dict(self) -> dict[str, Any]:
        """JSON: `cost_usd` is a string or null; `usage.estimated` and `notes` appear only when they say something."""
        usage: dict[str, Any] = {
            "input_tokens": self.usage.input_tokens,
            "output_tokens": self.usage.output_tokens,
            "cached_tokens": self.usage.cached_tokens,
        }
        if self.usage.estimated:
            usage["estimated"] = True
        told: dict[str, Any] = {
            "asked": self.asked,
            "served": self.served,
            "attempts": [attempt.as_dict() for attempt in self.attempts],
            "usage": usage,
            "cost_usd": self.cost,
            "latency_ms": self.latency_ms,
        }
        return {**told, "notes": list(self.notes)} if self.notes else told

    def line(self) -> str:
        return receipt_line(self.as_dict())


def receipt_line(told: Mapping[str, Any]) -> str:
    """A receipt, as JSON tells it, in one line for a person: who answered, tokens, cost, time, what failed before."""
    usage, cost = told["usage"], told["cost_usd"]
    parts = [told["served"] or "no answer", f"{usage['input_tokens']} in, {usage['output_tokens']} out"]
    parts.append("price unknown" if cost is None else f"${cost}")
    parts.append(f"{told['latency_ms'] / 1000:.1f} s")
    failed = [
        f"{tried['router']}/{tried['model']} {tried['outcome']}"
        for tried in told["attempts"]
        if tried["outcome"] != "ok"
    ]
    if failed:
        parts.append("after " + ", ".join(failed))
    return " · ".join([*parts, *told.get("notes", ())])
