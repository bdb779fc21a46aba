"""A conversation keeps its route, so that the router's prompt cache is hit."""

from __future__ import annotations

import pytest

from chomp_mcp.app import Chomp
from chomp_mcp.gateway.conversations import KEPT_SECONDS
from chomp_mcp.messages import OWNER, ChatRequest
from tests.support.clock import Clock
from tests.support.world import World, world

pytestmark = pytest.mark.anyio

ASKED = {"role": "user", "content": "a long beginning"}
SAID = {"role": "assistant", "content": "hello"}
MORE = {"role": "user", "content": "and then?"}
TWO = {"LLM_PROVIDER": "groq", "LLM_FALLBACKS": "cerebras"}


async def turn(chomp: Chomp, *messages, session="", model="auto"):
    """Which router answered, and what the receipt says of it."""
    request = ChatRequest({"messages": list(messages or (ASKED,))}, model=model, session=session, stream=False)
    async with chomp.gateway.exchange(OWNER, request) as reply:
        await reply.completion()
        receipt = reply.receipt()
        return receipt.served.partition("/")[0], receipt.sticky


async def groq_fails_once(w: World) -> None:
    """Without a second try there: its quota is used up, and the key rests for a while."""
    w.groq.fail(402)
    w.groq.answer("back again")


async def test_a_named_conversation_stays_where_it_is_when_the_better_route_comes_back(home):
    clock = Clock()
    async with world(home, "groq", "cerebras", clock=clock, **TWO) as w:
        for router in w:
            router.models(["openai/gpt-oss-120b", "gpt-oss-120b"])
        await groq_fails_once(w)
        assert await turn(w.chomp, session="s1") == ("cerebras", None)
        clock.advance(KEPT_SECONDS - 60)
        assert await turn(w.chomp, session="s1") == ("cerebras", True)
        clock.advance(KEPT_SECONDS - 60)
        assert await turn(w.chomp, session="s1") == ("cerebras", True)
        assert await turn(w.chomp, session="s2") == ("groq", None)
        clock.advance(KEPT_SECONDS + 1)
        assert await turn(w.chomp, session="s1") == ("groq", None)


async def test_it_moves_on_where_its_route_fails_and_stays_there(home):
    async with world(home, "groq", "cerebras", **TWO) as w:
        for router in w:
            router.models(["openai/gpt-oss-120b", "gpt-oss-120b"])
        assert await turn(w.chomp, session="s1") == ("groq", None)
        await groq_fails_once(w)
        assert await turn(w.chomp, session="s1") == ("cerebras", False)
        assert await turn(w.chomp, session="s1") == ("cerebras", True)


async def test_one_without_a_name_is_known_by_how_it_begins_from_its_second_turn_on(home):
    clock = Clock()
    async with world(home, "groq", "cerebras", clock=clock, **TWO) as w:
        for router in w:
            router.models(["openai/gpt-oss-120b", "gpt-oss-120b"])
        await groq_fails_once(w)
        assert await turn(w.chomp, ASKED, SAID, MORE) == ("cerebras", None)
        clock.advance(KEPT_SECONDS - 60)
        assert await turn(w.chomp, ASKED, SAID, MORE, SAID, MORE) == ("cerebras", True)
        clock.advance(120)
        assert await turn(w.chomp, ASKED) == ("groq", None)
        assert await turn(w.chomp, MORE, SAID, MORE) == ("groq", None)


async def test_models_have_conversations_of_their_own(home):
    async with world(home, "groq", "cerebras", **TWO) as w:
        for router in w:
            router.models(["openai/gpt-oss-120b", "gpt-oss-120b"])
        await turn(w.chomp, session="s1")
        assert await turn(w.chomp, session="s1", model="gpt-oss-120b") == ("groq", None)
        assert await turn(w.chomp, session="s1", model="gpt-oss-120b") == ("groq", True)


async def test_processes_share_what_is_kept(home):
    async with world(home, "groq", "cerebras", **TWO) as w:
        for router in w:
            router.models(["openai/gpt-oss-120b", "gpt-oss-120b"])
        await groq_fails_once(w)
        assert await turn(w.chomp, session="s1") == ("cerebras", None)
        async with Chomp(w.chomp.settings) as other:
            assert await turn(other, session="s1") == ("cerebras", True)


async def test_a_plan_of_one_route_writes_nothing(home):
    async with world(home, "groq", **TWO) as w:
        assert await turn(w.chomp, session="s1", model="groq/m") == ("groq", None)
        assert await turn(w.chomp, session="s1", model="groq/m") == ("groq", None)
        assert await w.chomp._stores[1].list("sticky:") == []
