"""What the caller is told about an answer: who gave it, what was tried, what it cost."""

from __future__ import annotations

from dataclasses import field
from decimal import Decimal
from typing import NotRequired, TypedDict

from chomp_mcp.frozen import struct
from chomp_mcp.messages.answer import Usage


class AttemptView(TypedDict):
    """An attempt as JSON; `message` holds the router's words after a failure."""

    router: str
    model: str
    outcome: str
    """`ok`, a failure kind, or `unknown`: the process that asked ended before it saw the answer's end."""
    status: int | None
    """The HTTP status, where there was one."""
    ms: int
    message: NotRequired[str]


class UsageView(TypedDict):
    """Tokens as JSON; what is 0 beside the first three is left out, and `estimated` where it was told."""

    input_tokens: int
    output_tokens: int
    cached_tokens: int
    cache_write_tokens: NotRequired[int]
    reasoning_tokens: NotRequired[int]
    estimated: NotRequired[bool]


class ReceiptView(TypedDict):
    """A receipt as JSON, the same at every door."""

    asked: str
    served: str
    """`router/model`; empty when nobody answered."""
    attempts: list[AttemptView]
    usage: UsageView
    cost_usd: str | None
    """A decimal number of US dollars; None: the price is unknown."""
    latency_ms: int
    sticky: NotRequired[bool]
    """Whether the conversation kept its route, where it had one."""
    notes: NotRequired[list[str]]


@struct(frozen=True, slots=True)
class Attempt:
    """One call on one route and its outcome: `ok`, or a failure kind."""

    router: str
    model: str
    outcome: str
    status: int | None = None
    ms: int = 0
    message: str = ""

    def as_dict(self) -> AttemptView:
        view: AttemptView = {
            "router": self.router,
            "model": self.model,
            "outcome": self.outcome,
            "status": self.status,
            "ms": self.ms,
        }
        if self.message:
            view["message"] = self.message
        return view


@struct(frozen=True, slots=True)
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
    sticky: bool | None = None
    """Whether the conversation kept its route; None where it had none, or the plan but one."""

    @property
    def cost(self) -> str | None:
        """`cost_usd` as JSON tells it: exactly, without exponents or trailing zeros."""
        return None if self.cost_usd is None else format(self.cost_usd.normalize() + 0, "f")

    def as_dict(self) -> ReceiptView:
        """JSON: `usage.estimated`, `sticky` and `notes` appear only where they say something."""
        usage: UsageView = {
            "input_tokens": self.usage.input_tokens,
            "output_tokens": self.usage.output_tokens,
            "cached_tokens": self.usage.cached_tokens,
        }
        if self.usage.cache_write_tokens:
            usage["cache_write_tokens"] = self.usage.cache_write_tokens
        if self.usage.reasoning_tokens:
            usage["reasoning_tokens"] = self.usage.reasoning_tokens
        if self.usage.estimated:
            usage["estimated"] = True
        view: ReceiptView = {
            "asked": self.asked,
            "served": self.served,
            "attempts": [attempt.as_dict() for attempt in self.attempts],
            "usage": usage,
            "cost_usd": self.cost,
            "latency_ms": self.latency_ms,
        }
        if self.sticky is not None:
            view["sticky"] = self.sticky
        if self.notes:
            view["notes"] = list(self.notes)
        return view

    def line(self) -> str:
        return receipt_line(self.as_dict())


def receipt_line(receipt: ReceiptView) -> str:
    """A receipt in one line for a person: who answered, tokens, cost, time, what failed before, the notes."""
    usage, cost = receipt["usage"], receipt["cost_usd"]
    parts = [receipt["served"] or "no answer", f"{usage['input_tokens']} in, {usage['output_tokens']} out"]
    parts.append("price unknown" if cost is None else f"${cost}")
    parts.append(f"{receipt['latency_ms'] / 1000:.1f} s")
    failed = [
        f"{attempt['router']}/{attempt['model']} {attempt['outcome']}"
        for attempt in receipt["attempts"]
        if attempt["outcome"] != "ok"
    ]
    if failed:
        parts.append("after " + ", ".join(failed))
    return " · ".join([*parts, *receipt.get("notes", ())])
