"""What a type checker knows of the public names: checked, and never run."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import assert_type

from chomp_mcp import (
    Answer,
    AttemptView,
    ChatChunk,
    ChatCompletion,
    Chomp,
    ChompError,
    Job,
    JobStatus,
    Model,
    ModelPage,
    ReceiptView,
    StatusView,
    UpstreamError,
    UsageView,
)

HI = [{"role": "user", "content": "hi"}]


async def an_answer_and_its_receipt(chomp: Chomp) -> None:
    answer = await chomp.ask("hi", model="groq/auto", options={"temperature": 0})
    assert_type(answer, Answer)
    assert_type(answer.text, str)
    assert_type(answer.receipt, ReceiptView)
    assert_type(answer.receipt["served"], str)
    assert_type(answer.receipt["attempts"], list[AttemptView])
    assert_type(answer.receipt["usage"], UsageView)
    assert_type(answer.receipt["cost_usd"], str | None)
    assert_type(answer.receipt.get("notes"), list[str] | None)


async def a_job(chomp: Chomp) -> None:
    job = await chomp.dispatch("hi")
    assert_type(job, Job)
    done = await chomp.result(job.id, wait_seconds=30)
    assert_type(done.status, JobStatus)
    assert_type(done.text, str)
    assert_type(done.receipt, ReceiptView | None)


async def a_chat(chomp: Chomp, *, maybe: bool) -> None:
    completion = await chomp.chat(HI, model="groq/auto", temperature=0)
    assert_type(completion, ChatCompletion)
    assert_type(completion["choices"][0]["message"]["content"], str | None)
    assert_type(completion["choices"][0]["finish_reason"], str)
    async for chunk in chomp.chat(HI, stream=True):
        assert_type(chunk, ChatChunk)
        assert_type(chunk["choices"][0]["delta"].get("content"), str | None)
    chunks = await chomp.chat(HI, stream=True)
    assert_type(chunks, AsyncIterator[ChatChunk])
    whichever = await chomp.chat(HI, stream=maybe)
    assert_type(whichever, ChatCompletion | AsyncIterator[ChatChunk])


async def models_keys_and_status(chomp: Chomp) -> None:
    page = await chomp.list_models("groq", limit=None)
    assert_type(page, ModelPage)
    assert_type(page.models, tuple[Model, ...])
    assert_type(page.errors, Mapping[str, str])
    assert_type(await chomp.register_keys({"groq": "gsk_…"}), dict[str, str])
    status = await chomp.status()
    assert_type(status, StatusView)
    assert_type(status["routers"]["groq"]["ready"], bool)
    assert_type(status["spend"]["today_usd"], str)


async def what_can_go_wrong(chomp: Chomp) -> str:
    try:
        return (await chomp.ask("hi")).text
    except UpstreamError as error:
        assert_type(error.retry_after, float | None)
        return error.receipt.asked if error.receipt else ""
    except ChompError as error:
        assert_type(error.code, str | None)
        return error.hint
