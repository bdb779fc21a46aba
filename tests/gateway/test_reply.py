"""An answer on its way, and what stops it."""

from __future__ import annotations

import anyio
import pytest

from chomp_mcp.errors import UpstreamFailed
from chomp_mcp.messages import OWNER, ChatRequest
from tests.support.world import world

pytestmark = pytest.mark.anyio


def request(model: str, *, stream: bool = True, **options: object) -> ChatRequest:
    return ChatRequest.from_prompt("hi", model=model, options=options).with_stream(stream)


async def test_deltas_come_one_by_one_while_the_router_still_speaks(home) -> None:
    go_on = anyio.Event()
    async with world(home, "groq") as w:
        w.groq.stream(["one ", go_on, "two"])
        with anyio.fail_after(5):
            async with w.chomp.gateway.exchange(OWNER, request("groq/m")) as reply:
                texts = []
                async for delta in reply:
                    texts.append(delta.text)
                    go_on.set()
    assert "".join(texts) == "one two"


async def test_a_caller_who_leaves_stops_the_router_and_counts_against_nobody(home) -> None:
    async with world(home, "groq", CIRCUIT_FAILURE_THRESHOLD="1") as w:
        w.groq.hang(after=["some", " words"])
        with anyio.fail_after(5):
            async with w.chomp.gateway.exchange(OWNER, request("groq/m")) as reply:
                async for delta in reply:
                    if delta.text:
                        break
            await w.groq.saw_disconnect()
        assert w.reports[0].status == "hung_up"
        assert [a.outcome for a in w.reports[0].receipt.attempts] == ["hung_up"]
        assert w.reports[0].receipt.usage.estimated, "what was streamed is paid for, by estimate"
        assert (await w.chomp.status())["routers"]["groq"]["breaker"] == "closed"


async def test_a_stream_that_dies_in_the_middle_is_an_error_after_the_text_and_is_never_repeated(home) -> None:
    async with world(home, "groq", "cerebras") as w:
        for upstream in w:
            upstream.models(["gpt-oss-120b"])
        w.groq.cut(["half ", "of it"])
        texts = []
        with pytest.raises(UpstreamFailed, match="incomplete"):
            async with w.chomp.gateway.exchange(OWNER, request("gpt-oss-120b")) as reply:
                async for delta in reply:
                    texts.append(delta.text)
        assert "".join(texts) == "half of it"
        assert not w.cerebras.chats
        assert [a.outcome for a in w.reports[0].receipt.attempts] == ["cut"]
