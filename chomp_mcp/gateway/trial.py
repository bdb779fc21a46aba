"""One route is tried: send, read until the answer begins, judge; and once more where the failure table says so."""

from __future__ import annotations

import asyncio
import bisect
import logging
import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from decimal import Decimal

import anyio

from chomp_mcp.dialects import Decoder, Speech, speech
from chomp_mcp.dialects.openai.request import choices_of, must_be_whole
from chomp_mcp.dialects.stream.framing import MAX_ANSWER_BYTES
from chomp_mcp.errors import ChompError, InvalidRequest
from chomp_mcp.frozen import struct
from chomp_mcp.gateway.answer import MOST_SILENT_DELTAS, Answer, is_answer, judged, nothing_said, whole
from chomp_mcp.gateway.health import Health
from chomp_mcp.gateway.outward import Guard
from chomp_mcp.gateway.seals import LEFT_OUT, Seals
from chomp_mcp.gateway.wishes import Wishes
from chomp_mcp.messages import (
    Attempt,
    ChatRequest,
    Completion,
    Delta,
    ErrorObject,
    Failed,
    FailureKind,
    Route,
    Usage,
    WireRequest,
)
from chomp_mcp.policy import capability, failover
from chomp_mcp.policy.secrets import sent_secrets, without
from chomp_mcp.routers import quota_headers
from chomp_mcp.routers.client import Client
from chomp_mcp.routers.failures import judge
from chomp_mcp.routers.response import Response, Unreachable
from chomp_mcp.store.kv.finish import finished
from chomp_mcp.telemetry.report import OUTRACED
from chomp_mcp.telemetry.tracing import Trace

_log = logging.getLogger("chomp_mcp.attempts")

MAX_ERROR_BYTES = 256 * 1024
MOST_NOTES = 100
LONGEST_NOTE = 1_000
"""Characters."""
_MORE_NOTES = f"more did not travel: only the first {MOST_NOTES} notes are listed"


@struct(frozen=True, slots=True)
class Charge:
    """An attempt without an answer that costs something all the same: what the router counted and told of it."""

    route: Route
    usage: Usage | None = None
    cost_usd: Decimal | None = None
    was_left: bool = False
    """Nobody waited for its end: what it costs is estimated."""


@dataclass(slots=True)
class Record:
    """What is to be told of an exchange's attempts."""

    done: list[Attempt] = field(default_factory=list)
    """Those that have ended, in the order in which they began."""
    notes: dict[str, None] = field(default_factory=dict)
    """Sentences in order, each once; of a history that gives cause for thousands only the first."""
    charges: list[Charge] = field(default_factory=list)
    """What attempts cost that brought no answer, as far as the router said so; and those that were left."""
    _began: list[float] = field(default_factory=list)

    def attempt(
        self, route: Route, outcome: str, started: float, now: float, response: Response | None, message: str = ""
    ) -> None:
        """One more has ended."""
        status = response.status if response else None
        ms = max(0, round((now - started) * 1000))
        place = bisect.bisect(self._began, started)
        self._began.insert(place, started)
        self.done.insert(place, Attempt(route.router.id, route.model, outcome, status, ms, message[:300]))

    def note(self, *sentences: str) -> None:
        for sentence in sentences:
            if len(self.notes) >= MOST_NOTES:
                self.notes[_MORE_NOTES] = None
                return
            self.notes[sentence if len(sentence) <= LONGEST_NOTE else f"{sentence[:LONGEST_NOTE]}…"] = None


@struct(frozen=True, slots=True)
class Means:
    """What every attempt of an exchange needs."""

    client: Client
    health: Health
    wishes: Wishes
    seals: Seals
    guard: Guard | None
    clock: Callable[[], float]
    trace: Trace


