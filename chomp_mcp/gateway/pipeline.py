"""Admit, plan, attempt, settle: the one way of every request. Read this file first."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from chomp_mcp.errors import ChompError, UpstreamError
from chomp_mcp.gateway.admission import Admission
from chomp_mcp.gateway.attempts import Attempts
from chomp_mcp.gateway.bill import Bill
from chomp_mcp.gateway.conversations import Conversations
from chomp_mcp.gateway.explain import Explainer, PlanView
from chomp_mcp.gateway.health import Health
from chomp_mcp.gateway.hedge import Hedge
from chomp_mcp.gateway.outward import Guard, OutwardGuards
from chomp_mcp.gateway.planner import Planner
from chomp_mcp.gateway.prices import Prices
from chomp_mcp.gateway.reply import Reply
from chomp_mcp.gateway.seals import Seals
from chomp_mcp.gateway.settlement import Settlement
from chomp_mcp.gateway.token_count import count_tokens
from chomp_mcp.gateway.trial import Means
from chomp_mcp.gateway.wishes import Wishes
from chomp_mcp.messages import AUTO, Caller, ChatRequest, FailureKind, Plan, Receipt
from chomp_mcp.routers.client import Client
from chomp_mcp.store.holds import Hold
from chomp_mcp.telemetry.report import HIDDEN, OK, Report
from chomp_mcp.telemetry.tracing import Tracing


@dataclass(frozen=True, slots=True)
class Gateway:
    """Everything the pipeline works with; built once, by the composition root."""

    planner: Planner
    admission: Admission
    prices: Prices
    health: Health
    settlement: Settlement
    conversations: Conversations
    guards: OutwardGuards
    client: Client
    tracing: Tracing
    clock: Callable[[], float]
    wishes: Wishes = field(default_factory=Wishes)
    seals: Seals = field(default_factory=Seals)
    under_way: set[Exchange] = field(default_factory=set)
    """The exchanges that run now, in this process."""

    def exchange(
        self, caller: Caller, request: ChatRequest, *, door: str = "", plan: Plan | None = None, is_let_in: bool = False
    ) -> Exchange:
        """One request, all its attempts: `async with gateway.exchange(caller, request) as reply:`.

        Entering raises every error that comes before the first real delta; leaving settles, whatever happened.
        `plan` and `is_let_in` are given by who has planned, or has asked the rate limit, already.
        """
        return Exchange(self, caller, request, door=door, plan=plan, is_let_in=is_let_in)

    def plan(self, caller: Caller, request: ChatRequest) -> Awaitable[Plan]:
        """Where the request would go now."""
        return self.planner.plan(caller, request)

    async def explain(self, caller: Caller, request: ChatRequest) -> PlanView:
        """Where the request would go now, and why each route stands where it does; no router is called for it."""
        await self.admission.let_in(caller)
        plan = await self.plan(caller, request)
        if talk := self.conversations.name_of(caller, request, plan):
            plan = await self.conversations.with_kept(talk, plan)
        return await Explainer(self.planner.orders, self.health).of(plan, request)

    async def count_tokens(self, caller: Caller, request: ChatRequest) -> Mapping[str, Any] | None:
        """The count by the router that would answer; None where it has no call for that. See `token_count`."""
        plan, guard = await self.plan(caller, request), await self.guards.of(caller)
        return await count_tokens(self.client, plan, request, guard)


class Exchange:
    """The way of one request, from admission to settlement."""

    def __init__(
        self, gateway: Gateway, caller: Caller, request: ChatRequest, *, door: str, plan: Plan | None, is_let_in: bool
    ) -> None:
        self._gateway = gateway
        self._caller = caller
        self._request = request
        self._door = door
        self._plan = plan
        self._is_let_in = is_let_in
        self.is_job = False
        """It goes on in the background, whoever asked: for the report."""
        self.before_asking: Callable[[Hold | None], Awaitable[None]] | None = None
        """Awaited before the first router is called, with the reservation."""
        self._started = gateway.clock()
        self._trace = gateway.tracing.exchange(request.model, door=door, stream=request.stream, body=request.said)
        self._hold: Hold | None = None
        self._hedge: Hedge | None = None
        self._attempts: Attempts | None = None
        self._reply: Reply | None = None
        self._guard: Guard | None = None

    @property
    def request(self) -> ChatRequest:
        return self._request

    @property
    def planned(self) -> str:
        """The ref that is tried first; empty until there is a plan."""
        return self._plan.routes[0].ref if self._plan else ""

    def receipt(self) -> Receipt:
        """As far as it has come."""
        return self._reply.receipt() if self._reply is not None else self._bare_receipt()

    @property
    def trying(self) -> str:
        """The ref that is asked now, or was asked last; empty before the first."""
        attempts = self._attempts
        return attempts.trying.ref if attempts is not None and attempts.trying is not None else ""

    @property
    def doing(self) -> str:
        """What it waits for now, in words for a person who waits, too."""
        attempts = self._attempts
        if attempts is None or attempts.trying is None:
            return "looking for a route"
        now = attempts.trying.ref
        if self._reply is not None:
            return f"{self._reply.route.ref} is thinking"
        if not attempts.record.done:
            return f"waiting for {now}"
        last = attempts.record.done[-1]
        failed = f"{last.router}/{last.model}"
        if failed == now:
            return f"retrying {now} ({last.outcome.replace('_', ' ')})"
        return f"next route: waiting for {now} ({failed}: {last.outcome.replace('_', ' ')})"

    async def __aenter__(self) -> Reply:
        self._gateway.under_way.add(self)
        self._trace.__enter__()
        try:
            return await self._open()
        except BaseException as error:
            # Python calls no __aexit__ where __aenter__ has raised.
            if isinstance(error, ChompError) and self._guard:
                error.message = self._guard.without_own(error.message)
            self._settle(error)
            raise

    async def _open(self) -> Reply:
        """Admit, plan, attempt."""
        gateway, request = self._gateway, self._request
        if not self._is_let_in:
            await gateway.admission.let_in(self._caller)
        self._guard = await gateway.guards.of(self._caller)
        if self._plan is None:
            self._plan = await gateway.plan(self._caller, request)
        if request.native and not any(map(request.is_native_to, self._plan.routes)):
            _ = len(request.body)  # what cannot be translated is refused here, before anything is held for it
        talk = gateway.conversations.name_of(self._caller, request, self._plan)
        if talk:
            self._plan = await gateway.conversations.with_kept(talk, self._plan)
        grant = (await gateway.planner.books.as_read(self._caller)).grant
        plan, self._hold = await gateway.admission.reserve(self._caller, request, self._plan, grant)
        # Before the request leaves: from then on its router may bill it, and this process be killed.
        await gateway.settlement.secure(self._hold)
        if plan.group and plan.group.hedge:
            secure = gateway.settlement.secure
            self._hedge = Hedge(gateway.health.speeds, gateway.admission, self._caller, request, grant, secure)
        guard = self._guard
        means = Means(gateway.client, gateway.health, gateway.wishes, gateway.seals, guard, gateway.clock, self._trace)
        self._attempts = Attempts(plan, request, means, self._hedge)
        if self.before_asking is not None:
            await self.before_asking(self._hold)
        try:
            answer = await self._attempts.open()
            if missing := gateway.health.missing:
                self._attempts.record.note(missing)
        except UpstreamError as error:
            error.receipt = self._bare_receipt()
            last = self._attempts.last_failed
            if last and last[1].kind is FailureKind.NO_SUCH_MODEL:
                close = await gateway.planner.close_to(self._caller, last[0])
                error.hint = f"Did you mean {' or '.join(close)}?" if close else error.hint
            raise
        # From here on it has an owner, who ends it whatever becomes of the caller.
        self._reply = Reply(
            self._attempts,
            answer,
            request,
            prices=gateway.prices,
            clock=gateway.clock,
            started=self._started,
            secure=partial(gateway.settlement.secure, self._hold),
            keeps_text=gateway.settlement.receipts.keeps_bodies,
        )
        if talk:
            await gateway.conversations.keep(talk, plan, answer.route)
        return self._reply

    async def __aexit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        self._settle(error)

    def _settle(self, error: BaseException | None) -> None:
        """Settle once, on the way out, also when the caller has gone."""
        self._gateway.under_way.discard(self)
        reply = self._reply
        if reply is not None:
            reply.end()
        report = self._report(error)
        bill = reply.bill if reply is not None else self._bill
        if self._gateway.settlement.receipts.keeps_bodies:
            self._gateway.settlement.receipts.said(self._request.said, reply.said if reply else "", report.status)
        holds = [*([self._hold] if self._hold else []), *(self._hedge.holds if self._hedge else [])]
        self._gateway.settlement.settle(self._caller, holds, bill.bookings, report)
        self._trace.settle(report)
        self._trace.__exit__(type(error) if error else None, error, None)

    def _report(self, error: BaseException | None) -> Report:
        reply, gateway = self._reply, self._gateway
        receipt = reply.receipt() if reply else getattr(error, "receipt", None) or self._bare_receipt()
        if error is not None and self._guard and self._guard.in_text(receipt.asked):
            receipt = replace(receipt, asked=HIDDEN)  # a key, pasted where the model's name belongs
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
            job=self.is_job,
        )

    @property
    def _bill(self) -> Bill:
        """Of an exchange without an answer: what was left before it began, what failed and is paid for."""
        charges = self._attempts.record.charges if self._attempts else ()
        return Bill.of(self._gateway.prices, self._request, charges)

    def _bare_receipt(self) -> Receipt:
        """Of an exchange without an answer."""
        attempts, bill = self._attempts, self._bill
        return Receipt(
            asked=attempts.plan.asked if attempts else self._request.model or AUTO,
            attempts=tuple(attempts.record.done) if attempts else (),
            usage=bill.usage,
            cost_usd=bill.cost_usd,
            latency_ms=max(0, round((self._gateway.clock() - self._started) * 1000)),
            notes=(*attempts.plan.notes, *bill.notes) if attempts else (),
        )


HUNG_UP = FailureKind.HUNG_UP.value


def _status(error: BaseException | None) -> str:
    """The word for the report: `ok`, an error's code, that the caller hung up, or that we made a mistake."""
    if error is None:
        return OK
    if isinstance(error, ChompError):
        return error.code or error.type
    return "internal_error" if isinstance(error, Exception) else HUNG_UP
