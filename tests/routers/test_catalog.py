"""The catalog, the user's rows on top of it, and what a wrong row is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from chomp_mcp.errors import InvalidSetting
from chomp_mcp.routers.catalog import environment_keys, load
from chomp_mcp.settings import IN_URLS, URLS, Settings

ORDER = [
    "zen",
    "groq",
    "cerebras",
    "sambanova",
    "fireworks",
    "openrouter",
    "gemini",
    "mistral",
    "nvidia",
    "zai",
    "deepseek",
    "xai",
    "together",
    "zen-go",
    "ollama-cloud",
    "huggingface",
    "cloudflare",
    "moonshot",
    "deepinfra",
    "nebius",
    "siliconflow",
    "ollama",
    "lmstudio",
    "llamacpp",
    "vllm",
    "cursor",
    "openai",
    "anthropic",
    "mock",
]


def settings(rows=None, **environment):
    return Settings(home=Path("nowhere"), router_rows=rows or {}, environment=environment)


def test_the_catalog_holds_every_router_in_the_order_of_auto():
    assert list(load(settings())) == ORDER


def test_every_row_has_what_a_person_and_a_request_need():
    for router in load(settings()).values():
        assert router.name
        assert "://" in router.url
        assert not router.url.endswith("/")
        assert bool(router.keys_page) >= router.needs_key
        assert router.models or router.joins_auto == "reachable"


def test_the_key_variables_are_those_that_everybody_uses():
    variables = {router.id: router.key_variable for router in load(settings()).values() if router.needs_key}
    assert variables == {
        "zen": "OPENCODE_API_KEY",
        "groq": "GROQ_API_KEY",
        "cerebras": "CEREBRAS_API_KEY",
        "sambanova": "SAMBANOVA_API_KEY",
        "fireworks": "FIREWORKS_API_KEY",
        "openrouter": "OPENROUTER_API_KEY",
        "gemini": "GEMINI_API_KEY",
        "mistral": "MISTRAL_API_KEY",
        "nvidia": "NVIDIA_API_KEY",
        "zai": "ZAI_API_KEY",
        "deepseek": "DEEPSEEK_API_KEY",
        "xai": "XAI_API_KEY",
        "together": "TOGETHER_API_KEY",
        "zen-go": "OPENCODE_GO_API_KEY",
        "ollama-cloud": "OLLAMA_API_KEY",
        "huggingface": "HF_TOKEN",
        "cloudflare": "CLOUDFLARE_API_KEY",
        "moonshot": "MOONSHOT_API_KEY",
        "deepinfra": "DEEPINFRA_API_KEY",
        "nebius": "NEBIUS_API_KEY",
        "siliconflow": "SILICONFLOW_API_KEY",
        "openai": "OPENAI_API_KEY",
        "anthropic": "ANTHROPIC_API_KEY",
    }


def test_only_the_deprecated_routers_never_join_auto():
    routers = load(settings()).values()
    assert [r.id for r in routers if r.joins_auto == "never"] == [r.id for r in routers if r.deprecated]
    assert all("OpenRouter" in r.note for r in routers if r.deprecated)


def test_what_costs_nothing_by_nature_is_marked():
    assert {r.id for r in load(settings()).values() if r.free} == {
        "ollama", "lmstudio", "llamacpp", "vllm", "cursor", "mock",
    }  # fmt: skip


def test_what_auto_tries_first_is_what_lives_longest():
    routers = load(settings())
    assert routers["fireworks"].models[0] == "accounts/fireworks/routers/glm-flash-latest"
    assert routers["openai"].models[0] == "gpt-6-luna"
    assert "glm-5.3-flash" in routers["zen"].models[:2]
    retired = {"accounts/fireworks/models/gpt-oss-20b", "gpt-5-mini"}
    assert not retired & {model for router in routers.values() for model in router.models}


def test_a_users_row_changes_a_built_in_router_field_by_field():
    routers = load(settings({"groq": {"models": ["mine"]}}))
    assert list(routers) == ORDER
    assert routers["groq"].models == ("mine",)
    assert routers["groq"].url == load(settings())["groq"].url


def test_a_list_elsewhere_does_not_outlive_the_url_it_belongs_to():
    by_row = load(settings({"fireworks": {"url": "http://127.0.0.1:1/v1"}}))["fireworks"]
    by_variable = load(settings(CHOMP_ROUTER_FIREWORKS_URL="http://127.0.0.1:1/v1"))["fireworks"]
    assert by_row.models_path == by_variable.models_path == "/models"
    assert load(settings(CHOMP_ROUTER_CEREBRAS_URL="http://127.0.0.1:1"))["cerebras"].models_path.startswith("/models?")


@pytest.mark.parametrize(
    ("variable", "router", "url"),
    [
        ("OLLAMA_BASE_URL", "ollama", "http://box:11434"),
        ("LMSTUDIO_BASE_URL", "lmstudio", "http://box:1234/v1"),
        ("CURSOR_ADAPTER_URL", "cursor", "http://box:3210"),
        ("CHOMP_ROUTER_GROQ_URL", "groq", "http://127.0.0.1:9/openai/v1"),
        ("CHOMP_ROUTER_MY_LAB_URL", "my-lab", "https://lab.example/v1"),
    ],
)
def test_a_variable_moves_a_router(variable, router, url):
    rows = {"my-lab": {"url": "http://127.0.0.1:1"}}
    assert load(settings(rows, **{variable: f"{url}/"}))[router].url == url


def test_what_moves_a_router_stands_in_the_config_as_well(tmp_path):
    built_in = load(settings())
    assert {router.url_variable for router in built_in.values() if router.url_variable} == set(URLS)
    assert {router.url_lacks for router in built_in.values() if router.url_lacks} == set(IN_URLS)
    names = [*(f'{name} = "box:1"' for name in URLS), *(f'{name} = "0a1b"' for name in IN_URLS)]
    (tmp_path / "config.toml").write_text("\n".join(names))
    moved = load(Settings.load({"CHOMP_HOME": str(tmp_path)}))
    assert {router.url for router in moved.values() if router.url_variable} == {"http://box:1", "http://box:1/v1"}
    assert "/accounts/0a1b/" in moved["cloudflare"].url


@pytest.mark.parametrize("said", ["box:1234", "http://box:1234/", "http://box:1234/v1"])
def test_where_a_program_listens_is_enough_and_its_path_stays(said):
    assert load(settings(LMSTUDIO_BASE_URL=said))["lmstudio"].url == "http://box:1234/v1"


def test_a_bare_host_and_port_is_enough():
    assert load(settings(OLLAMA_BASE_URL="box:11434"))["ollama"].url == "http://box:11434"


def test_an_empty_variable_counts_as_absent():
    assert load(settings(OLLAMA_BASE_URL=" ", CHOMP_ROUTER_NOBODY_URL=""))["ollama"].url == "http://localhost:11434"


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("CHOMP_ROUTER_NOBODY_URL", "http://box", "nobody"),
        ("CHOMP_ROUTER_GROQ_URL", "ftp://box", "http"),
        ("OLLAMA_BASE_URL", "box:many", "http"),
    ],
)
def test_a_wrong_url_variable_is_named(variable, value, says):
    with pytest.raises(InvalidSetting) as wrong:
        load(settings(**{variable: value}))
    assert variable in str(wrong.value)
    assert says in str(wrong.value)


def test_several_keys_in_one_variable_are_separated_by_commas():
    there = settings(GROQ_API_KEY=" gsk_a, gsk_b,gsk_a,, ", OPENAI_API_KEY="  ")
    assert environment_keys(there, load(there)) == {"groq": ("gsk_a", "gsk_b")}


def test_a_users_key_variable_is_read_too():
    there = settings({"lab": {"url": "http://lab", "key": "LAB_API_KEY"}}, LAB_API_KEY="secret")
    assert environment_keys(there, load(there)) == {"lab": ("secret",)}


def test_a_key_comes_without_its_quotes_and_a_placeholder_is_none():
    there = settings(
        GROQ_API_KEY='"gsk_abc"',
        OPENAI_API_KEY="${user_config.openai_api_key}",
        CEREBRAS_API_KEY="CEREBRAS_API_KEY=csk",
    )
    assert environment_keys(there, load(there)) == {"groq": ("gsk_abc",), "cerebras": ("csk",)}


def test_a_key_with_white_space_inside_is_refused_without_repeating_it():
    there = settings(GROQ_API_KEY="gsk_a gsk_b")
    with pytest.raises(InvalidSetting) as wrong:
        environment_keys(there, load(there))
    assert "GROQ_API_KEY" in str(wrong.value)
    assert "gsk_" not in str(wrong.value)


def test_a_router_says_what_moved_it():
    rows = {"groq": {"url": "http://127.0.0.1:1/v1"}, "lab": {"url": "http://127.0.0.1:2"}, "zen": {"name": "Z"}}
    routers = load(settings(rows, OLLAMA_BASE_URL="box:1", CHOMP_ROUTER_OPENAI_URL="http://127.0.0.1:3"))
    assert {router.id: router.url_from for router in routers.values() if router.url_from} == {
        "groq": "config.toml",
        "ollama": "OLLAMA_BASE_URL",
        "openai": "CHOMP_ROUTER_OPENAI_URL",
    }
