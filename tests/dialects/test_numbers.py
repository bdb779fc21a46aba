"""Figures that nobody can mean count for nothing, wherever a router puts them."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chomp_mcp import wire
from chomp_mcp.dialects.anthropic import answer as anthropic
from chomp_mcp.dialects.numbers import MOST_COST, MOST_PRICE, MOST_TOKENS, dollars, tokens
from chomp_mcp.dialects.ollama import compatible as ollama
from chomp_mcp.dialects.openai import request as openai
from chomp_mcp.messages import Completion, Model, Router, Usage
from chomp_mcp.policy import budget, pricing

ROUTER = Router("lab", "Lab", "https://lab.test/v1")
ABSURD = ["1e300", "1e400", "-1e400", "1" + "0" * 400, '"1e999999"', '"9e99999999"', "{}", "[]"]
ODD = ["-1", "true", '"NaN"', '"sNaN"', '"Infinity"', '"x"', '"1e-999999"', f'"0.{"1" * 100}"', '""']


def answer(**fields: str) -> bytes:
    told = "".join(f',"{name}":{value}' for name, value in fields.items())
    return b'{"note":"\\ud83d","choices":[{"index":0,"message":{"content":"hi"}}]%s}' % told.encode()


@pytest.mark.parametrize("cost", [*ABSURD, *ODD, f"{MOST_COST + 1}"])
def test_a_cost_that_nobody_can_mean_is_unknown(cost):
    for body in (answer(cost=cost), answer(usage=f'{{"cost":{cost}}}')):
        decoded = openai.decode(body)
        assert isinstance(decoded, Completion)
        assert decoded.cost_usd is None


@pytest.mark.parametrize(("cost", "usd"), [("0", "0"), ("0.0123", "0.0123"), ('"1e-9"', "1e-9"), ("10000", "10000")])
def test_a_cost_that_can_be_meant_is_exact(cost, usd):
    assert openai.decode(answer(cost=cost)).cost_usd == Decimal(usd)


@pytest.mark.parametrize("count", [*ABSURD[:-2], '"many"', "-1", f"{MOST_TOKENS + 1}"])
def test_tokens_that_nobody_can_have_counted_are_no_usage(count):
    for usage in (f'{{"prompt_tokens":{count},"completion_tokens":1}}', f'{{"completion_tokens":{count}}}'):
        assert openai.decode(answer(usage=usage)).usage is None
        told = b'{"note":"\\ud83d","choices":[],"usage":%s}' % usage.encode()
        decoder = openai.decoder()
        decoder.feed(b"data: " + told + b"\n\n")
        assert decoder.usage is None


def test_counts_that_are_not_there_are_none_of_them():
    usage = '{"prompt_tokens":7,"completion_tokens":null,"prompt_tokens_details":{"cached_tokens":1e300}}'
    assert openai.decode(answer(usage=usage)).usage == Usage(7, 0, 0)


@pytest.mark.parametrize("count", ABSURD[:4])
def test_the_other_dialects_count_the_same_way(count):
    message = b'{"note":"\\ud83d","content":[],"usage":{"input_tokens":7,"output_tokens":%s}}' % count.encode()
    assert anthropic.decode(message).usage is None
    line = b'{"note":"\\ud83d","done":true,"message":{"content":"hi"},"eval_count":%s}' % count.encode()
    assert ollama.decode(line).usage is None


def listed(price: str = "0", context: str = "1", router: Router = ROUTER) -> Model:
    row = '{"id":"m","name":"\\ud83d","context_length":%s,"pricing":{"prompt":%s,"completion":%s}}'
    return openai.decode_list(router, (f'{{"data":[{row % (context, price, price)}]}}').encode())[0]


@pytest.mark.parametrize("price", [*ABSURD, *ODD, "2000000"])
def test_a_price_that_nobody_can_mean_is_unknown_and_not_free(price):
    model = listed(price)
    assert (model.price_in, model.price_out, model.free) == (None, None, False)


def test_the_highest_price_is_a_million_for_a_million_tokens():
    assert listed("1", router=replace(ROUTER, price_unit="token")).price_in == MOST_PRICE


@pytest.mark.parametrize("context", [*ABSURD, *ODD, "0"])
def test_a_context_that_nobody_can_have_is_unknown(context):
    assert listed(context=context).context_length is None


@given(st.text(max_size=80) | st.integers() | st.floats() | st.booleans() | st.none() | st.lists(st.integers()))
def test_whatever_is_told_can_be_reckoned_with(told):
    count, amount = tokens(told), dollars(told, MOST_COST)
    assert count is None or 0 <= count <= MOST_TOKENS
    if amount is not None:
        most = pricing.cost(pricing.Price(amount * 100, amount * 100), Usage(MOST_TOKENS, MOST_TOKENS))
        assert abs(budget.nano(most)) <= 2 * 10**3 * MOST_COST * 100 * 10**9
        assert len(format(amount.normalize() + 0, "f")) < 100


def test_a_list_that_is_nested_without_end_is_no_list():
    with pytest.raises(ValueError, match="not JSON"):
        openai.decode_list(ROUTER, b'{"data":"\\ud83d","x":' + b"[" * 100_000 + b"]" * 100_000 + b"}")


def test_an_answer_that_is_nested_without_end_is_no_answer():
    for text in (b"hi", b"\\ud83d", b"\xed\xa0\xbd"):
        body = b'{"x":"' + text + b'","deep":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
        assert "not a JSON object" in openai.decode(body).message


@pytest.mark.parametrize(
    ("price", "per_million"), [("0.6", "0.6"), ("3", "3"), ("0.0000006", "0.6"), ("0.000999", "999"), ("0", "0")]
)
def test_sambanovas_prices_are_per_million_where_per_token_would_be_absurd(price, per_million):
    sambanova = Router("sambanova", "SambaNova", "https://samba.test/v1", price_unit="unclear")
    assert listed(price, router=sambanova).price_in == Decimal(per_million)
    assert wire.dumps(str(listed(price, router=sambanova).price_in))
