"""A request goes only to models that can do what it needs, whoever is asked and whatever fails on the way."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import openai
import pytest
from mcp.client import Client
from openai import AsyncOpenAI

from chomp_mcp.doors.mcp.server import build_server
from chomp_mcp.gateway.inabilities import REMEMBERED_SECONDS
from chomp_mcp.settings import Settings
from tests.support.clock import Clock
from tests.support.scripted import ScriptedRouter, completion
from tests.support.serving import serving
from tests.support.world import World, environment, world

pytestmark = pytest.mark.anyio

PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
LOOK: list[Any] = [{"role": "user", "content": [{"type": "text", "text": "what is it?"}, PICTURE]}]
TOOLS: list[Any] = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]
BLIND = {
    "id": "maker/blind",
    "supported_parameters": ["max_tokens"],
    "architecture": {"input_modalities": ["text"], "output_modalities": ["text"]},
    "context_length": 100,
}
SEEING = {
    "id": "maker/seeing",
    "supported_parameters": ["tools", "structured_outputs"],
    "architecture": {"input_modalities": ["text", "image"], "output_modalities": ["text"]},
    "context_length": 1000,
}


@pytest.fixture
async def w(home: Path) -> AsyncIterator[World]:
    async with world(home, "openrouter", "groq") as w:
        w.openrouter.models([BLIND, SEEING])
        w.groq.models(["openai/gpt-oss-120b", "maker/blind"])
        for router in w:
            router.reply(200, completion("ok"))
        yield w


async def test_a_picture_is_refused_before_it_is_sent_to_a_model_that_cannot_see(w: World) -> None:
    with pytest.raises(Exception, match="openrouter/maker/blind cannot see pictures") as refused:
        await w.chomp.chat(LOOK, model="openrouter/maker/blind")
    assert getattr(refused.value, "code", "") == "not_capable"
    assert "openrouter/maker/seeing" in str(refused.value)
    assert w.openrouter.chats == []


async def test_auto_takes_the_one_that_can_and_tells_who_was_left_out(w: World) -> None:
    answer = await w.chomp.ask("", options={"messages": LOOK}, router="openrouter")
    assert answer.receipt["served"] == "openrouter/maker/seeing"
    assert any("openrouter/maker/blind cannot see" in note for note in answer.receipt["notes"])
    assert (await w.chomp.ask("hi", router="openrouter")).receipt["served"] == "openrouter/maker/blind"


async def test_the_known_is_tried_before_the_unknown_and_failover_drops_nothing(w: World) -> None:
    w.openrouter.on(model="maker/seeing").fail(500)
    answer = await w.chomp.ask("", options={"messages": LOOK})
    attempts = [f"{each['router']}/{each['model']}" for each in answer.receipt["attempts"]]
    assert attempts[0] == "openrouter/maker/seeing"
    assert "openrouter/maker/blind" not in attempts
    assert answer.receipt["served"].startswith("groq/")


async def test_a_refusal_is_learned_goes_on_elsewhere_and_expires(home: Path) -> None:
    clock = Clock()
    async with world(home, "groq", "cerebras", clock=clock) as w:
        for router in w:
            router.models(["m"])
            router.reply(200, completion("ok"))
        w.groq.on(model="m").fail(400, {"error": {"message": "messages[0].content must be a string"}})
        first = await w.chomp.ask("", model="m", options={"messages": LOOK})
        assert [each["outcome"] for each in first.receipt["attempts"]] == ["not_capable", "ok"]
        second = await w.chomp.ask("", model="m", options={"messages": LOOK})
        assert [each["outcome"] for each in second.receipt["attempts"]] == ["ok"]
        assert "groq/m cannot see pictures (it refused that a while ago)" in "".join(second.receipt["notes"])
        with pytest.raises(Exception, match="groq/m cannot see"):
            await w.chomp.chat(LOOK, model="groq/m")
        page = await w.chomp.list_models("groq")
        assert (page.models[0].cannot, page.known_by["groq/m"]) == ({"vision"}, {"vision": "refusal"})
        assert len(w.groq.chats) == 1
        clock.advance(REMEMBERED_SECONDS)
        await w.chomp.ask("", model="m", options={"messages": LOOK})
        assert len(w.groq.chats) == 2


async def test_openrouters_404_for_tools_does_not_bury_the_model(w: World) -> None:
    message = "No endpoints found that support tool use. To learn more about provider routing, visit: …"
    w.openrouter.on(model="maker/other").fail(404, {"error": {"message": message, "code": 404}})
    w.openrouter.on(model="maker/other").reply(200, completion("fine"))
    with pytest.raises(Exception, match="No endpoints found") as refused:
        await w.chomp.chat([{"role": "user", "content": "hi"}], model="openrouter/maker/other", tools=TOOLS)
    assert "list_models with needs" in str(refused.value)
    assert (await w.chomp.ask("hi", model="openrouter/maker/other")).text == "fine"


async def test_a_prompt_that_cannot_fit_is_not_sent(w: World) -> None:
    await w.chomp.list_models()
    long = "word " * 300
    with pytest.raises(Exception, match="at least 300 tokens") as refused:
        await w.chomp.ask(long, model="openrouter/maker/blind")
    assert getattr(refused.value, "status", 0) == 400
    assert w.openrouter.chats == []
    answer = await w.chomp.ask(long, router="openrouter")
    assert answer.receipt["served"] == "openrouter/maker/seeing"
    assert any("left out for its length: openrouter/maker/blind" in note for note in answer.receipt["notes"])


async def test_the_official_client_gets_the_error_and_the_capabilities(home: Path) -> None:
    async with ScriptedRouter() as upstream:
        upstream.models([BLIND, SEEING])
        settings = Settings.load(environment(home, {"openrouter": upstream}, GATEWAY_RATE_RPS="0"))
        async with (
            serving(settings) as served,
            AsyncOpenAI(base_url=f"{served.url}/v1", api_key="none", max_retries=0) as client,
        ):
            with pytest.raises(openai.BadRequestError, match="cannot call tools") as refused:
                await client.chat.completions.create(
                    model="openrouter/maker/blind", messages=[{"role": "user", "content": "hi"}], tools=TOOLS
                )
            assert refused.value.code == "not_capable"
            listed = {model.id: model.to_dict() async for model in await client.models.list()}
    assert listed["openrouter/maker/seeing"]["capabilities"] == {"json_schema": True, "tools": True, "vision": True} | {
        "reasoning": False
    }
    assert listed["openrouter/maker/blind"]["capabilities_known_by"]["vision"] == "list"


async def test_list_models_shows_and_filters_by_needs(w: World) -> None:
    async with Client(build_server(w.chomp)) as client:
        for needs in (["vision", "tools"], "vision,tools", ["vision,tools"]):
            found = await client.call_tool("list_models", {"needs": needs})
            assert found.structured_content is not None
            assert [model["id"] for model in found.structured_content["models"]] == ["openrouter/maker/seeing"]
            assert "1 more do not say" in found.content[0].text  # type: ignore[union-attr]
        wrong = await client.call_tool("list_models", {"needs": ["eyes"]})
        assert wrong.is_error
        assert "Known: tools" in wrong.content[0].text  # type: ignore[union-attr]
