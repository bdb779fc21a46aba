"""Prices of genai-prices, for the routers that name their provider."""

from __future__ import annotations

from decimal import Decimal

import pytest

from chomp_mcp.messages import Usage
from chomp_mcp.policy.pricing import cost
from chomp_mcp.routers.prices import genai_price

D = Decimal


@pytest.mark.parametrize(
    ("router", "model", "expected"),
    [
        ("groq", "openai/gpt-oss-120b", (D("0.15"), D("0.6"))),
        ("cerebras", "gpt-oss-120b", (D("0.35"), D("0.75"))),
        ("fireworks", "accounts/fireworks/models/glm-5p3-flash", (D("0.15"), D("0.5"))),
        ("openrouter", "openai/gpt-oss-20b:free", (D(0), D(0))),
        ("openrouter", "openrouter/auto", None),
        ("groq", "no-such-model", None),
        ("groq", "whisper-large-v3", None),
        ("openai", "text-embedding-3-small", None),
        ("", "minimax-m3", None),
        ("lab", "gpt-5", None),
        ("groq", "", None),
    ],
)
def test_genai_prices_knows_the_big_routers_offline_and_never_raises(router, model, expected):
    price = genai_price(router, model)

    assert (price and (price.input, price.output)) == expected


def test_genai_prices_tell_the_price_of_a_short_context_where_it_rises_with_the_context():
    price = genai_price("anthropic", "claude-sonnet-4-5")

    assert (price.input, price.cached) == (D(3), D("0.3"))


def test_genai_prices_are_asked_for_all_that_they_know():
    """Equal to the library's own sum, whatever the usage is made of."""
    import genai_prices

    for provider, model in (
        ("anthropic", "claude-haiku-5-5"),
        ("anthropic", "claude-sonnet-4-5"),
        ("openai", "gpt-5.4-mini"),
        ("openai", "gpt-5.5"),
        ("groq", "openai/gpt-oss-120b"),
        ("openrouter", "anthropic/claude-sonnet-4.5"),
    ):
        price = genai_price(provider, model)
        for asked in (1_000, 99_999, 100_001, 250_000, 300_000):
            for read, written, hour in ((0, 0, 0), (asked // 2, 0, 0), (asked // 4, asked // 2, 0)):
                told = {"input_tokens": asked, "output_tokens": 700}
                told |= {"cache_read_tokens": read} if price.cached is not None else {}
                told |= {"cache_write_tokens": written} if price.cache_write is not None else {}
                theirs = genai_prices.calc_price(genai_prices.Usage(**told), model, provider_id=provider).total_price
                usage = Usage(
                    asked,
                    700,
                    cached_tokens=told.get("cache_read_tokens", 0),
                    cache_write_tokens=told.get("cache_write_tokens", 0),
                    cache_write_hour_tokens=hour,
                )
                assert cost(price, usage) == theirs, (provider, model, told)
