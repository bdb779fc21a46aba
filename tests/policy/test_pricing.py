"""Prices and costs: exact, and unknown is never zero."""

from __future__ import annotations

import base64
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chomp_mcp.errors import InvalidRequest
from chomp_mcp.messages import Model, Usage
from chomp_mcp.policy.pricing import FREE, Price, cost, estimate_usage, from_model, known, upper_estimate
from chomp_mcp.routers.catalog import load
from chomp_mcp.routers.prices import genai_price
from chomp_mcp.settings import Settings

D = Decimal
ROUTERS = load(Settings(home=Path("nowhere")))
PRICE = Price(D("0.15"), D("0.60"), D("0.075"), "test")
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


def test_the_rows_of_zen_and_sambanova_know_prices_with_their_source():
    price = known(ROUTERS["zen"], "deepseek-v4.1-flash")

    assert price == Price(D("0.30"), D("1.20"), D("0.01"), ROUTERS["zen"].price_source)
    assert known(ROUTERS["sambanova"], "Meta-Llama-3.3-70B-Instruct").output == D("1.20")
    assert known(ROUTERS["zen"], "some-new-model") is None
    assert known(ROUTERS["groq"], "openai/gpt-oss-120b") is None


def test_every_price_of_a_row_is_sensible():
    for router in ROUTERS.values():
        for model in router.prices:
            price = known(router, model)
            assert 0 < price.input <= price.output < 100, model
            assert price.cached is None or 0 < price.cached < price.input, model
            assert price.source


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


def ask(**options):
    return {"messages": [{"role": "user", "content": "x" * 300}], **options}


@pytest.mark.parametrize(
    ("body", "max_output", "output_tokens"),
    [
        (ask(), None, 4096),
        (ask(), 1000, 1000),
        (ask(), 65_536, 4096),
        (ask(max_tokens=10), None, 10),
        (ask(max_completion_tokens=20_000), 65_536, 20_000),
        (ask(max_tokens=10**9), 8192, 8192),
        (ask(max_tokens=10, n=3), None, 30),
        (ask(max_tokens=10, n=0), None, 10),
        (ask(max_tokens=10, n="3"), None, 10),
        (ask(max_tokens="many"), None, 4096),
        (ask(max_tokens=True), None, 4096),
        (ask(max_tokens=-5), None, 4096),
        (ask(max_tokens=None, max_completion_tokens=7), None, 7),
    ],
)
def test_an_upper_estimate_counts_the_most_that_may_be_answered(body, max_output, output_tokens):
    only_output = Price(D(0), D(1_000_000))

    assert upper_estimate(only_output, body, max_output) == output_tokens


ONLY_INPUT = Price(D(1_000_000), D(0))


def test_an_upper_estimate_counts_a_token_for_three_characters_of_the_request():
    assert 100 < upper_estimate(ONLY_INPUT, ask(), None) < 130


def test_an_image_costs_what_images_cost_and_not_its_base64():
    image = "data:image/png;base64," + base64.b64encode(bytes(3_000_000)).decode()
    body = {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": image}}] * 2}]}

    assert 4000 < upper_estimate(ONLY_INPUT, body, None) < 4200


@pytest.mark.parametrize("odd", ["\ud83d", 2**70])
def test_a_request_of_odd_json_is_estimated_too(odd):
    assert upper_estimate(ONLY_INPUT, ask(odd=odd), None) > 100


@pytest.mark.parametrize("odd", [{"set"}, b"bytes", ["\ud83d", float("nan")]], ids=["set", "bytes", "NaN"])
def test_a_request_that_is_no_json_is_refused(odd):
    with pytest.raises(InvalidRequest, match=r"The request is not JSON.*Leave out"):
        upper_estimate(ONLY_INPUT, ask(odd=odd), None)


def test_a_free_model_reserves_nothing():
    assert upper_estimate(FREE, ask(max_tokens=10**6), None) == 0


def test_usage_without_a_report_is_counted_from_the_text_and_flagged():
    assert estimate_usage(401, 8) == Usage(101, 2, estimated=True)
    assert estimate_usage(0, 0) == Usage(0, 0, estimated=True)
