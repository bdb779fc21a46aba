"""What a router said: an answer, or none."""

from __future__ import annotations

import asyncio

import pytest

from chomp_mcp.dialects import speech
from chomp_mcp.errors import UpstreamError
from chomp_mcp.gateway.answer import MOST_SILENT_DELTAS, PIECE_BYTES, whole
from chomp_mcp.messages import OWNER, ChatRequest, Completion
from tests.support.scripted_answers import chunk, sse
from tests.support.world import world

pytestmark = pytest.mark.anyio


def request(model: str, *, stream: bool = True, **options: object) -> ChatRequest:
    return ChatRequest.from_prompt("hi", model=model, options=options).with_stream(stream)


@pytest.mark.parametrize(
    "answer",
    [
        lambda s: s.html(),
        lambda s: s.empty(),
        lambda s: s.garbage(),
        lambda s: s.fail(500),
        lambda s: s.cut(after=0),
        lambda s: s.error_event({"message": "upstream died", "code": 502}),
    ],
    ids=["html", "nothing", "garbage", "500", "connection cut", "an error as first event"],
)
@pytest.mark.parametrize("stream", [True, False])
async def test_what_a_broken_router_sends_is_a_clear_error_that_names_it(home, answer, stream) -> None:
    async with world(home, "groq") as w:
        answer(w.groq)
        with pytest.raises(UpstreamError) as caught:
            async with w.chomp.gateway.exchange(OWNER, request("groq/m", stream=stream)):
                pass
    assert "groq/m" in str(caught.value)
    assert caught.value.hint
    assert "key-groq" not in str(caught.value)
    assert caught.value.receipt
    assert {a.outcome for a in caught.value.receipt.attempts} == {"transient"}
    assert len(w.groq.chats) == 2, "transient failures are tried once more on the same route"


async def test_a_body_of_comments_leaves_others_their_turn(home) -> None:
    """60 MB of them, which are 60 kB on the wire, were 6 s of silence for everybody."""
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    body = b": x\n\n" * 400_000 + sse(chunk("here", finish="stop")) + sse("[DONE]")
    async with world(home, "groq") as w:
        asked = request("groq/m", stream=False)
        plan = await w.chomp.gateway.plan(OWNER, asked)
        busy = asyncio.create_task(others())
        answer = await whole(speech(plan.routes[0], asked), {"content-type": "text/event-stream"}, body)
        busy.cancel()
    assert isinstance(answer, Completion)
    assert answer.text == "here"
    assert turns > len(body) // PIECE_BYTES - 2


@pytest.mark.parametrize("stream", [True, False])
async def test_pieces_that_say_nothing_are_not_kept_without_end(home, *, stream: bool) -> None:
    """60 MB of them were 1.5 million deltas of a kilobyte each."""
    silent = sse(chunk("")) * (MOST_SILENT_DELTAS + 2_000)
    async with world(home, "groq") as w:
        w.groq.reply(200, silent + sse(chunk("here", finish="stop")), {"content-type": "text/event-stream"})
        with pytest.raises(UpstreamError, match="stopped before it said anything"):
            async with w.chomp.gateway.exchange(OWNER, request("groq/m", stream=stream)):
                pass


async def test_an_answer_of_millions_of_values_is_told_as_such_and_not_parsed(home) -> None:
    async with world(home, "groq") as w:
        w.groq.reply(200, b'{"choices":[' + b"{}," * 2_000_000 + b"{}]}", {"content-type": "application/json"})
        with pytest.raises(UpstreamError, match="JSON of millions of values"):
            async with w.chomp.gateway.exchange(OWNER, request("groq/m", stream=False)):
                pass


async def test_a_router_that_ignores_stream_is_heard_all_the_same(home) -> None:
    async with world(home, "groq") as w:
        body = {
            "choices": [{"index": 0, "message": {"role": "assistant", "content": "whole"}, "finish_reason": "stop"}]
        }
        w.groq.reply(
            200, body | {"usage": {"prompt_tokens": 2, "completion_tokens": 1}}, {"content-type": "application/json"}
        )
        async with w.chomp.gateway.exchange(OWNER, request("groq/m")) as reply:
            assert (await reply.completion()).text == "whole"
            assert reply.receipt().usage.input_tokens == 2


async def test_a_stream_that_ends_before_it_said_anything_is_nobodys_answer_yet(home) -> None:
    async with world(home, "groq", "cerebras") as w:
        for upstream in w:
            upstream.models(["gpt-oss-120b"])
        w.groq.stream(
            [{"choices": [{"index": 0, "delta": {"role": "assistant"}}]}], usage=None, finish=None, done=False
        )
        w.cerebras.answer("mine")
        async with w.chomp.gateway.exchange(OWNER, request("gpt-oss-120b")) as reply:
            assert (await reply.completion()).text == "mine"
        assert [a.outcome for a in reply.receipt().attempts] == ["transient", "transient", "ok"]
