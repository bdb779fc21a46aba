"""The routers of the catalog that few tests name: each answers through the door, in the form that it documents.

Lists as their documents show them; answers as recorded (tests/corpus) where there is one, else as documented.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from chomp_mcp.app import Chomp
from chomp_mcp.errors import NoRouterKey
from chomp_mcp.gateway.key_check import check_key
from chomp_mcp.messages import Router
from chomp_mcp.routers.catalog import load
from chomp_mcp.settings import Settings
from tests.support.gemini_answers import content
from tests.support.scripted import ScriptedRouter, completion
from tests.support.serving import serving

pytestmark = pytest.mark.anyio

CORPUS = Path(__file__).parents[1] / "corpus"


@pytest.fixture
async def upstream() -> AsyncIterator[ScriptedRouter]:
    async with ScriptedRouter() as router:
        yield router


def recorded(name: str) -> Any:
    """The first whole chat answer that was recorded of the router."""
    rows = map(json.loads, (CORPUS / f"{name}.jsonl").read_text(encoding="utf-8").splitlines())
    return next(row["answer"] for row in rows if row["api"] == "chat" and isinstance(row["answer"], dict))


def listed(*ids: str, **more: Any) -> dict[str, Any]:
    return {"object": "list", "data": [{"id": name, "object": "model", **more} for name in ids]}


@dataclass(frozen=True)
class Row:
    """What one router lists and answers, and what must be seen of it."""

    models: Any
    model: str
    hidden: tuple[str, ...] = ()
    answer: Any = field(default_factory=lambda: completion("hello"))
    said: str = ""
    """Empty: what the answer says."""
    context: int | None = None
    needs: Mapping[str, str] = field(default_factory=dict)
    path: str = "/v1/chat/completions"


ROWS: dict[str, Row] = {
    "gemini": Row(
        {
            "models": [
                {
                    "name": "models/gemini-3.5-flash",
                    "inputTokenLimit": 1048576,
                    "supportedGenerationMethods": ["generateContent"],
                },
                {"name": "models/gemini-3.1-flash-image", "supportedGenerationMethods": ["generateContent"]},
                {"name": "models/gemini-embedding-001", "supportedGenerationMethods": ["embedContent"]},
            ]
        },
        "gemini-3.5-flash",
        ("gemini-3.1-flash-image", "gemini-embedding-001"),
        content("hello"),
        "hello",
        1048576,
        path="/v1/models/gemini-3.5-flash:generateContent",
    ),
    "mistral": Row(
        {
            "object": "list",
            "data": [
                {
                    "id": "mistral-small-latest",
                    "capabilities": {"completion_chat": True, "function_calling": True, "vision": True},
                    "max_context_length": 131072,
                    "type": "base",
                },
                {"id": "mistral-embed", "capabilities": {"completion_chat": False}, "type": "base"},
            ],
        },
        "mistral-small-latest",
        ("mistral-embed",),
        recorded("mistral"),
        context=131072,
        needs={"tools": "list", "vision": "list"},
    ),
    "nvidia": Row(listed("nvidia/nemotron-3-ultra-550b-a55b"), "nvidia/nemotron-3-ultra-550b-a55b"),
    "zai": Row(listed("glm-5.2", owned_by="z-ai"), "glm-5.2", answer=recorded("zai")),
    "deepseek": Row(listed("deepseek-v4-pro", owned_by="deepseek"), "deepseek-v4-pro", answer=recorded("deepseek")),
    "xai": Row(listed("grok-4.7", "grok-imagine-image", owned_by="xai"), "grok-4.7", ("grok-imagine-image",)),
    "together": Row(
        [
            {
                "id": "openai/gpt-oss-120b",
                "type": "chat",
                "context_length": 131072,
                "pricing": {"hourly": 0, "input": 0.15, "output": 0.6, "base": 0, "finetune": 0},
            },
            {"id": "black-forest-labs/FLUX.2", "type": "image"},
        ],
        "openai/gpt-oss-120b",
        ("black-forest-labs/FLUX.2",),
        context=131072,
    ),
    "zen-go": Row(
        listed("glm-5.3-flash", "longcat-2.5-free", owned_by="opencode"), "glm-5.3-flash", ("longcat-2.5-free",)
    ),
    "ollama-cloud": Row(listed("gpt-oss:120b", owned_by="library"), "gpt-oss:120b"),
    "huggingface": Row(
        {
            "object": "list",
            "data": [
                {
                    "id": "deepseek-ai/DeepSeek-R1",
                    "architecture": {"input_modalities": ["text"], "output_modalities": ["text"]},
                    "providers": [{"provider": "novita", "status": "live", "context_length": 64000}],
                }
            ],
        },
        "deepseek-ai/DeepSeek-R1",
        answer=recorded("huggingface"),
    ),
    "cloudflare": Row(
        {
            "success": True,
            "errors": [],
            "result": [
                {
                    "id": "f9f2250b-1048-4a52-9910-d0bf976616a1",
                    "name": "@cf/openai/gpt-oss-120b",
                    "task": {"name": "Text Generation"},
                }
            ],
        },
        "@cf/openai/gpt-oss-120b",
    ),
    "moonshot": Row(listed("kimi-k2.6", owned_by="moonshot"), "kimi-k2.6"),
    "deepinfra": Row(listed("openai/gpt-oss-120b", metadata={"context_length": 131072}), "openai/gpt-oss-120b"),
    "nebius": Row(listed("openai/gpt-oss-120b", owned_by="system"), "openai/gpt-oss-120b"),
    "siliconflow": Row(listed("zai-org/GLM-5.3-Flash", owned_by=""), "zai-org/GLM-5.3-Flash"),
    "lmstudio": Row(listed("qwen/qwen3-30b-a3b-2507", owned_by="organization_owner"), "qwen/qwen3-30b-a3b-2507"),
    "llamacpp": Row(
        {**listed("gemma.gguf", owned_by="llamacpp", meta={"n_ctx_train": 8192}), "models": [{"name": "gemma.gguf"}]},
        "gemma.gguf",
    ),
    "vllm": Row(listed("Qwen/Qwen3-8B", owned_by="vllm", max_model_len=32768), "Qwen/Qwen3-8B", context=32768),
}


def settings_for(home: Path, router: Router, upstream: ScriptedRouter) -> Settings:
    moved = f"CHOMP_ROUTER_{router.id.upper().replace('-', '_')}_URL"
    key = {router.key_variable: f"{router.key_prefix}key-of-a-test"} if router.needs_key else {}
    nobody = dict.fromkeys(("OLLAMA_BASE_URL", "LMSTUDIO_BASE_URL", "CURSOR_ADAPTER_URL"), "http://127.0.0.1:9")
    rest = dict.fromkeys(("LLAMACPP_BASE_URL", "VLLM_BASE_URL"), "http://127.0.0.1:9/v1")
    return Settings.load(
        {"CHOMP_HOME": str(home), "GATEWAY_RATE_RPS": "0", **nobody, **rest, **key, moved: upstream.url}
    )


@pytest.mark.parametrize("name", ROWS)
async def test_a_router_lists_and_answers_in_its_own_form(home: Path, upstream: ScriptedRouter, name: str) -> None:
    row, router = ROWS[name], load(Settings(home=home))[name]
    upstream.models(row.models)
    upstream.reply(200, row.answer)
    async with serving(settings_for(home, router, upstream)) as served:
        models = {model["id"]: model for model in (await served.http.get(f"/v1/models?router={name}")).json()["data"]}
        assert f"{name}/{row.model}" in models
        assert not [each for each in row.hidden if f"{name}/{each}" in models]
        known = router.known.get(row.model)
        told = row.context or (known and known.context_length)  # the catalog knows more than most lists say
        assert models[f"{name}/{row.model}"].get("context_length") == told
        answer = await served.chat(model=f"{name}/{row.model}", user="u")
        assert answer.status_code == 200, answer.text
        message = answer.json()["choices"][0]["message"]
        assert message["content"] == (row.said or row.answer["choices"][0]["message"]["content"])
        assert answer.headers["x-chomp-router"] == name
        [request] = upstream.chats
        assert request.path == row.path
        if router.needs_key:
            sent = request.headers["x-goog-api-key"] if name == "gemini" else request.headers["authorization"]
            assert sent.removeprefix("Bearer ") == f"{router.key_prefix}key-of-a-test"
        assert ("user" in request.json) == ("user" not in router.drop and name != "gemini")
        assert bool(router.session_header) == (router.session_header in request.headers)
        # `auto` finds it too: it is the only one with a key, or the only one that runs.
        assert (await served.chat(model="auto")).headers["x-chomp-router"] == name


async def test_every_new_row_is_tried(home: Path) -> None:
    elsewhere = "zen groq cerebras sambanova fireworks openrouter ollama cursor openai anthropic mock"
    assert {*ROWS, *elsewhere.split()} == set(load(Settings(home=home))), "each router has its answer in ROWS"


async def test_cloudflare_needs_the_account(home: Path) -> None:
    variables = {"CHOMP_HOME": str(home), "CLOUDFLARE_API_KEY": "key-of-a-test"}
    async with serving(Settings.load(variables)) as served:
        with pytest.raises(NoRouterKey, match="CLOUDFLARE_ACCOUNT_ID is not set"):
            await served.chomp.ask("hi", model="cloudflare/@cf/openai/gpt-oss-120b")
        router = served.chomp.routers["cloudflare"]
        checked = await check_key(served.chomp.client, router, "key-of-a-test", clock=served.chomp.clock)
        assert "CLOUDFLARE_ACCOUNT_ID is a part of its address" in checked.detail
    there = load(Settings.load({**variables, "CLOUDFLARE_ACCOUNT_ID": "0a1b2c"}))["cloudflare"]
    assert there.url == "https://api.cloudflare.com/client/v4/accounts/0a1b2c/ai/v1"
    assert "/accounts/0a1b2c/ai/models/search" in there.models_path
    assert not there.url_lacks


async def test_mistrals_limits_are_read(home: Path, upstream: ScriptedRouter) -> None:
    upstream.models(["mistral-small-latest"])
    upstream.headers = {"x-ratelimit-limit-req-minute": "60", "x-ratelimit-remaining-req-minute": "59"}
    upstream.answer("hello")
    router = load(Settings(home=home))["mistral"]
    async with serving(settings_for(home, router, upstream)) as served:
        await served.chat(model="mistral/mistral-small-latest")
        status = await served.chomp.status()
        [quota] = status["routers"]["mistral"]["quota"]
        assert (quota["limit"], quota["remaining"], quota["window"]) == (60, 59, "minute")


@pytest.mark.parametrize("name", ["lmstudio", "llamacpp", "vllm"])
async def test_another_program_at_the_same_address_is_not_taken_for_it(
    home: Path, upstream: ScriptedRouter, name: str
) -> None:
    upstream.models(["m"])
    router = load(Settings(home=home))[name]
    async with serving(settings_for(home, router, upstream)) as served:
        assert (await served.chat(model="auto")).headers["x-chomp-router"] == "mock"
        listed = (await served.http.get(f"/v1/models?router={name}")).json()
        assert "another program answers" in listed["errors"][name]
        assert not (await served.chomp.status())["routers"][name]["ready"]


async def test_a_gateway_does_not_look_for_a_program_at_itself(home: Path) -> None:
    def at_itself(settings: Settings) -> Chomp:
        place = {"LLAMACPP_BASE_URL": f"http://127.0.0.1:{settings.port}/v1"}
        return Chomp(replace(settings, environment={**settings.environment, **place}))

    settings = Settings.load({"CHOMP_HOME": str(home), "GATEWAY_RATE_RPS": "0"})
    async with serving(settings, chomp=at_itself) as served:
        listed = (await served.http.get("/v1/models?router=llamacpp", timeout=5)).json()
        assert "chomp gateway" in listed["errors"]["llamacpp"]
        assert not (await served.chomp.status())["routers"]["llamacpp"]["ready"]
