"""A row of the user: what it may say, and how a wrong one is told."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from decimal import Decimal
from pathlib import Path

import pytest

from chomp_mcp import routers
from chomp_mcp.errors import InvalidSetting
from chomp_mcp.messages import Router
from chomp_mcp.routers.catalog import load
from chomp_mcp.settings import Settings

CATALOG = Path(routers.__file__).with_name("catalog.toml")


def settings(rows=None, **environment):
    return Settings(home=Path("nowhere"), router_rows=rows or {}, environment=environment)


def test_a_users_row_needs_only_a_url():
    lab = load(settings({"lab": {"url": "http://127.0.0.1:8099/v1/"}}))["lab"]
    assert lab == Router(id="lab", name="lab", url="http://127.0.0.1:8099/v1", max_tokens="")


def test_a_users_row_takes_every_field_of_the_catalog():
    row = {
        "url": "http://127.0.0.1:8099/v1",
        "name": "Lab",
        "key": "LAB_API_KEY",
        "models": ["qwen3", "gemma"],
        "headers": {"X-Team": "a"},
    }
    lab = load(settings({"lab": row}))["lab"]
    assert (lab.name, lab.key_variable, lab.models, lab.headers) == (
        "Lab",
        "LAB_API_KEY",
        ("qwen3", "gemma"),
        {"x-team": "a"},
    )


def test_a_users_row_says_what_a_router_counts_and_costs():
    row = {
        "url": "http://127.0.0.1:8099/v1",
        "quota_windows": {"requests": "minute"},
        "genai_prices": "mistral",
        "price_unit": "million",
        "price_names": {"in": "prompt"},
        "prices": {"qwen3": {"input": 0.1, "output": 1}},
        "price_source": "our contract",
    }
    lab = load(settings({"lab": row}))["lab"]
    assert lab.quota_windows == {"requests": "minute"}
    assert (lab.genai_prices, lab.price_unit, lab.price_names) == ("mistral", "million", {"in": "prompt"})
    assert lab.prices == {"qwen3": {"input": Decimal("0.1"), "output": Decimal(1)}}
    assert lab.price_source == "our contract"


def test_the_shipped_rows_stand_the_check_of_a_users_row_and_mean_the_same():
    rows = tomllib.loads(CATALOG.read_text(encoding="utf-8"))["routers"]
    shipped = load(settings())
    assert load(settings(rows)) == shipped
    amounts = [price for router in shipped.values() for row in router.prices.values() for price in row.values()]
    assert all(type(amount) is Decimal for amount in amounts)


def test_a_start_without_rows_of_the_users_imports_no_pydantic(tmp_path):
    program = "from chomp_mcp import Chomp; Chomp(); import sys; print('pydantic' in sys.modules)"
    ran = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "CHOMP_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout.strip() == "False"


@pytest.mark.parametrize(
    ("rows", "names"),
    [
        ({"lab": {}}, ("lab", "url")),
        ({"lab": {"url": "ftp://lab"}}, ("lab", "url", "http")),
        ({"lab": {"url": "http://me:secret@lab/v1"}}, ("lab", "url", "password")),
        ({"lab": {"url": 8099}}, ("lab", "url", "text")),
        ({"lab": {"url": "http://lab", "colour": "red"}}, ("lab", "colour", "Known")),
        ({"lab": {"url": "http://lab", "keyy": "LAB_KEY"}}, ("lab", "keyy", "Did you mean key?")),
        ({"lab": {"url": "http://lab", "dialect": "cohere"}}, ("lab", "dialect", "anthropic")),
        ({"lab": {"url": "http://lab", "models": "qwen3"}}, ("lab", "models", "list")),
        ({"lab": {"url": "http://lab", "models": [1]}}, ("lab", "models", "list")),
        ({"lab": {"url": "http://lab", "headers": {"X-Team": 1}}}, ("lab", "headers")),
        ({"lab": {"url": "http://lab", "headers": {"X Team": "a"}}}, ("lab", "headers")),
        ({"lab": {"url": "http://lab", "headers": {"X-Team": "a\r\nb"}}}, ("lab", "headers")),
        ({"lab": {"url": "http://lab", "free": "yes"}}, ("lab", "free", "true or false")),
        ({"lab": {"url": "http://lab", "joins_auto": "always"}}, ("lab", "joins_auto", "keyed")),
        ({"lab": {"url": "http://lab", "max_tokens": "limit"}}, ("lab", "max_tokens")),
        ({"lab": {"url": "http://lab", "models_path": "models"}}, ("lab", "models_path")),
        ({"lab": {"url": "http://lab", "prices": {"m": {"input": "dear"}}}}, ("lab", "prices", "per million")),
        ({"lab": {"url": "http://lab", "prices": {"m": {"input": -1}}}}, ("lab", "prices", "per million")),
        ({"lab": {"url": "http://lab", "prices": {"m": {"in": 1}}}}, ("lab", "prices", "input = ")),
        ({"lab": {"url": "http://lab", "quota_windows": {"requests": "year"}}}, ("lab", "quota_windows", "day")),
        ({"lab": {"url": "http://lab", "price_unit": "cent"}}, ("lab", "price_unit", "million")),
        ({"lab": {"url": "http://lab", "url_variable": "LAB URL"}}, ("lab", "url_variable", "variable")),
        ({"Lab 1": {"url": "http://lab"}}, ("Lab 1", "a-z")),
        ({"auto": {"url": "http://lab"}}, ("auto", "reserved")),
        ({"lab": "http://lab"}, ("lab", "table")),
    ],
)
def test_a_wrong_row_is_named_with_its_field(rows, names):
    with pytest.raises(InvalidSetting) as wrong:
        load(settings(rows))
    assert all(name in str(wrong.value) for name in names)
    assert wrong.value.hint


def test_neither_a_key_nor_a_password_in_the_wrong_place_is_repeated():
    for row in ({"url": "http://lab", "key": "sk-secret-1"}, {"url": "http://me:sk-secret-1@lab"}):
        with pytest.raises(InvalidSetting) as wrong:
            load(settings({"lab": row}))
        assert "sk-secret-1" not in str(wrong.value)


def test_a_variable_may_hold_the_password_of_a_server_and_a_row_may_not_say_what_moved_it():
    assert load(settings(OLLAMA_BASE_URL="http://me:pw@box:1"))["ollama"].url == "http://me:pw@box:1"
    with pytest.raises(InvalidSetting, match="unknown field 'url_from'"):
        load(settings({"lab": {"url": "http://lab", "url_from": "here"}}))
