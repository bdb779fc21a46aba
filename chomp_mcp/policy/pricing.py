"""What an exchange costs, in exact US dollars; an unknown price is None, never zero."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from chomp_mcp.messages import Model, Router, Usage

_MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class Price:
    """USD per million tokens. A rate that is None is that of plain input, or output."""

    input: Decimal
    output: Decimal
    cached: Decimal | None = None
    cache_write: Decimal | None = None
    cache_write_hour: Decimal | None = None
    """None: that of a plain write."""
    reasoning: Decimal | None = None
    request: Decimal = Decimal(0)
    """USD for each call."""
    tiers: tuple[tuple[int, Price], ...] = ()
    """From more than so many input tokens on, all tokens cost what that price says; the largest first."""
    service_tiers: Mapping[str, Price] = field(default_factory=dict)


FREE = Price(Decimal(0), Decimal(0))
"""The user's own machine (Ollama, Cursor, mock), and the free models of lists."""

ASSUMED = Price(Decimal(3), Decimal(15))
"""What a call of unknown price is reserved at: what the larger models of today cost. It is never booked."""


def cost(price: Price, usage: Usage) -> Decimal:
    """USD of one exchange; `usage.input_tokens` includes what was read from the cache and put into it."""
    price = price.service_tiers.get(usage.service_tier, price)
    for start, above in price.tiers:
        if usage.input_tokens > start:
            price = above
            break
    if not (usage.cached_tokens or usage.cache_write_tokens or usage.reasoning_tokens):
        return (usage.input_tokens * price.input + usage.output_tokens * price.output) / _MILLION + price.request
    cached = min(usage.cached_tokens, usage.input_tokens)
    written = min(usage.cache_write_tokens, usage.input_tokens - cached)
    for_an_hour = min(usage.cache_write_hour_tokens, written)
    reasoned = min(usage.reasoning_tokens, usage.output_tokens)
    write = price.input if price.cache_write is None else price.cache_write
    total = (
        (usage.input_tokens - cached - written) * price.input
        + cached * (price.input if price.cached is None else price.cached)
        + (written - for_an_hour) * write
        + for_an_hour * (write if price.cache_write_hour is None else price.cache_write_hour)
        + (usage.output_tokens - reasoned) * price.output
        + reasoned * (price.output if price.reasoning is None else price.reasoning)
    )
    return total / _MILLION + price.request


def from_model(model: Model) -> Price | None:
    """The price on the router's own list; None where it tells none, or only one half, or a dynamic one (negative)."""
    if model.free:
        return FREE
    if model.price_in is None or model.price_out is None or min(model.price_in, model.price_out) < 0:
        return None
    request = model.price_request or Decimal(0)
    # Tokens for nothing on a model that is not free: it is paid for in some other way, which nobody can add up.
    if not (model.price_in or model.price_out or request):
        return None
    return Price(model.price_in, model.price_out, model.price_cached, model.price_cache_write, request=request)


def known(router: Router, model_id: str) -> Price | None:
    """The price in the router's row, for what no list tells."""
    row = router.prices.get(model_id)
    if row is None or "input" not in row or "output" not in row:
        return None
    return Price(row["input"], row["output"], row.get("cached"))


def public(router: Router, model_id: str) -> Price | None:
    """The price that public data tells, for what neither a list, nor genai-prices, nor the row does."""
    told = router.known.get(model_id)
    if told is None or told.price_in is None or told.price_out is None:
        return None
    return Price(told.price_in, told.price_out, told.price_cached)


def base_id(model_id: str) -> str:
    """The id without its variant: OpenRouter's `x/y:nitro` is `x/y`, asked in another way. Free ones stay apart."""
    base, colon, variant = model_id.rpartition(":")
    return base if colon and variant in _VARIANTS else model_id


_VARIANTS = frozenset({"nitro", "floor", "online", "exacto", "thinking", "extended", "beta", "batch"})

_MOST_TIMES, _MORE_THAN_TOKENS = 20, Decimal(1)
"""A told cost may be so many times what the tokens cost, and so many dollars more, for searches, images and tools."""
_DEAREST = Price(Decimal(1000), Decimal(1000))
"""Nothing costs that much; for models whose price nobody knows."""


def believable(told: Decimal, price: Price | None, usage: Usage) -> Decimal:
    """What may be booked of a cost that the router tells: one that cannot be must not use up the month's budget."""
    most = cost(price, usage) * _MOST_TIMES if price else cost(_DEAREST, usage)
    return min(told, most + _MORE_THAN_TOKENS)
