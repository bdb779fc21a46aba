"""Figures as routers tell them, tokens and US dollars, as far as anybody can mean them: all others are None.

A single absurd one, taken at its word, would use up the budget of a month, or break the arithmetic.
"""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Any

MOST_TOKENS = 1_000_000_000
MOST_COST = 10_000
"""US dollars of one answer."""
MOST_PRICE = 1_000_000
"""US dollars of a million tokens, or of anything else that a list prices."""
_LEAST = Decimal("1e-15")
"""Less than that is not worth its digits."""
_MOST_CHARACTERS = 64


def tokens(value: Any) -> int | None:
    """A count of tokens, 0 to a billion."""
    if type(value) is int:  # nearly all
        return value if 0 <= value <= MOST_TOKENS else None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= MOST_TOKENS:
        return None
    return int(value)


def dollars(amount: Any, most: int) -> Decimal | None:
    """An amount as a number or a text, exactly, from -`most` to `most`; a negative one is a router's own word."""
    if isinstance(amount, int | float):
        text = "" if isinstance(amount, bool) or not -most <= amount <= most else str(amount)
    else:
        text = amount if isinstance(amount, str) and len(amount) <= _MOST_CHARACTERS else ""
    try:
        value = Decimal(text.removeprefix("$"))
    except InvalidOperation:
        return None
    return value if value.is_finite() and (value == 0 or _LEAST <= value.copy_abs() <= most) else None
