"""Prices from genai-prices' offline data, for the routers whose row names its provider id."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache, lru_cache
from importlib.util import find_spec, module_from_spec
from typing import TYPE_CHECKING, Any

from chomp_mcp.policy.pricing import FREE, Price

if TYPE_CHECKING:
    from genai_prices.types import ModelPrice, Provider


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


@lru_cache(maxsize=4096)
def genai_price(provider_id: str, model_id: str) -> Price | None:
    """The price per million tokens, None where it is unknown; never raises, never uses the network.

    `provider_id` is genai-prices' own, which the router's row holds; an empty one knows nothing. With all that the
    library, which is loaded on first use (see `load`), knows of it: prices that rise with the context, of the cache, of
    service tiers.
    """
    if not provider_id:
        return None
    try:
        from genai_prices.data_snapshot import DataSnapshot

        # A snapshot remembers every name that it was ever asked for: this one goes again.
        snapshot = DataSnapshot(providers=_providers(), from_auto_update=False)
        model = snapshot.find_provider_model(model_id, None, provider_id, None)[1]
        now = datetime.now(UTC)
        standard = model.get_prices(now)
        if model_id.endswith(":free"):
            return FREE
        if standard.input_mtok is None or standard.output_mtok is None:
            return None  # priced by the second or the image: the sum of nothing would read as free
        tiers = {variant.when.get(_TIER, "") for variant in model.price_variants or () if set(variant.when) == {_TIER}}
        by_tier = {tier: _price(model.get_prices(now, {_TIER: tier})) for tier in tiers if tier}
        return replace(_price(standard), service_tiers=by_tier)
    except (LookupError, ValueError, TypeError, ArithmeticError, ImportError):
        return None


_TIER = "service_tier"


_RATES: Mapping[str, str] = {
    "input": "input_mtok",
    "output": "output_mtok",
    "cached": "cache_read_mtok",
    "cache_write": "cache_write_mtok",
    "cache_write_hour": "cache_write_1h_mtok",
    "reasoning": "output_reasoning_mtok",
}
"""Our words -> genai-prices' own."""


def _price(rates: ModelPrice) -> Price:
    """Its rates as ours. The library's tiers are cliffs: past one, all tokens cost what it says."""
    by_name = {ours: getattr(rates, theirs) for ours, theirs in _RATES.items()}
    starts = sorted({tier.start for rate in by_name.values() for tier in getattr(rate, "tiers", ())}, reverse=True)
    return replace(_flat(by_name, -1), tiers=tuple((start, _flat(by_name, start)) for start in starts))


def _flat(by_name: Mapping[str, Any], start: int) -> Price:
    """What counts from more than `start` input tokens on."""
    rates: dict[str, Any] = {}
    for name, rate in by_name.items():
        if isinstance(rate, Decimal):
            rates[name] = rate
        elif rate is not None:
            reached = [tier.price for tier in rate.tiers if tier.start <= start]
            rates[name] = Decimal(reached[-1] if reached else rate.base)
    return Price(**rates)
