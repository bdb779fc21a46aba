"""Prompts, and the completion of what is typed for them."""

from __future__ import annotations

import pytest
from mcp import Client

pytestmark = pytest.mark.anyio


async def test_routers_models_and_jobs_complete_as_they_are_typed(client: Client) -> None:
    from mcp.types import PromptReference, ResourceTemplateReference

    async def values(ref: PromptReference | ResourceTemplateReference, name: str, typed: str) -> list[str]:
        return (await client.complete(ref, {"name": name, "value": typed})).completion.values

    models = ResourceTemplateReference(uri="chomp://models/{router}")
    assert await values(models, "router", "o") == ["openrouter", "ollama-cloud", "ollama", "openai"]
    opinion, compare = PromptReference(name="second_opinion"), PromptReference(name="compare")
    assert await values(opinion, "model", "scripted-s") == ["lab/scripted-small"]
    assert await values(compare, "models", "groq/x,scripted-l") == ["groq/x,lab/scripted-large"]
    assert await values(opinion, "question", "wh") == []


async def test_the_prompts_name_the_tools(client: Client) -> None:
    prompt = await client.get_prompt("second_opinion", {"question": "Why?"})
    assert "Why?" in prompt.messages[0].content.text  # type: ignore[union-attr]
    assert "ask tool" in prompt.messages[0].content.text  # type: ignore[union-attr]
