"""One route is tried: how it ends, and what is told of it."""

from __future__ import annotations

import anyio
import pytest

from chomp_mcp.errors import UpstreamError
from chomp_mcp.messages import OWNER, ChatRequest
from tests.support.world import world

pytestmark = pytest.mark.anyio


def request(model: str, *, stream: bool = True, **options: object) -> ChatRequest:
    return ChatRequest.from_prompt("hi", model=model, options=options).with_stream(stream)


async def test_a_call_that_is_cancelled_before_the_first_byte_stops_the_router(home) -> None:
    async with world(home, "groq") as w:
        w.groq.hang()
        async with anyio.create_task_group() as tasks:

            async def call() -> None:
                async with w.chomp.gateway.exchange(OWNER, request("groq/m")):
                    raise AssertionError("nothing was answered")

            tasks.start_soon(call)
            with anyio.fail_after(5):
                await w.groq.saw_request()
                tasks.cancel_scope.cancel()
        with anyio.fail_after(5):
            await w.groq.saw_disconnect()
        assert [a.outcome for a in w.reports[0].receipt.attempts] == ["hung_up"]


async def test_a_key_that_a_router_repeats_is_not_told_on(home) -> None:
    async with world(home, "groq", GROQ_API_KEY="hunter2-lab") as w:
        w.groq.fail(400, {"error": {"message": "unknown token hunter2-lab", "param": "hunter2-lab"}})
        with pytest.raises(UpstreamError) as caught:
            async with w.chomp.gateway.exchange(OWNER, request("groq/m")):
                pass
        assert "hunter2" not in str(caught.value) + repr(caught.value.envelope()) + repr(w.reports[0])


async def test_a_history_that_gives_cause_for_thousands_of_notes_makes_a_short_receipt(home) -> None:
    orphans = [{"role": "tool", "tool_call_id": f"c{number}", "content": "r"} for number in range(5_000)]
    history = [{"role": "user", "content": "hi"}, *orphans]
    async with world(home, "groq") as w:
        await w.chomp.chat(history, model="groq/m")
        notes = w.reports[0].receipt.notes
    assert notes[0] == "messages[1] is the result of a tool call that is not in the conversation"
    assert notes[100:] == ("more did not travel: only the first 100 notes are listed",)
