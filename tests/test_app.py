"""The Python door: ask, chat, dispatch, and what each gives."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import anyio
import pytest

from chomp_mcp import Chomp, JobStatus
from chomp_mcp.errors import ChompError, InvalidRequest, InvalidSetting, Overloaded, UnknownModel, UpstreamFailed
from chomp_mcp.messages import OWNER
from chomp_mcp.settings import Settings
from tests.support.world import world

pytestmark = pytest.mark.anyio

HI = [{"role": "user", "content": "hi"}]


async def test_an_answer_comes_with_its_receipt(home: Path) -> None:
    async with world(home, "groq") as w:
        answer = await w.chomp.ask("hi", model="groq/m", system="be kind", options={"temperature": 0})
    assert answer.text == "hello"
    assert answer.receipt["served"] == "groq/m"
    assert [attempt["outcome"] for attempt in answer.receipt["attempts"]] == ["ok"]
    sent = w.groq.chats[0].json
    assert [message["role"] for message in sent["messages"]] == ["system", "user"]
    assert sent["temperature"] == 0


async def test_a_chat_is_awaited_for_the_whole_completion(home: Path) -> None:
    async with world(home, "groq") as w:
        completion = await w.chomp.chat(HI, model="groq/m", temperature=0.5, seed=7)
        assert completion["choices"][0]["message"]["content"] == "hello"
        sent = w.groq.chats[0].json
        assert (sent["messages"], sent["temperature"], sent["seed"]) == (HI, 0.5, 7)
        assert not sent.get("stream")
        assert w.reports[0].door == "python"


@pytest.mark.parametrize("awaited", [False, True], ids=["iterated", "awaited first"])
async def test_a_streamed_chat_gives_chunks_as_they_come(home: Path, *, awaited: bool) -> None:
    go_on = anyio.Event()
    texts = []
    async with world(home, "groq") as w:
        w.groq.stream(["one ", go_on, "two"])
        chat = w.chomp.chat(HI, stream=True, model="groq/m")
        with anyio.fail_after(5):
            async for chunk in (await chat) if awaited else chat:
                texts += [choice["delta"].get("content") for choice in chunk["choices"]]
                if "one " in texts:
                    go_on.set()
        assert "".join(text for text in texts if text) == "one two"
        assert w.reports[0].streamed


async def test_leaving_a_streamed_chat_stops_the_router(home: Path) -> None:
    async with world(home, "groq") as w:
        w.groq.hang(after=["one "])
        with anyio.fail_after(5):
            chunks = await w.chomp.chat(HI, stream=True, model="groq/m")
            async for chunk in chunks:
                if chunk["choices"][0]["delta"].get("content"):
                    break
            await chunks.aclose()
            await w.groq.saw_disconnect()
        assert w.reports[0].status == "hung_up"


async def test_a_chat_raises_what_the_exchange_raises(home: Path) -> None:
    async with world(home, "groq") as w:
        w.groq.fail(503)
        with pytest.raises(UpstreamFailed) as caught:
            await w.chomp.chat(HI, model="groq/m")
        assert caught.value.receipt
        assert caught.value.receipt.asked == "groq/m"
        with pytest.raises(UpstreamFailed):
            async for _ in w.chomp.chat(HI, stream=True, model="groq/m"):
                pass


@pytest.mark.parametrize("messages", [[], ["hi"], "hi"], ids=["none", "words", "text"])
async def test_what_is_no_conversation_is_refused_at_once(home: Path, messages: list[object]) -> None:
    async with world(home) as w:
        with pytest.raises(InvalidRequest) as caught:
            w.chomp.chat(messages)
        assert caught.value.param == "messages"


async def test_a_dispatched_job_is_collected_by_its_id(home: Path) -> None:
    go_on = anyio.Event()
    async with world(home, "groq") as w:
        w.groq.stream(["hel", go_on, "lo"])
        job = await w.chomp.dispatch("hi", model="groq/m", system="be kind")
        assert (job.status, job.model, job.router) == (JobStatus.RUNNING, "groq/m", "groq")
        assert (await w.chomp.result(job.id)).status is JobStatus.RUNNING
        go_on.set()
        with anyio.fail_after(5):
            done = await w.chomp.result(job.id, wait_seconds=5)
    assert (done.status, done.text, done.prompt, done.system) == (JobStatus.DONE, "hello", "hi", "be kind")
    assert done.receipt
    assert done.receipt["served"] == "groq/m"


async def test_what_no_router_has_is_no_job(home: Path) -> None:
    async with world(home, "groq") as w:
        w.groq.models(["m"])
        with pytest.raises(UnknownModel):
            await w.chomp.dispatch("hi", model="nobody-has-this")
        assert await w.chomp.jobs.recent(OWNER) == []


async def test_all_models_come_on_one_page_without_a_limit(home: Path) -> None:
    async with world(home, "groq") as w:
        w.groq.models([f"m{number}" for number in range(1200)])
        whole = await w.chomp.list_models("groq", limit=None)
        first = await w.chomp.list_models("groq", limit=5000)
    assert (len(whole.models), whole.next_cursor) == (1200, "")
    assert (len(first.models), first.next_cursor) == (1000, "1000")


async def test_a_closed_chomp_tells_a_later_dispatch_to_come_back(home: Path) -> None:
    async with world(home, "groq") as w:
        await w.chomp.jobs.close()
        with pytest.raises(Overloaded):
            await w.chomp.dispatch("hi", model="groq/m")


@pytest.mark.parametrize("key", [["gsk_" + 40 * "a", "gsk_" + 40 * "b"], 3, None])
async def test_a_key_that_is_not_text_is_refused_with_what_to_give(home: Path, key: object) -> None:
    async with Chomp(Settings.load()) as chomp:
        with pytest.raises(InvalidRequest, match="The key for groq is not text") as refused:
            await chomp.register_keys({"groq": key})  # type: ignore[dict-item]

    assert "commas" in refused.value.hint
    assert not (home / "keys.json").exists()


WRONG: list[tuple[str, Callable[[Chomp, Any], Awaitable[object]], list[object]]] = [
    ("model", lambda c, v: c.ask("hi", model=v), [5, b"mock/echo", ["mock/echo"]]),
    ("model", lambda c, v: c.dispatch("hi", model=v), [5, b"mock/echo"]),
    ("router", lambda c, v: c.ask("hi", router=v), [5, {"a": 1}]),
    ("prompt", lambda c, v: c.ask(v), [None, 5, b"hi"]),
    ("caller", lambda c, v: c.ask("hi", caller=v), [None, "owner"]),
    ("caller", lambda c, v: c.status(v), [None, "owner"]),
    ("job_id", lambda c, v: c.result(v), [None, 5, b"job_1"]),
    ("wait_seconds", lambda c, v: c.result("job_1", wait_seconds=v), [None, "5", float("nan"), -1]),
    ("query", lambda c, v: c.list_models(query=v), [None, 5]),
    ("router", lambda c, v: c.list_models(v), [5, ["groq"]]),
    ("limit", lambda c, v: c.list_models(limit=v), ["5", 1.5, 0]),
    ("cursor", lambda c, v: c.list_models(cursor=v), [5, "x"]),
    ("needs", lambda c, v: c.list_models(needs=v), [None, 5, [5], "sight"]),
    ("keys", lambda c, v: c.register_keys(v), [None, "gsk_1", ["groq"]]),
    ("router", lambda c, v: c.register_keys({v: "gsk_" + 40 * "a"}), [None, 5]),
]
"""The argument, a call with it, and values that it cannot have."""


async def test_a_wrong_argument_is_named_with_what_to_give(home: Path) -> None:
    async with Chomp(Settings.load()) as chomp:
        for param, call, values in WRONG:
            for value in values:
                with pytest.raises(ChompError) as refused:
                    await call(chomp, value)
                assert (refused.value.param, refused.value.status) == (param, 400), value
                assert refused.value.hint
        for messages in (None, 5, b"hi", [b"hi"], aiter_of([])):
            with pytest.raises(InvalidRequest) as refused:
                chomp.chat(messages)
            assert refused.value.param == "messages"


async def test_what_asks_for_a_plan_asks_nobody(home: Path) -> None:
    async with world(home, "groq") as w:
        with pytest.raises(InvalidRequest, match="dry_run"):
            w.chomp.chat(HI, model="groq/m", dry_run=True)
        assert w.groq.requests == []


async def aiter_of(messages: list[object]) -> Any:
    for message in messages:
        yield message


async def test_needs_may_be_words_with_commas(home: Path) -> None:
    async with Chomp(Settings.load()) as chomp:
        assert await chomp.list_models("mock", needs="tools, vision") == await chomp.list_models(
            "mock", needs=["tools", "vision"]
        )


async def test_messages_of_a_generator_are_sent(home: Path) -> None:
    async with Chomp(Settings.load()) as chomp:
        completion = await chomp.chat((message for message in HI), model="mock/echo")
    assert completion["choices"][0]["message"]["content"] == "hi"


async def test_what_is_no_json_is_no_job(home: Path) -> None:
    async with Chomp(Settings.load()) as chomp:
        with pytest.raises(InvalidRequest, match="cannot be sent as JSON"):
            await chomp.dispatch("hi", model="mock/echo", options={"stop": {"a"}})
        assert await chomp.jobs.recent(OWNER) == []


@pytest.mark.parametrize("environ", [5, " ", {"CHOMP_HOME": Path("x")}, {"GATEWAY_PORT": 8080}, {5: "x"}])
def test_settings_come_from_texts(environ: Any) -> None:
    with pytest.raises(InvalidSetting) as refused:
        Settings.load(environ)
    assert refused.value.hint


@pytest.mark.parametrize(
    ("name", "value"),
    [("home", "/tmp/chomp"), ("daily_budget_usd", 5.0), ("rate_rps", None), ("fallbacks", "groq"), ("group_rows", ())],
)
def test_settings_of_a_programs_own_have_the_types_of_their_fields(home: Path, name: str, value: Any) -> None:
    assert Settings(home=home, rate_rps=5, daily_budget_usd=Decimal(5))
    with pytest.raises(InvalidSetting, match=name) as refused:
        Settings(**{"home": home, name: value})
    assert "Settings.load" in refused.value.hint


def test_a_chomp_takes_settings_and_nothing_else(home: Path) -> None:
    with pytest.raises(InvalidRequest, match="settings is of the type dict"):
        Chomp({"CHOMP_HOME": str(home)})  # type: ignore[arg-type]


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_job_whose_event_loop_ends_around_it_was_stopped_and_not_cancelled(home: Path) -> None:
    async def dispatched_and_left() -> str:
        return (await Chomp(Settings.load()).dispatch("hi", model="mock/slow?seconds=70")).id

    async def collected(job_id: str) -> Any:
        async with Chomp(Settings.load()) as chomp:
            return await chomp.result(job_id)

    job = asyncio.run(collected(asyncio.run(dispatched_and_left())))
    assert job.status is JobStatus.ERROR
    assert "Dispatch it again" in job.error
    gc.collect()  # what was left open, while its warnings are this test's


def test_a_chomp_belongs_to_the_event_loop_of_its_first_use(home: Path) -> None:
    chomp = Chomp(Settings.load())

    async def streamed() -> list[object]:
        return [chunk async for chunk in chomp.chat(HI, model="mock/echo", stream=True)]

    async def whole() -> object:
        return await chomp.chat(HI, model="mock/echo")

    asyncio.run(chomp.status())
    for elsewhere in (chomp.ask("hi"), chomp.dispatch("hi"), chomp.list_models(), streamed(), whole(), chomp.close()):
        with pytest.raises(InvalidRequest, match="another event loop") as refused:
            asyncio.run(elsewhere)
        assert "asyncio.run" in refused.value.hint
    with pytest.raises(InvalidRequest, match="No event loop"):
        chomp.status().send(None)
