"""Prices from genai-prices' offline data, for the routers whose row names its provider id."""

from __future__ import annotations

from decimal import Decimal
from functools import cache, lru_cache
from importlib.util import find_spec, module_from_spec
from typing import TYPE_CHECKING, Any

from chomp_mcp.policy.pricing import Price

if TYPE_CHECKING:
    from genai_prices.types import Provider

__all__ = ["genai_price", "is_loaded", "load"]


def is_loaded() -> bool:
    """Whether a look-up answers at once."""
    return _providers.cache_info().currsize > 0


def load() -> None:
    """Import the library and its data: a third of a second, best spent in a thread."""
    _providers()


@cache
def _providers() -> list[Provider]:
    """All of them; the module that holds them is loaded aside, and goes again."""
    spec = find_spec("genai_prices.data")
    if spec is None or spec.loader is None:
        raise ImportError("genai-prices has no data.")
    data = module_from_spec(spec)
    spec.loader.exec_module(data)
    return list(data.providers)


_SAMPLE = 1000
"""Tokens priced to learn the rate: few enough for the first of the prices that rise with the context."""
_PER_MILLION = 1_000_000 // _SAMPLE


@lru_cache(maxsize=4096)
def genai_price(provider_id: str, model_id: str) -> Price | None:
    """The price per million tokens, None where it is unknown; never raises, never uses the network.

    `provider_id` is genai-prices' own, which the router's row holds; an empty one knows nothing.

    Loads the library on first use: see `load`.
    """
    if not provider_id:
        return None
    try:
        return _look_up(provider_id, model_id)
    except (LookupError, ValueError, TypeError, ArithmeticError, ImportError):
        return None


def _look_up(provider_id: str, model_id: str) -> Price | None:
    import genai_prices

    fresh = _calculate(provider_id, model_id, input_tokens=_SAMPLE, output_tokens=_SAMPLE)
    rates = fresh.model_price
    is_free = model_id.endswith(":free")
    if not is_free and (rates.input_mtok is None or rates.output_mtok is None):
        return None  # priced by the second or the image: the sum of nothing would read as free
    cached = None
    if rates.cache_read_mtok is not None:
        reread = _calculate(provider_id, model_id, input_tokens=_SAMPLE, cache_read_tokens=_SAMPLE, output_tokens=0)
        cached = _rate(reread.input_price)
    source = f"genai-prices {genai_prices.__version__}"
    return Price(_rate(fresh.input_price), _rate(fresh.output_price), cached, source)


def _calculate(provider_id: str, model_id: str, **tokens: int) -> Any:
    from genai_prices import Usage
    from genai_prices.data_snapshot import DataSnapshot

    # A snapshot remembers every name that it was ever asked for: this one goes again.
    snapshot = DataSnapshot(providers=_providers(), from_auto_update=False)
    return snapshot.calc(
        Usage(**tokens), model_id, provider_id=provider_id, provider_api_url=None, genai_request_timestamp=None
    )


def _rate(sample_price: Decimal) -> Decimal:
    """A sample's price as USD per million, without the zeros that scaling leaves behind."""
    rate = (sample_price * _PER_MILLION).normalize()
    return rate.quantize(Decimal(1)) if rate == rate.to_integral_value() else rate
