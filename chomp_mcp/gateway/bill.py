"""What an exchange costs: the answer, and the attempts before it that cost something all the same."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal

from chomp_mcp.frozen import struct
from chomp_mcp.gateway.answer import Answer
from chomp_mcp.gateway.prices import Prices
from chomp_mcp.gateway.trial import Charge
from chomp_mcp.messages import ChatRequest, Usage
from chomp_mcp.policy import estimate

_CHARACTERS_PER_TOKEN = 4


@struct(frozen=True, slots=True)
class Booking:
    """One call as the ledger takes it; `cost_usd` None: the price is unknown."""

    router: str
    usage: Usage
    cost_usd: Decimal | None


@struct(frozen=True, slots=True)
class Bill:
    """All of an exchange, the answer first; `notes` tell what is odd about it."""

    bookings: tuple[Booking, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def usage(self) -> Usage:
        """Of the answer, or of what was left before it began."""
        return self.bookings[0].usage if self.bookings else Usage()

    @property
    def cost_usd(self) -> Decimal | None:
        """Of all together; None where the answer's own cost is unknown."""
        if not self.bookings or self.bookings[0].cost_usd is None:
            return None
        return sum((each.cost_usd for each in self.bookings if each.cost_usd is not None), Decimal(0))

    @classmethod
    def of(
        cls, prices: Prices, request: ChatRequest, charges: Sequence[Charge], answer: tuple[Answer, Usage] | None = None
    ) -> Bill:
        """`answer`: the route's answer, and what it counts."""
        bookings, notes = [], []
        rows = [(answer[0].route, answer[1], answer[0].cost_usd)] if answer else []
        for charge in charges:
            usage = prices.likely_usage(charge.route, request.said) if charge.was_left else charge.usage or Usage()
            rows.append((charge.route, usage, charge.cost_usd))
            if not charge.was_left:
                notes.append(f"{charge.route.ref} failed, and is paid for")
        for route, usage, told in rows:
            cost, note = prices.cost(route, usage, told)
            bookings.append(Booking(route.router.id, usage, cost))
            if note:
                notes.append(note)
        return cls(tuple(bookings), tuple(notes))


def counted(answer: Answer, request: ChatRequest, characters: int, *, is_whole: bool) -> Usage:
    """What the router counted; what it did not count, or only began to, is estimated from the text, and says so."""
    usage = answer.usage
    if usage is not None and is_whole and usage.input_tokens and usage.output_tokens:
        return usage
    said = answer.completion.characters if answer.completion else characters
    if usage is None:
        return estimate.usage_of_texts(request.said, said)
    least = math.ceil(said / _CHARACTERS_PER_TOKEN)
    is_short = bool(said) and (not usage.output_tokens or (not is_whole and usage.output_tokens < least))
    if usage.input_tokens and not is_short:
        return usage
    asked = usage.input_tokens or estimate.usage_of_texts(request.said, 0).input_tokens
    output = least if is_short else usage.output_tokens
    is_same = (asked, output) == (usage.input_tokens, usage.output_tokens)
    return usage if is_same else replace(usage, input_tokens=asked, output_tokens=output, estimated=True)
