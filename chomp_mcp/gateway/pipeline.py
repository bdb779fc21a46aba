"""Admit, plan, attempt, settle: the one way of every request. Read this file first."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from types import TracebackType
from typing import Any

from chomp_mcp.dialects.openai.collect import Folder
from chomp_mcp.errors import ChompError, UpstreamError, UpstreamFailed
from chomp_mcp.gateway.admission import Admission
from chomp_mcp.gateway.attempts import Answer, Attempts
from chomp_mcp.gateway.health import Health
from chomp_mcp.gateway.planner import Planner
from chomp_mcp.gateway.settlement import Prices, Settlement
from chomp_mcp.messages import (
    AUTO,
    Caller,
    ChatRequest,
    Completion,
    Delta,
    FailureKind,
    Plan,
    Receipt,
    Route,
    Usage,
)
from chomp_mcp.policy import pricing
from chomp_mcp.routers.client import Client, Unreachable
from chomp_mcp.store.ledger import Hold
from chomp_mcp.telemetry.report import OK, Report
from chomp_mcp.telemetry.tracing import Tracing

__all__ = ["Exchange", "Gateway", "Reply"]


@dataclass(frozen=True, slots=True)
class Gateway:
    """Everything the pipeline works with; built once, by the composition root."""

    planner: Planner
    admission: Admission
    prices: Prices
    health: Health
    settlement: Settlement
    client: Client
    tracing: Tracing
    clock: Callable[[], float]
    under_way: set[Exchange] = field(default_factory=set)
    """The exchanges that run now, in this process."""

    def exchange(
        self, caller: Caller, request: ChatRequest, *, door: str = "", is_job: Callable[[], bool] | None = None
    ) -> Exchange:
        """One request, all its attempts: `async with gateway.exchange(caller, request) as reply:`.

        Entering raises every error that comes before the first real delta; leaving settles, whatever happened.
        `is_job`, asked at the end, is given by who has counted the request against the rate limit already.
        """
        return Exchange(self, caller, request, door=door, is_job=is_job)

    def plan(self, caller: Caller, request: ChatRequest) -> Awaitable[Plan]:
        """Where the request would go now."""
        return self.planner.plan(caller, request)


class Exchange:
    """The way of one request, from admission to settlement."""

    def __init__(
        self, gateway: Gateway, caller: Caller, request: ChatRequest, *, door: str, is_job: Callable[[], bool] | None
    ) -> None:
        self._gateway = gateway
        self._caller = caller
        self._request = request
        self._door = door
        self._is_job = is_job
        self._started = gateway.clock()
        self._trace = gateway.tracing.exchange(request.model, door=door, stream=request.stream, body=request.body)
        self.planned = ""
        """The first route of the plan, once there is one."""
        self._hold: Hold | None = None
        self._attempts: Attempts | None = None
        self._reply: Reply | None = None

    async def __aenter__(self) -> Reply:
        self._gateway.under_way.add(self)
        self._trace.__enter__()
        try:
            return await self._open()
        except BaseException as error:
            self._settle(error)
            raise

    async def _open(self) -> Reply:
        """Admit, plan, attempt."""
        gateway, request = self._gateway, self._request
        if self._is_job is None:
            gateway.admission.check_rate(self._caller)
        plan = await gateway.plan(self._caller, request)
        self.planned = plan.routes[0].ref
        plan, self._hold = await gateway.admission.reserve(self._caller, request, plan)
        self._attempts = Attempts(
            plan, request, client=gateway.client, health=gateway.health, clock=gateway.clock, trace=self._trace
        )
        began = gateway.clock()
        try:
            answer = await self._attempts.open()
        except UpstreamError as error:
            error.receipt = self._bare_receipt()
            raise
        self._reply = Reply(gateway, self._attempts, answer, request, started=self._started, began=began)
        return self._reply

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._settle(error)

    def _settle(self, error: BaseException | None) -> None:
        """Settle once, on the way out, also when the caller has gone."""
        self._gateway.under_way.discard(self)
        reply = self._reply
        if reply is not None:
            reply.end()
        report = self._report(error)
        route = reply.route if reply is not None else None
        self._gateway.settlement.settle(self._caller, self._hold, route, report)
        self._trace.settle(report)
        self._trace.__exit__(type(error) if error else None, error, None)

    def _report(self, error: BaseException | None) -> Report:
        reply, gateway = self._reply, self._gateway
        receipt = reply.receipt() if reply else getattr(error, "receipt", None) or self._bare_receipt()
        failure = (reply.failure if reply else None) or error
        cost = receipt.cost_usd
        return Report(
            door=self._door,
            caller_id=self._caller.id,
            asked=receipt.asked,
            receipt=receipt,
            status=HUNG_UP if reply and reply.was_left and failure is None else _status(failure),
            streamed=self._request.stream,
            started_at=self._started,
            duration_seconds=gateway.clock() - self._started,
            first_token_seconds=reply.first_token_seconds if reply else None,
            price="unknown" if cost is None else "known" if cost else "zero",
            job=self._is_job is not None and self._is_job(),
        )

    def _bare_receipt(self) -> Receipt:
        """Of an exchange without an answer."""
        attempts = self._attempts
        return Receipt(
            asked=attempts.plan.asked if attempts else self._request.model or AUTO,
            attempts=tuple(attempts.done) if attempts else (),
            latency_ms=max(0, round((self._gateway.clock() - self._started) * 1000)),
            notes=attempts.plan.notes if attempts else (),
        )


HUNG_UP = FailureKind.HUNG_UP.value


def _status(error: BaseException | None) -> str:
    """The word for the report: `ok`, an error's code, that the caller hung up, or that we made a mistake."""
    if error is None:
        return OK
    if isinstance(error, ChompError):
        return error.code or error.type
    return "internal_error" if isinstance(error, Exception) else HUNG_UP


