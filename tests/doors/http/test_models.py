"""The lists of models in the shape of OpenAI."""

from __future__ import annotations

import openai
import pytest
from openai import AsyncOpenAI

from tests.support.scripted import ScriptedRouter
from tests.support.serving import Served, serving, settings_for

pytestmark = pytest.mark.anyio


@pytest.fixture
async def client(gateway: Served):
    async with AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key="none") as client:
        yield client


async def test_models_are_listed_and_found_by_ids_with_slashes(client, upstream):
    upstream.models(["m", "openai/gpt-oss-120b", "deep/er/still:free"])
    assert {model.id for model in (await client.models.list()).data} >= {"lab/m", "lab/openai/gpt-oss-120b"}
    for wanted in ("lab/openai/gpt-oss-120b", "openai/gpt-oss-120b"):
        assert (await client.models.retrieve(wanted)).id == "lab/openai/gpt-oss-120b"
    found = await client.models.retrieve("lab/deep/er/still:free")
    assert (found.owned_by, found.object) == ("lab", "model")
    with pytest.raises(openai.NotFoundError, match="Did you mean lab/openai/gpt-oss-120b"):
        await client.models.retrieve("lab/openai/gpt-oss-12b")


async def test_a_router_that_fails_is_left_out_of_the_list_and_named(home, upstream):
    async with ScriptedRouter() as broken:
        broken.on(path="/models").fail(500)
        async with serving(settings_for(home, lab=upstream.url, broken=broken.url)) as gateway:
            listed = (await gateway.http.get("/v1/models")).json()
    assert {model["owned_by"] for model in listed["data"]} == {"lab"}
    assert list(listed["errors"]) == ["broken"]


async def test_a_model_is_found_behind_a_router_that_no_list_of_all_shows(client):
    found = await client.models.retrieve("mock/echo")
    assert (found.id, found.owned_by) == ("mock/echo", "mock")
    with pytest.raises(openai.NotFoundError, match="Did you mean mock/echo"):
        await client.models.retrieve("mock/ecko")


async def test_a_model_of_a_router_whose_list_fails_is_no_model_that_does_not_exist(client, upstream):
    upstream.on(path="/models").fail(500, {"error": {"message": "out of order"}})
    with pytest.raises(openai.InternalServerError, match=r"lab did not list its models: .*out of order") as caught:
        await client.models.retrieve("lab/m")
    assert caught.value.status_code == 502