class Trial:
    """One route, for one request."""

    def __init__(
        self, route: Route, asked: ChatRequest, needs: frozenset[str], means: Means, record: Record, *, is_probe: bool
    ) -> None:
        self.route = route
        self.was_called_off = False
        """Cancelled, since another route was quicker."""
        self.began = self.started = means.clock()
        """Of the trial, and of its latest call."""
        self._asked = asked
        self._request = means.seals.fitted(route, means.wishes.fitted(route, asked))
        """As it is put to the route: perhaps without some of its wishes, or what another route has sealed."""
        self._speech: Speech
        self._is_whole = False
        """It is asked for whole, for the router refuses to stream it; known once it was encoded."""
        self._needs = needs
        self._means = means
        self._record = record
        self._is_probe = is_probe
        """Its breaker let it pass to see whether the router is well."""

    async def run(self) -> Answer | Failed:
        """The answer, once its first real delta is in; the health of the router is told what came."""
        outcome, means = None, self._means
        try:
            outcome = await self._try()
            while isinstance(outcome, Failed):
                # Once more without what the route has refused just now, where it can do without.
                less = means.wishes.after(outcome, self.route, self._request)
                less = less or means.seals.after(outcome, self.route, self._request)
                if not less:
                    break
                self._request = less
                outcome = await self._try()
            if isinstance(outcome, Failed):
                wait = failover.retry_wait(outcome, random.random())  # noqa: S311
                if wait is not None:
                    await anyio.sleep(wait)
                    outcome = await self._try()
            if isinstance(outcome, Failed):
                await means.health.failed(self.route, outcome)
                if not failover.ACTIONS[outcome.kind].counts_for_breaker:
                    await self._release()
            elif self._is_probe:  # whose answer has begun: it has done its work
                self._is_probe = False
                await means.health.succeeded(self.route)
        except BaseException:
            if isinstance(outcome, Answer):
                self.abandon(outcome)
            # Whatever becomes of the caller: a probe that keeps its place holds its breaker half open for minutes.
            await finished(self._release())
            raise
        return outcome

    def abandon(self, answer: Answer) -> None:
        """Its answer has begun, and nobody will read it."""
        self._left(answer.response)

    def _left(self, response: Response | None) -> None:
        """It was sent, and is billed to its end by many (OpenRouter: "for the complete response")."""
        self._ended(OUTRACED if self.was_called_off else FailureKind.HUNG_UP.value, response)
        self._record.charges.append(Charge(self.route, was_left=True))

    async def _release(self) -> None:
        """A probe without a verdict gives its place to the next."""
        if self._is_probe:
            self._is_probe = False
            await self._means.health.released(self.route)

    async def _try(self) -> Answer | Failed:
        """One attempt. What the caller cancels counts against nobody."""
        self.started, route = self._means.clock(), self.route
        encoded = self._encode()
        if isinstance(encoded, Failed):
            self._ended(encoded.kind.value, None, encoded.message)
            return encoded
        response: Response | None = None
        try:
            response = await self._means.client.send(encoded)
            outcome = await self._read(response)
        except Unreachable as error:
            outcome = Failed(error.kind, str(error), resent=error.resent)
        except asyncio.CancelledError:
            self._left(response)
            raise
        except ChompError:
            self._ended("error", response)
            raise
        except Exception:  # noqa: BLE001 - what a router sends may break a decoder, never a caller
            _log.exception("the answer of %s could not be read", route.ref)
            outcome = Failed(FailureKind.TRANSIENT, f"{route.router.id} answered something that cannot be read.")
        if isinstance(outcome, Failed):
            outcome = capability.refused(outcome, self._needs)
            # Routers like to repeat what they were shown.
            secrets = sent_secrets(route.router, route.key)
            outcome = replace(outcome, message=without(outcome.message, secrets), body=without(outcome.body, secrets))
            if outcome.usage is not None or outcome.cost_usd is not None:
                self._record.charges.append(Charge(route, outcome.usage, outcome.cost_usd))
            self._ended(outcome.kind.value, response, outcome.message)
        return outcome

    def _ended(self, outcome: str, response: Response | None, message: str = "") -> None:
        """Without an answer that anybody reads on: nothing is kept open for it."""
        self._record.attempt(self.route, outcome, self.started, self._means.clock(), response, message)
        if response:
            response.close()

    def _encode(self) -> WireRequest | Failed:
        """The call, its notes told; a failed attempt where this router cannot take what the request holds."""
        route, means, request = self.route, self._means, self._request
        is_native = request.is_native_to(route)
        self._is_whole = request.stream and not is_native and must_be_whole(route, request.body)
        if self._is_whole:
            request = request.with_stream(False)
        self._speech = speech(route, request)
        try:
            wired = self._speech.encode(route, request)
        except InvalidRequest as error:
            return Failed(FailureKind.NOT_TAKEN, error.message, body={"hint": error.hint, "param": error.param})
        except (TypeError, ValueError) as error:
            raise InvalidRequest(f"The request cannot be sent as JSON: {error}.", hint="Send plain JSON.") from None
        if not is_native:
            left = set(self._asked.wishes).difference(request.wishes) if self._asked.wishes else ()
            unmet = [f"{route.ref} takes no such {name}: dropped" for name in self._asked.wishes if name in left]
            self._record.note(*request.all_notes, *unmet)
        elif request.native is not self._asked.native:
            self._record.note(LEFT_OUT)
        if wired.notes:
            self._record.note(*wired.notes)
        means.trace.attempt(route.router.id, route.model)
        means.trace.inject(wired.headers)
        if means.guard is not None:
            wired, note = means.guard.checked(route, wired)
            if note:
                self._record.note(note)
        return wired

    async def _read(self, response: Response) -> Answer | Failed:
        route, now = self.route, self._means.clock()
        if readings := quota_headers.read(response.headers, now, windows=route.router.quota_windows):
            await self._means.health.learned(route, readings)
        if not response.is_success:
            return judge(response.status, response.headers, await response.read(MAX_ERROR_BYTES), now)
        if self._request.stream and not self._is_whole:
            return await self._peek(response)
        body = await response.read(MAX_ANSWER_BYTES)
        outcome = await whole(self._speech, response.headers, body)
        if not isinstance(outcome, Completion):
            return judged(outcome, now)
        response.close()
        return Answer(route, completion=outcome, response=response)

    async def _peek(self, response: Response) -> Answer | Failed:
        """Read until the first real delta: until then nothing is promised, and another route may still answer."""
        route = self.route
        decoder = self._speech.decoder()
        if not self._request.is_native_to(route):
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
            if len(seen) > MOST_SILENT_DELTAS:
                return nothing_said(decoder)
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
        failed = judged(decoder.error or ErrorObject(None), self._means.clock())
        return replace(failed, usage=failed.usage or decoder.usage, cost_usd=failed.cost_usd or decoder.cost_usd)
