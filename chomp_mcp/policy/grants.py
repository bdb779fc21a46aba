"""What a caller's token may: which models at which doors, how much money, how often, until when.

Data in, verdict out.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from fnmatch import fnmatchcase
from typing import Any

from chomp_mcp.errors import InvalidRequest, NotAllowed
from chomp_mcp.messages import Plan
from chomp_mcp.policy.budget import Limits

FIELDS = ("name", "models", "doors", "daily", "monthly", "rps", "expires")
DOORS = ("openai", "anthropic", "gemini", "mcp", "api")
"""What speaks over HTTP: three APIs by whose they are, MCP, and our own (/api/*, /v1/chat, /v1/providers)."""
MOST_PATTERNS = 100
MOST_USD = 1_000_000_000
LONGEST_NAME = 64
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


@dataclass(frozen=True, slots=True)
class Grant:
    """The owner's word for one token; what is None or empty limits nothing beside the gateway's own settings."""

    name: str = ""
    models: tuple[str, ...] = ()
    """Patterns of `router/model`, and names that a caller may ask for (a group, `auto`)."""
    doors: tuple[str, ...] = ()
    """Of `DOORS`."""
    daily: Decimal | None = None
    """USD."""
    monthly: Decimal | None = None
    rps: float | None = None
    expires_at: float | None = None
    """Epoch seconds."""
    lends: bool = False
    """The owner's router keys serve it, where it has none of its own."""

    def allows(self, asked: str, ref: str) -> bool:
        return not self.models or any(fnmatchcase(text, pattern) for pattern in self.models for text in (asked, ref))

    def names_router(self, router: str) -> bool:
        """A pattern names this very router, and not just any."""
        return any(pattern.partition("/")[0] == router for pattern in self.models if "/" in pattern)

    def may_reach(self, router: str) -> bool:
        """A pattern may mean a model of this router; what is no pattern is a group's name, or `auto`."""
        heads = ((*pattern.partition("/"), "*" in pattern) for pattern in self.models)
        return not self.models or any(fnmatchcase(router, head) if slash else wild for head, slash, _, wild in heads)

    def has_ended(self, now: float) -> bool:
        return self.expires_at is not None and self.expires_at <= now

    def as_record(self) -> dict[str, Any]:
        """JSON for the store; `of_record` reads it."""
        money = {name: str(value) for name in ("daily", "monthly") if (value := getattr(self, name)) is not None}
        lists = {name: list(words) for name in ("models", "doors") if (words := getattr(self, name))}
        rest = {name: value for name in ("rps", "expires_at", "lends") if (value := getattr(self, name))}
        return {"name": self.name, **money, **lists, **rest}


UNLIMITED = Grant()


def of_record(record: Mapping[str, Any] | None) -> Grant:
    """What the store knows of a token; anything else in the record is not ours to read."""
    told = (record or {}).get("grant")
    if not told:
        return UNLIMITED
    return Grant(
        name=str(told.get("name", "")),
        models=tuple(told.get("models", ())),
        doors=tuple(told.get("doors", ())),
        daily=Decimal(told["daily"]) if "daily" in told else None,
        monthly=Decimal(told["monthly"]) if "monthly" in told else None,
        rps=told.get("rps"),
        expires_at=told.get("expires_at"),
        lends=bool(told.get("lends")),
    )


def checked(told: Mapping[str, Any], now: float, *, lends: bool) -> Grant:
    """The grant of these fields, as JSON or a command line gives them; `InvalidRequest` names a wrong field."""
    name = str(told.get("name") or "").strip()
    if not name or len(name) > LONGEST_NAME or not name.isprintable():
        raise _wrong("name", f"must be 1 to {LONGEST_NAME} printable characters")
    rps = None if told.get("rps") is None else float(_amount(told["rps"], "rps"))
    known = f"of {', '.join(DOORS)}"
    doors = _words(told.get("doors"), "doors", known)
    if unknown := sorted({*doors} - {*DOORS}):
        raise _wrong("doors", f"must be {known}, and {unknown[0][:40]!r} is none")
    return Grant(
        name=name,
        models=_words(told.get("models"), "models", "such as groq/* or a group's name"),
        doors=doors,
        daily=None if told.get("daily") is None else _amount(told["daily"], "daily"),
        monthly=None if told.get("monthly") is None else _amount(told["monthly"], "monthly"),
        rps=rps,
        expires_at=None if told.get("expires") is None else _until(told["expires"], now),
        lends=lends,
    )


def permitted(plan: Plan, grant: Grant) -> Plan:
    """The plan with the routes that the token may use; `NotAllowed` where none is left."""
    if not grant.models:
        return plan
    routes = tuple(route for route in plan.routes if grant.allows(plan.asked, route.ref))
    if not routes:
        why = f"This token may not use {plan.asked[:200]}."
        raise NotAllowed(why, hint=f"It may use {', '.join(grant.models)[:500]}.")
    return plan if len(routes) == len(plan.routes) else replace(plan, routes=routes)


def within(limits: Limits, grant: Grant) -> Limits:
    """The narrower of the gateway's budgets and the token's; a token's budget of 0 allows free models only."""
    if grant.daily is None and grant.monthly is None:
        return limits
    own = [None if usd is None else int(usd * 10**9) for usd in (grant.daily, grant.monthly)]
    pairs = zip((limits.day_nano, limits.month_nano), own, strict=True)
    return Limits(*(min((nano for nano in pair if nano is not None), default=None) for pair in pairs))


def _words(told: Any, name: str, such: str) -> tuple[str, ...]:
    """A list, or words with commas between them."""
    texts = told.split(",") if isinstance(told, str) else told if told is not None else ()
    is_list = isinstance(texts, Sequence) and len(texts) <= MOST_PATTERNS
    if not is_list or not all(isinstance(text, str) and text.strip() and text.isprintable() for text in texts):
        raise _wrong(name, f"must be at most {MOST_PATTERNS} words, {such}")
    return tuple(text.strip() for text in texts)


def _amount(told: Any, name: str) -> Decimal:
    try:
        value = Decimal(str(told))  # a float by its digits, as JSON wrote it; no number for true and false
    except InvalidOperation:
        value = Decimal("NaN")
    least = Decimal("0.001") if name == "rps" else Decimal(0)
    if not value.is_finite() or not least <= value <= MOST_USD:
        raise _wrong(name, f"must be a number from {least} to {MOST_USD:,}")
    return value


def _until(told: Any, now: float) -> float:
    """`30d`, `12h`, `90m`, or a moment in ISO 8601 (UTC where it names no zone)."""
    if isinstance(told, str) and (span := re.fullmatch(r"(\d{1,6})([smhdw])", told.strip())):
        return now + int(span[1]) * _SECONDS[span[2]]
    try:
        moment = datetime.fromisoformat(told)
        at = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (TypeError, ValueError, OverflowError):
        at = math.nan
    if not at > now:
        raise _wrong("expires", "must be a time to come, such as 30d, 12h or 2027-01-31")
    return at


def _wrong(name: str, reason: str) -> InvalidRequest:
    return InvalidRequest(f"{name} {reason}.", hint="Nothing was made.", param=name)
