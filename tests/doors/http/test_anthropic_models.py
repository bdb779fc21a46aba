"""The list of models in the shape of Anthropic."""

from __future__ import annotations

import pytest
from anthropic import AsyncAnthropic

from tests.support.serving import Served

pytestmark = pytest.mark.anyio


@pytest.fixture
async def client(gateway: Served):
    async with AsyncAnthropic(base_url=gateway.url, api_key="none") as client:
        yield client


async def test_the_models_come_in_anthropics_shape(client, gateway, upstream):
    upstream.models([{"id": "big", "context_length": 1000}, "claude-x", "z"])
    first = await client.models.list(limit=2)
    assert [(model.id, model.type) for model in first.data] == [
        ("claude-via-chomp/lab/big", "model"),
        ("lab/claude-x", "model"),
    ]
    assert first.data[0].display_name == "big (lab)"
    assert first.data[0].max_input_tokens == 1000
    assert first.has_more
    assert (first.first_id, first.last_id) == ("claude-via-chomp/lab/big", "lab/claude-x")
    assert [model.id async for model in client.models.list(limit=1)][:3] == [
        "claude-via-chomp/lab/big",
        "lab/claude-x",
        "claude-via-chomp/lab/z",
    ]
    before = await client.models.list(before_id="lab/claude-x", limit=5)
    assert [model.id for model in before.data] == ["claude-via-chomp/lab/big"]
    one = await client.models.retrieve("claude-via-chomp/lab/big")
    assert one == first.data[0]
    for wrong in ("limit=0", "limit=x", "after_id=nope"):
        told = await gateway.http.get(f"/v1/models?{wrong}", headers={"anthropic-version": "2023-06-01"})
        assert (told.status_code, told.json()["error"]["type"]) == (400, "invalid_request_error")


async def test_without_anthropics_header_the_list_stays_openais(gateway, upstream):
    told = (await gateway.http.get("/v1/models")).json()
    assert told["object"] == "list"
    assert told["data"][0]["id"] == "lab/scripted-small"
