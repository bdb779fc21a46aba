"""Embeddings and legacy completions, judged by the official package."""

from __future__ import annotations

from dataclasses import replace

import openai
import pytest
from openai import AsyncOpenAI

from chomp_mcp.messages import OWNER
from tests.support.scripted import ScriptedRouter
from tests.support.serving import Served, serving, settings_for

pytestmark = pytest.mark.anyio
VECTORS = {
    "object": "list",
    "model": "e",
    "data": [{"object": "embedding", "index": 0, "embedding": [0.5, -0.25]}],
    "usage": {"prompt_tokens": 4, "total_tokens": 4},
}


@pytest.fixture
async def client(gateway: Served):
    async with AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key="none", max_retries=0) as client:
        yield client


async def test_vectors_come_as_the_router_made_them_with_a_receipt(client, upstream):
    upstream.reply(200, VECTORS)
    made = await client.embeddings.create(model="lab/e", input=["a"], encoding_format="float", dimensions=2)
    assert made.data[0].embedding == [0.5, -0.25]
    assert made.usage.prompt_tokens == 4
    assert made.chomp["router"] == "lab"
    sent = upstream.requests[-1]
    assert sent.path.endswith("/v1/embeddings")
    assert sent.json == {"model": "e", "input": ["a"], "encoding_format": "float", "dimensions": 2}


async def test_the_next_key_answers_with_the_same_model_when_one_is_limited(home, upstream):
    settings = settings_for(home)
    row = {"url": upstream.url, "key": "LAB_KEY"}
    async with serving(replace(settings, router_rows={**settings.router_rows, "lab": row})) as gateway:
        await gateway.chomp.keyring.register(OWNER, {"lab": "key-number-one,key-number-two"})
        limited = {"error": {"message": "slow down", "type": "rate_limit_error"}}
        upstream.on(key="key-number-one").fail(429, limited)
        upstream.on(key="key-number-two").reply(200, VECTORS)
        answer = await gateway.http.post("/v1/embeddings", json={"model": "lab/e", "input": "a"})
    outcomes = [attempt["outcome"] for attempt in answer.json()["chomp"]["attempts"]]
    assert outcomes == ["rate_limited", "ok"]


@pytest.mark.parametrize("model", ["", "auto", "lab/auto"])
async def test_a_model_must_be_named(client, model):
    with pytest.raises(openai.BadRequestError) as refused:
        await client.embeddings.create(model=model, input="a")
    assert refused.value.param == "model"


async def test_a_bare_name_finds_the_routers_that_serve_that_very_model(home):
    async with ScriptedRouter() as one, ScriptedRouter() as two, ScriptedRouter() as three:
        one.models(["m", "text-embedding-3-small"])
        two.models(["m", "openai/text-embedding-3-small", "text-embedding-3-large"])
        three.models(["m"])
        one.fail(500)
        two.reply(200, VECTORS)
        rows = {name: {"url": each.url} for name, each in (("one", one), ("two", two), ("three", three))}
        async with serving(replace(settings_for(home), router_rows=rows)) as gateway:
            answer = await gateway.http.post("/v1/embeddings", json={"model": "text-embedding-3-small", "input": "a"})
            listed = await gateway.http.get("/v1/models")
            unknown = await gateway.http.post("/v1/embeddings", json={"model": "text-embedding-9", "input": "a"})
            chat = {"model": "text-embedding-3-small", "messages": [{"role": "user", "content": "hi"}]}
            chatted = await gateway.http.post("/v1/chat/completions", json=chat)
        assert answer.headers["x-chomp-router"] == "two"
        assert two.chats[0].json["model"] == "openai/text-embedding-3-small"
        assert not three.chats
        assert not any("embedding" in model["id"] for model in listed.json()["data"])
        assert (unknown.status_code, chatted.status_code) == (404, 404)


async def test_models_that_a_router_leaves_out_of_its_list_are_found_by_their_bare_names(home, upstream):
    row = {"url": upstream.url, "embedders": ["vendor/vectors-1"]}
    upstream.models(["vendor/m"])
    upstream.reply(200, VECTORS)
    async with serving(replace(settings_for(home), router_rows={"hub": row})) as gateway:
        answer = await gateway.http.post("/v1/embeddings", json={"model": "vectors-1", "input": "a"})
    assert answer.headers["x-chomp-model"] == "vendor/vectors-1"


async def test_an_answer_without_vectors_is_a_failure(client, upstream):
    upstream.reply(200, {**VECTORS, "data": []})
    with pytest.raises(openai.InternalServerError, match="no embeddings"):
        await client.embeddings.create(model="lab/e", input="a")


async def test_a_router_that_has_no_embeddings_says_so(client):
    with pytest.raises(openai.BadRequestError, match="Mock has no /v1/embeddings") as refused:
        await client.embeddings.create(model="mock/echo", input="a")
    assert refused.value.code == "not_capable"


@pytest.mark.parametrize(("call", "param"), [("embeddings", "input"), ("completions", "prompt")])
async def test_nothing_to_do_is_refused(client, call, param):
    with pytest.raises(openai.BadRequestError) as refused:
        await getattr(client, call).create(**{"model": "lab/m", param: ""})
    assert refused.value.param == param


@pytest.mark.parametrize("path", ["/v1/images/generations", "/v1/moderations", "/v1/audio/speech", "/v1/files"])
async def test_what_openai_has_and_we_have_not_is_a_404_that_says_what_is_there(gateway, path):
    answer = await gateway.http.post(path, json={"model": "lab/m"})
    assert answer.status_code == 404
    error = answer.json()["error"]
    assert error["type"] == "invalid_request_error"
    assert "/v1/chat/completions" in error["message"]
    assert "/v1/embeddings" in error["message"]
