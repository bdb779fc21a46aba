"""Prices and costs: exact, and unknown is never zero."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chomp_mcp.messages import Model, Usage
from chomp_mcp.policy.pricing import FREE, Price, base_id, believable, cost, from_model, known, public
from chomp_mcp.routers.catalog import load
from chomp_mcp.routers.prices import genai_price
from chomp_mcp.settings import Settings

D = Decimal
ROUTERS = load(Settings(home=Path("nowhere")))
PRICE = Price(D("0.15"), D("0.60"), D("0.075"))
NO_CACHE_PRICE = Price(D("0.15"), D("0.60"))


@pytest.mark.parametrize(
    ("price", "usage", "expected"),
    [
        (PRICE, Usage(1_000_000, 1_000_000), "0.75"),
        (PRICE, Usage(1_000_000, 0, cached_tokens=400_000), "0.12"),
        (NO_CACHE_PRICE, Usage(1_000_000, 0, cached_tokens=400_000), "0.15"),
        (PRICE, Usage(1, 1), "0.00000075"),
        (PRICE, Usage(10, 0, cached_tokens=99), "0.00000075"),
        (PRICE, Usage(), "0"),
        (FREE, Usage(10**9, 10**9), "0"),
    ],
)
def test_a_cost_is_exact(price, usage, expected):
    assert cost(price, usage) == D(expected)


tokens = st.integers(0, 10**7)


@given(tokens, tokens, tokens)
def test_a_cost_is_never_negative_and_cached_input_never_dearer(given_tokens, answered, cached):
    with_cache = cost(PRICE, Usage(given_tokens, answered, cached_tokens=cached))

    assert 0 <= with_cache <= cost(PRICE, Usage(given_tokens, answered))


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (Model("x", "m", price_in=D("0.1"), price_out=D("0.2")), (D("0.1"), D("0.2"), None)),
        (Model("x", "m", price_in=D(1), price_out=D(2), price_cached=D("0.5")), (D(1), D(2), D("0.5"))),
        (Model("x", "m", price_in=D(0), price_out=D(0), free=True), (D(0), D(0), None)),
        (Model("x", "m:free", free=True), (D(0), D(0), None)),
        (Model("x", "m"), None),
        (Model("x", "m", price_in=D("0.1")), None),
        (Model("x", "m", price_in=D(-1), price_out=D(-1)), None),
    ],
)
def test_the_routers_list_prices_a_model_or_leaves_it_unknown(model, expected):
    price = from_model(model)

    assert (price and (price.input, price.output, price.cached)) == expected


def test_the_rows_of_zen_and_sambanova_know_prices():
    price = known(ROUTERS["zen"], "deepseek-v4.1-flash")

    assert price == Price(D("0.30"), D("1.20"), D("0.01"))
    assert known(ROUTERS["sambanova"], "Meta-Llama-3.3-70B-Instruct").output == D("1.20")
    assert known(ROUTERS["zen"], "some-new-model") is None
    assert known(ROUTERS["groq"], "openai/gpt-oss-120b") is None
    found = public(ROUTERS["groq"], "openai/gpt-oss-120b")
    assert (found.input, found.output) == (D("0.15"), D("0.6"))


def test_every_price_of_a_row_is_sensible():
    for router in ROUTERS.values():
        for model in router.prices:
            price = known(router, model)
            assert 0 < price.input <= price.output < 100, model
            assert price.cached is None or 0 < price.cached < price.input, model
            assert router.price_source, "where they were read"


@pytest.mark.parametrize(
    ("tier", "expected"), [("", "5.25"), ("default", "5.25"), ("priority", "10.5"), ("flex", "2.625")]
)
def test_a_service_tier_has_its_own_price(tier, expected):
    assert cost(genai_price("openai", "gpt-5.4-mini"), Usage(10**6, 10**6, service_tier=tier)) == D(expected)


def test_what_is_written_into_the_cache_costs_what_writing_costs():
    price = genai_price("anthropic", "claude-haiku-5-5")

    assert cost(price, Usage(90_000, 0, cache_write_tokens=90_000)) == D("0.01125")
    assert cost(price, Usage(90_000, 0, cache_write_tokens=90_000, cache_write_hour_tokens=90_000)) == D("0.018")


def test_a_fee_for_each_call_is_not_free_and_other_fees_are_unknown():
    fee = Model("x", "m", price_in=D(0), price_out=D(0), price_request=D("0.01"))

    assert cost(from_model(fee), Usage(10, 10)) == D("0.01")
    assert from_model(Model("x", "m", price_in=D(0), price_out=D(0))) is None


@pytest.mark.parametrize(
    ("model", "base"),
    [("a/b:nitro", "a/b"), ("a/b:floor", "a/b"), ("a/b:free", "a/b:free"), ("a/b", "a/b"), ("qwen3:8b", "qwen3:8b")],
)
def test_a_variant_is_priced_as_its_model(model, base):
    assert base_id(model) == base


@pytest.mark.parametrize(
    ("told", "price", "booked"),
    [
        ("0.01", PRICE, "0.01"),
        ("0.9", PRICE, "0.9"),  # a search, a picture
        ("9999", PRICE, "1.000054"),
        ("9999", None, "1.018"),
        ("0", PRICE, "0"),
    ],
)
def test_a_cost_that_cannot_be_is_bounded(told, price, booked):
    assert believable(D(told), price, Usage(18, 0)) == D(booked)
