"""Walk the plan: send, judge, retry, go on or stop."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from decimal import Decimal

import anyio

from chomp_mcp.dialects import Decoder, speech
from chomp_mcp.dialects.openai.request import choices_of, must_be_whole
from chomp_mcp.dialects.stream.framing import MAX_ANSWER_BYTES
from chomp_mcp.errors import (
    ChompError,
    InvalidRequest,
    StoreError,
    UpstreamTimeout,
)
from chomp_mcp.gateway.answer import Answer, is_answer, judged, nothing_said, whole
from chomp_mcp.gateway.exhausted import exhausted
from chomp_mcp.gateway.health import Health, Rest
from chomp_mcp.gateway.outward import Guard, StayLocal
from chomp_mcp.gateway.wishes import Wishes
from chomp_mcp.messages import (
    Attempt,
    ChatRequest,
    Completion,
    Delta,
    ErrorObject,
    Failed,
    FailureKind,
    Plan,
    Route,
    Usage,
    WireRequest,
)
from chomp_mcp.policy import capability, failover
from chomp_mcp.policy.outward import is_local
from chomp_mcp.policy.secrets import sent_secrets, without
from chomp_mcp.routers import quota_headers
from chomp_mcp.routers.client import Client, Response, Unreachable
from chomp_mcp.routers.failures import judge
from chomp_mcp.telemetry.report import OK
from chomp_mcp.telemetry.tracing import Trace

__all__ = ["Attempts", "Charge"]

_log = logging.getLogger("chomp_mcp.attempts")

MAX_ERROR_BYTES = 256 * 1024
FIRST_ERROR_STATUS = 400


@dataclass(frozen=True, slots=True)
class Charge:
    """An attempt without an answer that costs something all the same: what the router counted and told of it."""

    route: Route
    usage: Usage | None = None
    cost_usd: Decimal | None = None
    was_left: bool = False
    """Its caller left before the answer began: what it costs is estimated."""


class Attempts:
    """One walk along one plan; `done` are the attempts so far, in order."""

    def __init__(
        self,
        plan: Plan,
        request: ChatRequest,
        *,
        client: Client,
        health: Health,
        wishes: Wishes,
        guard: Guard | None,
        clock: Callable[[], float],
        trace: Trace,
    ) -> None:
        self.plan = plan
        self.done: list[Attempt] = []
        self.notes: list[str] = []
        self._asked = request
        self._request = request
        """As it is put to the route in turn: perhaps without some of its wishes."""
        self._client = client
        self._health = health
        self._wishes = wishes
        self._guard = guard
        self._clock = clock
        self._trace = trace
        self._probing: set[str] = set()
        """Routes (as refs) that their breaker let pass as its probe."""
        self._rests: list[tuple[Route, Rest]] = []
        self._failures: list[tuple[Route, Failed]] = []
        self.charges: list[Charge] = []
        """What attempts cost that brought no answer, as far as the router said so; and the one that was left."""

    async def open(self) -> Answer:
        """The first route that answers. `UpstreamError` when the plan ran out, or the caller's time."""
        seconds = self._request.timeout_seconds
        if seconds is None:
            return await self._walk()
        with anyio.move_on_after(seconds):
            return await self._walk()
        raise UpstreamTimeout(
            f"No router answered within the {seconds:g} s that you wait.",
            hint="Wait longer, or dispatch it as a job.",
        )

    async def _walk(self) -> Answer:
        index = await self._first_ready(range(len(self.plan.routes)))
        while index is not None:
            route = self.plan.routes[index]
            try:
                outcome = await self._on(route)
            except StayLocal as error:
                index = await self._first_ready(self._go_on_here(index, error))
                continue
            if isinstance(outcome, Answer):
                self._tell_substitution(route)
                return outcome
            index = await self._after(index, outcome)
        raise exhausted(self._failures, self._rests, self._clock())

    def _go_on_here(self, index: int, error: StayLocal) -> range:
        """The plan has only routers on this machine from now on; where it had none, the error goes up."""
        local = tuple(route for route in self.plan.routes[index + 1 :] if is_local(route))
        if not local:
            raise error
        self.plan = replace(
            self.plan, routes=local, notes=(*self.plan.notes, f"stays on this machine: {error.message}")
        )
        return range(len(local))

    async def finish(self, answer: Answer, broken: str, started: float) -> None:
        """The answer has ended: well, or `broken` in the middle, which is the router's failure."""
        route = answer.route
        self._record(route, FailureKind.CUT.value if broken else OK, started, answer.response, broken)
        try:
            if broken:
                await self._health.failed(route, Failed(FailureKind.CUT, broken))
            else:
                await self._health.succeeded(route)
        except StoreError:
            # The answer is there, and paid for: it goes out, whatever became of our own books.
            _log.exception("the health of %s could not be written", route.router.id)

    def abandon(self, answer: Answer, started: float) -> None:
        """The caller left in the middle: nobody's failure."""
        self._record(answer.route, FailureKind.HUNG_UP.value, started, answer.response)

    async def _first_ready(self, indices: Iterable[int]) -> int | None:
        """The first of these routes that neither rests nor stands behind an open breaker."""
        for index in indices:
            route = self.plan.routes[index]
            verdict = await self._health.admits(route, mind_quota=self.plan.free_choice)
            if isinstance(verdict, Rest):
                self._rests.append((route, verdict))
                continue
            if verdict == "probe":
                self._probing.add(route.ref)
            return index
        return None

    async def _release(self, route: Route) -> None:
        """A probe without a verdict gives its place to the next."""
        if route.ref in self._probing:
            self._probing.discard(route.ref)
            await self._health.released(route)

    async def _on(self, route: Route) -> Answer | Failed:
        """This route, and once more where the failure table says so."""
        began = self._clock()
        try:
            self._request = self._wishes.fitted(route, self._asked)
            self.trying = route
            outcome = await self._try(route)
            while isinstance(outcome, Failed) and (less := self._wishes.after(outcome, route, self._request)):
                self._request = less
                outcome = await self._try(route)
            if isinstance(outcome, Failed):
                wait = failover.retry_wait(outcome, random.random())  # noqa: S311
                if wait is not None:
                    await anyio.sleep(wait)
                    outcome = await self._try(route)
            await self._judge(route, outcome, began)
        except BaseException:
            with anyio.CancelScope(shield=True):
                await self._release(route)
            raise
        return outcome

    async def _judge(self, route: Route, outcome: Answer | Failed, began: float) -> None:
        """What the outcome means for the router; a probe whose answer has begun has done its work."""
        if isinstance(outcome, Failed):
            self._failures.append((route, outcome))
            await self._health.failed(route, outcome)
            if not failover.ACTIONS[outcome.kind].counts_for_breaker:
                await self._release(route)
            return
        if self.plan.group and self.plan.group.order == "speed":
            await self._health.speeds.measured(route, self._clock() - began, stream=self._asked.stream)
        if route.ref in self._probing:
            self._probing.discard(route.ref)
            await self._health.succeeded(route)

    async def _after(self, index: int, failed: Failed) -> int | None:
        """Where the failure table goes on from here, leaving out what rests."""
        routes = self.plan.routes
        allowed: list[int] = []
        position = index
        while True:
            rest = (routes[index], *routes[position + 1 :])
            step = failover.next_index(rest, 0, failed.kind, self.plan.free_choice)
            if step is None:
                return await self._first_ready(allowed)
            position += step
            allowed.append(position)

    async def _try(self, route: Route) -> Answer | Failed:
        """One attempt. What the caller cancels counts against nobody."""
        started = self._clock()
        encoded = self._encode(route)
        if isinstance(encoded, Failed):
            self._record(route, encoded.kind.value, started, None, encoded.message)
            return encoded
        response: Response | None = None
        try:
            response = await self._client.send(encoded)
            outcome = await self._read(route, response)
        except Unreachable as error:
            outcome = Failed(error.kind, str(error), resent=error.resent)
        except (ChompError, asyncio.CancelledError) as error:
            left = isinstance(error, asyncio.CancelledError)
            self._record(route, FailureKind.HUNG_UP.value if left else "error", started, response)
            if left:  # it was sent, and is billed to its end by many (OpenRouter: "for the complete response")
                self.charges.append(Charge(route, was_left=True))
            if response:
                response.close()
            raise
        except Exception:  # noqa: BLE001 - what a router sends may break a decoder, never a caller
            _log.exception("the answer of %s could not be read", route.ref)
            outcome = Failed(FailureKind.TRANSIENT, f"{route.router.id} answered something that cannot be read.")
        if isinstance(outcome, Failed):
            outcome = capability.refused(outcome, self.plan.needs)
            # Routers like to repeat what they were shown.
            secrets = sent_secrets(route.router, route.key)
            outcome = replace(outcome, message=without(outcome.message, secrets), body=without(outcome.body, secrets))
            if outcome.usage is not None or outcome.cost_usd is not None:
                self.charges.append(Charge(route, outcome.usage, outcome.cost_usd))
            self._record(route, outcome.kind.value, started, response, outcome.message)
            if response:
                response.close()
        return outcome

    def _encode(self, route: Route) -> WireRequest | Failed:
        """The call, its notes told; a failed attempt where this router cannot take what the request holds."""
        speak = speech(route, self._request)
        request = self._request.with_stream(False) if must_be_whole(route, self._request.body) else self._request
        try:
            wired = speak.encode(route, request)
        except InvalidRequest as error:
            return Failed(FailureKind.NOT_TAKEN, error.message, body={"hint": error.hint, "param": error.param})
        except (TypeError, ValueError) as error:
            raise InvalidRequest(f"The request cannot be sent as JSON: {error}.", hint="Send plain JSON.") from None
        unmet = [
            f"{route.ref} takes no such {name}: dropped" for name in self._asked.wishes if name not in request.wishes
        ]
        translated = () if request.is_native_to(route) else (*request.notes, *unmet)
        notes = (*translated, *wired.notes)
        self.notes.extend(note for note in notes if note not in self.notes)
        self._trace.attempt(route.router.id, route.model)
        self._trace.inject(wired.headers)
        if self._guard is not None:
            wired, note = self._guard.checked(route, wired)
            self.notes += [note] if note and note not in self.notes else []
        return wired

    async def _read(self, route: Route, response: Response) -> Answer | Failed:
        now = self._clock()
        await self._health.learned(route, quota_headers.read(response.headers, now, windows=route.router.quota_windows))
        if not response.is_success:
            return judge(response.status, response.headers, await response.read(MAX_ERROR_BYTES), now)
        if self._request.stream and not must_be_whole(route, self._request.body):
            return await self._peek(route, response)
        outcome = whole(speech(route, self._request), response.headers, await response.read(MAX_ANSWER_BYTES))
        if not isinstance(outcome, Completion):
            return judged(outcome, now)
        response.close()
        return Answer(route, completion=outcome, response=response)

    async def _peek(self, route: Route, response: Response) -> Answer | Failed:
        """Read until the first real delta: until then nothing is promised, and another route may still answer."""
        decoder = speech(route, self._request).decoder()
        decoder.choices = choices_of(route, self._request.body)
        seen: list[Delta] = []
        async for chunk in response.iter_bytes():
            fresh = decoder.feed(chunk)
            seen += fresh
            if is_answer(fresh, decoder):
                response.prolong()
                return Answer(route, first=seen, response=response, decoder=decoder)
            if decoder.error is not None:
                return self._failed_in(decoder)
            if decoder.done:
                break
        seen += decoder.close()
        response.close()
        if decoder.error is not None:
            return self._failed_in(decoder)
        if not is_answer(seen, decoder):
            return nothing_said(decoder)
        return Answer(route, first=seen, decoder=decoder)

    def _failed_in(self, decoder: Decoder) -> Failed:
        """The error that ended the stream, and what the router counted until then."""
        failed = judged(decoder.error or ErrorObject(None), self._clock())
        return replace(failed, usage=failed.usage or decoder.usage, cost_usd=failed.cost_usd or decoder.cost_usd)

    def _record(self, route: Route, outcome: str, started: float, response: Response | None, message: str = "") -> None:
        ms = max(0, round((self._clock() - started) * 1000))
        status = response.status if response else None
        self.done.append(Attempt(route.router.id, route.model, outcome, status, ms, message[:300]))

    def _tell_substitution(self, route: Route) -> None:
        """What was passed over, and why; a caller must never wonder who answered."""
        for passed, rest in self._rests:
            note = f"{passed.ref} rests ({rest.words})"
            if passed.ref != route.ref and note not in self.notes:
                self.notes.append(note)
        if route.router.note and route.router.note not in self.notes:
            self.notes.append(route.router.note)