class Reply:
    """An answer on its way: iterate its deltas, or await the whole."""

    def __init__(
        self,
        gateway: Gateway,
        attempts: Attempts,
        answer: Answer,
        request: ChatRequest,
        *,
        started: float,
        began: float,
    ) -> None:
        self.failure: UpstreamError | None = None
        """What broke the answer after its first delta."""
        self.first_token_seconds = gateway.clock() - started if request.stream else None
        self._gateway = gateway
        self._attempts = attempts
        self._answer = answer
        self._request = request
        self._started = started
        self._began = began
        self.was_left = False
        """The caller did not wait for the end."""
        self._ended_at: float | None = None
        self._final: Receipt | None = None
        self._characters = 0
        self._finish_reason: str | None = None

    @property
    def route(self) -> Route:
        """The route that answers."""
        return self._answer.route

    async def __aiter__(self) -> AsyncIterator[Delta]:
        async for batch in self.batches():
            for delta in batch:
                yield delta

    async def batches(self) -> AsyncIterator[list[Delta]]:
        """The deltas as they come in, those of one read together.

        Raises:
            UpstreamFailed: the router broke off in the middle; nobody else may go on from there.
        """
        try:
            async for batch in self._answer.batches():
                self._characters += sum([delta.characters for delta in batch])
                if self._answer.is_finished and self._finish_reason is None:
                    self._finish_reason = next((d.finish_reason for d in batch if d.finish_reason), None)
                yield batch
        except Unreachable as error:
            await self._end(str(error))
        else:
            await self._end(self._answer.broken)
        if self.failure is not None:
            raise self.failure

    async def completion(self) -> Completion:
        """The whole answer; a stream is added up."""
        if self._answer.completion is not None:
            self._finish_reason = self._answer.completion.finish_reason
            await self._end("")
            return self._answer.completion
        folder = Folder()
        async for batch in self.batches():
            folder.add(batch)
        return Completion(folder.body(), self._answer.usage, self._answer.cost_usd)

    def receipt(self) -> Receipt:
        """Who answered and what was tried; usage and cost are there once the answer has ended."""
        if self._ended_at is None:
            return self._receipt(Usage(), None, self._gateway.clock())
        if self._final is None:
            usage = self._answer.usage or self._estimated()
            cost = self._gateway.prices.cost(self._answer.route, usage, self._answer.cost_usd)
            self._final = self._receipt(usage, cost, self._ended_at)
        return self._final

    def _receipt(self, usage: Usage, cost: Decimal | None, now: float) -> Receipt:
        plan, notes = self._attempts.plan, self._attempts.notes
        told = (*plan.notes, *notes, *_ending(self._finish_reason))
        return Receipt(
            asked=plan.asked,
            served=self.route.ref,
            attempts=tuple(self._attempts.done),
            usage=usage,
            cost_usd=cost,
            latency_ms=max(0, round((now - self._started) * 1000)),
            notes=tuple(dict.fromkeys(told)) if told else (),
        )

    def _estimated(self) -> Usage:
        """The router sent no usage: streamed usage counts all the same, and says that it is a guess."""
        completion = self._answer.completion
        answered = len(completion.text) if completion else self._characters
        return pricing.estimate_usage(_prompt_characters(self._request.body), answered)

    def end(self) -> None:
        """The exchange is over. A caller that left before the answer's end hung up, which is nobody's failure."""
        self._answer.close()
        if self._ended_at is None:
            self._ended_at = self._gateway.clock()
            self.was_left = True
            self._attempts.abandon(self._answer, self._began)

    async def _end(self, broken: str) -> None:
        if self._ended_at is not None:
            return
        self._ended_at = self._gateway.clock()
        await self._attempts.finish(self._answer, broken, self._began)
        if broken:
            self.failure = UpstreamFailed(broken, hint="The answer is incomplete: ask again.", receipt=self.receipt())


_ENDINGS = {
    "length": "stopped at the token limit: raise max_tokens for the rest",
    "content_filter": "cut by the router's content filter",
}


def _ending(finish_reason: str | None) -> tuple[str, ...]:
    """What a caller must know of an answer that is complete for the router only."""
    return (_ENDINGS[finish_reason],) if finish_reason in _ENDINGS else ()


def _prompt_characters(body: Mapping[str, Any]) -> int:
    return sum(
        len(str(message.get("content") or "")) for message in body.get("messages") or () if isinstance(message, Mapping)
    )
