"""Thinking of another model does not reach Anthropic."""

from __future__ import annotations

from dataclasses import replace

import pytest
from anthropic import AsyncAnthropic

from tests.support.anthropic_answers import message, script_message
from tests.support.scripted import ScriptedRouter
from tests.support.serving import serving, settings_for

pytestmark = pytest.mark.anyio
HELLO = [{"role": "user", "content": "hi"}]


async def test_thinking_of_another_model_does_not_reach_anthropic(home):
    """A conversation that began on a chat router goes on with Anthropic, which refuses any signature but its own."""
    async with ScriptedRouter() as chat, ScriptedRouter() as claude:
        chat.answer("hello", reasoning_content="hm")
        script_message(claude, message("again"))
        rows = {"chat": {"url": chat.url}, "claude": {"url": claude.url, "dialect": "anthropic"}}
        async with (
            serving(replace(settings_for(home), router_rows=rows)) as gateway,
            AsyncAnthropic(base_url=gateway.url, api_key="none") as client,
        ):
            first = await client.messages.create(model="chat/m", max_tokens=9, messages=HELLO)
            turns = [*HELLO, {"role": "assistant", "content": first.content}, *HELLO]
            await client.messages.create(model="claude/m", max_tokens=9, messages=turns)
            await client.messages.create(model="chat/m", max_tokens=9, messages=turns)
        sent = claude.chats[0].json["messages"][1]["content"]
        assert [block["type"] for block in sent] == ["text"]
        assert chat.chats[1].json["messages"][1]["reasoning_content"] == "hm"
