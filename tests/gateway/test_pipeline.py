"""The one way of every request, from the plan to the settlement."""

from __future__ import annotations

import anyio
import pytest

from chomp_mcp.errors import InvalidRequest, NoRouterKey, TooLarge, UnknownModel, UpstreamError, UpstreamFailed
from chomp_mcp.messages import OWNER, ChatRequest
from tests.support.world import world

pytestmark = pytest.mark.anyio


def request(model: str, *, stream: bool = True, **options: object) -> ChatRequest:
    return ChatRequest.from_prompt("hi", model=model, options=options).with_stream(stream)


@pytest.mark.parametrize("stream", [True, False])
async def test_an_answer_comes_with_a_receipt_of_who_gave_it_and_what_it_cost(home, stream) -> None:
    async with world(home, "groq") as w:
        w.groq.answer("hello you", usage=(1_000_000, 500_000))
        async with w.chomp.gateway.exchange(OWNER, request("groq/openai/gpt-oss-120b", stream=stream)) as reply:
            assert (await reply.completion()).text == "hello you"
            receipt = reply.receipt().as_dict()
    assert receipt["asked"] == receipt["served"] == "groq/openai/gpt-oss-120b"
    assert [a["outcome"] for a in receipt["attempts"]] == ["ok"]
    assert receipt["usage"] == {"input_tokens": 1_000_000, "output_tokens": 500_000, "cached_tokens": 0}
    assert receipt["cost_usd"] == "0.45", "0.15 per million in, 0.60 per million out: Groq's price list"
    sent = w.groq.chats[0]
    assert sent.key == "key-groq"
    assert sent.model == "openai/gpt-oss-120b"
    assert sent.wants_usage is stream


async def test_fields_that_we_do_not_know_travel_on_untouched(home) -> None:
    async with world(home, "groq") as w:
        options = {
            "temperature": 0.3,
            "tools": [{"type": "function", "function": {"name": "f"}}],
            "new_field": {"a": [1]},
        }
        async with w.chomp.gateway.exchange(OWNER, request("groq/m", **options)) as reply:
            await reply.completion()
    body = w.groq.chats[0].json
    assert {name: body[name] for name in options} == options


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


async def test_requests_that_cannot_be_meant_are_refused_before_anything_is_sent(home) -> None:
    async with world(home, "groq") as w:
        w.groq.models(["m"])
        for model, error in {"nosuch/x": UnknownModel, "cerebras/x": NoRouterKey}.items():
            with pytest.raises(error) as caught:
                async with w.chomp.gateway.exchange(OWNER, request(model)):
                    pass
            assert caught.value.hint
        assert not w.groq.chats
    with pytest.raises(InvalidRequest):
        ChatRequest.from_prompt("  ")
    with pytest.raises(TooLarge):
        ChatRequest.from_prompt("x" * 10_000_000)
    with pytest.raises(InvalidRequest):
        ChatRequest.from_prompt("x", options=["no"])  # type: ignore[arg-type]


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


async def test_a_key_that_a_router_repeats_is_not_told_on(home) -> None:
    async with world(home, "groq", GROQ_API_KEY="hunter2-lab") as w:
        w.groq.fail(400, {"error": {"message": "unknown token hunter2-lab", "param": "hunter2-lab"}})
        with pytest.raises(UpstreamError) as caught:
            async with w.chomp.gateway.exchange(OWNER, request("groq/m")):
                pass
        assert "hunter2" not in str(caught.value) + repr(caught.value.envelope()) + repr(w.reports[0])


async def test_a_key_that_was_given_anew_is_asked_again(home) -> None:
    async with world(home, "groq") as w:
        w.groq.fail(401, {"error": {"message": "no", "code": "invalid_api_key"}})
        for _ in range(2):
            with pytest.raises(UpstreamError, match="keys add groq") as caught:
                async with w.chomp.gateway.exchange(OWNER, request("groq/m")):
                    pass
            assert caught.value.status == 401
        assert len(w.groq.chats) == 1
        w.groq.answer("hello")
        await w.chomp.register_keys({"groq": "key-groq"})
        async with w.chomp.gateway.exchange(OWNER, request("groq/m")) as reply:
            assert (await reply.completion()).text == "hello"


async def test_reasoning_and_tool_calls_count_when_the_router_sends_no_usage(home) -> None:
    async with world(home, "groq") as w:
        call = {"index": 0, "id": "c", "function": {"name": "f", "arguments": "x" * 400}}
        w.groq.stream(
            [{"choices": [{"index": 0, "delta": {"reasoning": "y" * 400, "tool_calls": [call]}}]}], usage=None
        )
        async with w.chomp.gateway.exchange(OWNER, request("groq/m")) as reply:
            await reply.completion()
        usage = reply.receipt().usage
        assert usage.estimated
        assert usage.output_tokens == 200
