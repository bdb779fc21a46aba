"""The list of models of every router that lists as OpenAI does."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from chomp_mcp import wire
from chomp_mcp.dialects.openai import request as openai
from chomp_mcp.dialects.openai.models import MOST_ROWS, as_model, entries
from chomp_mcp.messages import Router
from chomp_mcp.routers.catalog import load
from chomp_mcp.settings import Settings

ROUTERS = load(Settings(home=Path("nowhere")))
LAB = Router(id="lab", name="Lab", url="http://lab/v1", max_tokens="")


def listed(router, *rows, **more):
    return openai.decode_list(ROUTERS[router], wire.dumps({"object": "list", "data": list(rows), **more}))


def test_a_list_is_asked_for_where_the_router_keeps_it():
    def url(router):
        return openai.encode_list(ROUTERS[router], "k")

    assert url("groq").url == "https://api.groq.com/openai/v1/models"
    assert url("cerebras").url == "https://api.cerebras.ai/v1/models?format=openrouter"
    assert url("fireworks").url == "https://api.fireworks.ai/v1/serverless/models"
    assert url("groq").headers["authorization"] == "Bearer k"
    assert "authorization" not in openai.encode_list(ROUTERS["openrouter"], "").headers


def test_openrouters_prices_are_per_token_and_minus_one_is_unknown():
    row = {
        "id": "z-ai/glm",
        "name": "GLM",
        "context_length": 200_000,
        "top_provider": {"context_length": 128_000, "max_completion_tokens": None},
        "pricing": {
            "prompt": "0.00000006",
            "completion": "0.0000004",
            "input_cache_read": "0.00000001",
            "request": "0",
        },
    }
    model, auto = listed("openrouter", row, {"id": "openrouter/auto", "pricing": {"prompt": "-1", "completion": "-1"}})
    assert (model.price_in, model.price_out, model.price_cached) == (Decimal("0.06"), Decimal("0.4"), Decimal("0.01"))
    assert (model.name, model.context_length, model.max_output, model.free) == ("GLM", 128_000, None, False)
    assert (auto.price_in, auto.price_out, auto.free) == (None, None, False)


@pytest.mark.parametrize(
    ("row", "free"),
    [
        ({"id": "a", "pricing": {"prompt": "0", "completion": "0.0"}}, True),
        ({"id": "a", "pricing": {"prompt": "0", "completion": "0", "request": "0.01"}}, False),
        ({"id": "a", "pricing": {"prompt": "0", "completion": "0", "discount": 0.5}}, True),
        ({"id": "a", "pricing": {"prompt": "0"}}, False),
        ({"id": "a", "pricing": {"prompt": "?", "completion": "?"}}, False),
        ({"id": "a", "pricing": {}}, False),
        ({"id": "a"}, False),
        ({"id": "a:free"}, True),
        ({"id": "openrouter/free", "pricing": {"prompt": "-1", "completion": "-1"}}, True),
    ],
)
def test_free_is_read_from_the_prices(row, free):
    assert listed("openrouter", row)[0].free is free


def test_groqs_context_is_in_its_own_field():
    row = {"id": "openai/gpt-oss-120b", "context_window": 131_072, "max_completion_tokens": 65_536, "active": True}
    model = listed("groq", row)[0]
    assert (model.context_length, model.max_output, model.price_in) == (131_072, 65_536, None)


def test_cerebras_lists_in_openrouters_form():
    row = {
        "id": "gpt-oss-120b",
        "context_length": 131_072,
        "max_output_length": 40_000,
        "pricing": {"prompt": "0.00000035", "completion": "0.00000075"},
    }
    model = listed("cerebras", row)[0]
    assert (model.context_length, model.max_output, model.price_in) == (131_072, 40_000, Decimal("0.35"))


def test_sambanovas_prices_are_numbers():
    row = {
        "id": "x",
        "context_length": 16_384,
        "max_completion_tokens": 4096,
        "pricing": {"prompt": 6e-07, "completion": 1.2e-06, "duration_per_hour": 3},
    }
    model = listed("sambanova", row)[0]
    assert (model.price_in, model.price_out, model.max_output) == (Decimal("0.6"), Decimal("1.2"), 4096)


def test_fireworks_sells_by_sku():
    pricing = [
        {"sku": "LLM input tokens (uncached)", "amount": "0.15", "unit": "1M tokens"},
        {"sku": "LLM input tokens (cached)", "amount": "0.03", "unit": "1M tokens"},
        {"sku": "LLM output tokens", "amount": "0.50", "unit": "1M tokens"},
    ]
    model = listed(
        "fireworks", {"id": "accounts/fireworks/models/glm", "pricing": pricing, "context_length": 1_048_576}
    )[0]
    assert (model.price_in, model.price_cached, model.price_out) == (Decimal("0.15"), Decimal("0.03"), Decimal("0.5"))
    assert format(model.price_out, "f") == "0.5"


@pytest.mark.parametrize(
    "row",
    [
        {"id": "whisper-large-v3"},
        {"id": "canopylabs/orpheus-v1-english"},
        {"id": "meta-llama/llama-prompt-guard-2-22m"},
        {"id": "openai/gpt-oss-safeguard-20b"},
        {"id": "text-embedding-3-large"},
        {"id": "qwen3-reranker-8b"},
        {"id": "gpt-image-2"},
        {"id": "black-forest-labs/flux-1"},
        {"id": "x", "active": False},
        {"id": "x", "type": "embedding"},
        {"id": "x", "architecture": {"output_modalities": ["image"]}},
        {"id": "x", "output_modalities": ["audio"]},
        {"id": ""},
        {"id": 3},
        {},
    ],
)
def test_what_cannot_chat_is_left_out(row):
    assert listed("groq", row) == ()


def test_zen_shows_its_models_whatever_dialect_each_speaks():
    ids = ["grok-5", "grok-build-0.1", "muse-spark-1.1", "qwen3.8-flash", "qwen3.8-max", "glm-5.3-flash"]
    assert [model.id for model in listed("zen", *({"id": i} for i in ids))] == ids


def test_zen_hides_what_only_opencode_may_use():
    shown = ["deepseek-v4.1-flash", "gpt-6", "claude-opus-5", "qwen3-max", "gemini-3"]
    hidden = ["big-pickle", "glm-5-free", "alpha-x", "jev-1"]
    assert [model.id for model in listed("zen", *({"id": i} for i in (*shown, *hidden)))] == shown


def test_what_chats_stays_whatever_else_its_name_says():
    ids = [
        "z-ai/glm-4.7-flash",
        "openai/gpt-oss-20b",
        "mistral-large",
        "qwen-vl-max",
        "gemma-3-27b-it",
        "groq/compound",
        "llama-3.2-11b-vision",
    ]
    assert [model.id for model in listed("groq", *({"id": i} for i in ids))] == ids


@pytest.mark.parametrize("body", [b'[{"id": "a"}]', b'{"data": [{"id": "a"}, 3]}', b'{"models": [{"id": "a"}]}'])
def test_a_list_may_be_bare_or_named(body):
    assert [model.ref for model in openai.decode_list(LAB, body)] == ["lab/a"]


@pytest.mark.parametrize("body", [b"", b"<html>", b'{"error": "no luck"}', b'"x"', b'{"data": {}}'])
def test_what_is_no_list_is_said_so(body):
    with pytest.raises(ValueError, match="model list"):
        openai.decode_list(LAB, body)


def test_of_a_list_without_end_the_first_ten_thousand_are_taken():
    """One of 24 MB kept everybody waiting for half a minute, at each request for it."""
    assert len(entries(b"[" + b'{"id":"m"},' * 12_000 + b'{"id":"n"}]')) == MOST_ROWS


def test_an_id_that_no_header_could_carry_is_not_listed():
    assert as_model(LAB, {"id": "m" * 512})
    assert as_model(LAB, {"id": "m" * 513}) is None
