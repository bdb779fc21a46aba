"""What a host may read beside the tools."""

from __future__ import annotations

import json

import pytest
from mcp import Client

from chomp_mcp.app import Chomp
from tests.support.mcp_doors import call

pytestmark = pytest.mark.anyio
GROQ_KEY = "gsk_abcdefghijklmnop4f2a"


async def test_resources_are_json(client: Client, chomp: Chomp) -> None:
    await chomp.register_keys({"groq": GROQ_KEY})
    job = await call(client, "dispatch", prompt="hi", router="lab")
    await call(client, "result", job_id=job["job_id"], wait_seconds=5)

    async def read(uri: str) -> object:
        (content,) = (await client.read_resource(uri)).contents
        assert content.mime_type == "application/json"
        return json.loads(content.text)  # type: ignore[union-attr]

    routers = {row["id"]: row for row in await read("chomp://routers")}  # type: ignore[attr-defined]
    assert routers["groq"]["key"] == "gsk_…4f2a"
    models = await read("chomp://models/lab")
    assert [row["id"] for row in models["models"]] == ["lab/scripted-small", "lab/scripted-large"]  # type: ignore[index]
    assert [row["job_id"] for row in await read("chomp://jobs")] == [job["job_id"]]  # type: ignore[attr-defined]
    whole = await read(f"chomp://jobs/{job['job_id']}")
    assert (whole["prompt"], whole["text"], whole["status"]) == ("hi", "hello", "done")  # type: ignore[index]
    assert (await read("chomp://usage"))["today_usd"] == "0"  # type: ignore[index]


async def test_a_resource_that_is_not_there_says_so(client: Client) -> None:
    with pytest.raises(Exception, match="There is no job 'job_nope'"):
        await client.read_resource("chomp://jobs/job_nope")
    with pytest.raises(Exception, match="groq"):
        await client.read_resource("chomp://models/grok")
