"""Prices from genai-prices' offline data, for the routers it knows."""

from __future__ import annotations

import sys
from contextlib import suppress
from decimal import Decimal
from functools import lru_cache
from typing import Any

from chomp_mcp.policy.pricing import Price

__all__ = ["genai_price", "is_loaded", "load"]

_KNOWN = frozenset({"anthropic", "cerebras", "fireworks", "groq", "openai", "openrouter"})
"""Routers whose ids are genai-prices' provider ids."""


def is_loaded() -> bool:
    """Whether a look-up answers at once."""
    return "genai_prices" in sys.modules


def load() -> None:
    """Import the library and its data: a third of a second, best spent in a thread."""
    with suppress(LookupError):
        _calculate("openai", "gpt-4o", input_tokens=1, output_tokens=1)


_SAMPLE = 1000
"""Tokens priced to learn the rate: few enough for the first of the prices that rise with the context."""
_PER_MILLION = 1_000_000 // _SAMPLE


@lru_cache(maxsize=4096)
def genai_price(router_id: str, model_id: str) -> Price | None:
    """The price per million tokens, None where it is unknown; never raises, never uses the network.

    Loads the library on first use: see `load`.
    """
    if router_id not in _KNOWN:
        return None
    try:
        return _look_up(router_id, model_id)
    except (LookupError, ValueError, TypeError, ArithmeticError, ImportError):
        return None


def _look_up(router_id: str, model_id: str) -> Price | None:
    import genai_prices

    fresh = _calculate(router_id, model_id, input_tokens=_SAMPLE, output_tokens=_SAMPLE)
    rates = fresh.model_price
    is_free = model_id.endswith(":free")
    if not is_free and (rates.input_mtok is None or rates.output_mtok is None):
        return None  # priced by the second or the image: the sum of nothing would read as free
    cached = None
    if rates.cache_read_mtok is not None:
        reread = _calculate(router_id, model_id, input_tokens=_SAMPLE, cache_read_tokens=_SAMPLE, output_tokens=0)
        cached = _rate(reread.input_price)
    source = f"genai-prices {genai_prices.__version__}"
    return Price(_rate(fresh.input_price), _rate(fresh.output_price), cached, source)


def _calculate(router_id: str, model_id: str, **tokens: int) -> Any:
    from genai_prices import Usage, calc_price

    return calc_price(Usage(**tokens), model_id, provider_id=router_id)


def _rate(sample_price: Decimal) -> Decimal:
    """A sample's price as USD per million, without the zeros that scaling leaves behind."""
    rate = (sample_price * _PER_MILLION).normalize()
    return rate.quantize(Decimal(1)) if rate == rate.to_integral_value() else rate
