"""Walk the plan: try a route, go on or stop; in a group that hedges, race a silent route with the next."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import replace

import anyio

from chomp_mcp.errors import BudgetExceeded, ChompError, UpstreamTimeout
from chomp_mcp.gateway.answer import Answer
from chomp_mcp.gateway.exhausted import exhausted
from chomp_mcp.gateway.health import Rest
from chomp_mcp.gateway.hedge import Hedge
from chomp_mcp.gateway.outward import StayLocal
from chomp_mcp.gateway.trial import Means, Record, Trial
from chomp_mcp.messages import ChatRequest, Failed, FailureKind, Plan, Route
from chomp_mcp.policy import failover
from chomp_mcp.policy.outward import is_local
from chomp_mcp.store.kv.finish import finished
from chomp_mcp.telemetry.report import OK


class Attempts:
    """One walk along one plan; `record` tells of the attempts so far."""

    def __init__(self, plan: Plan, request: ChatRequest, means: Means, hedge: Hedge | None) -> None:
        """`hedge`: in a group that hedges."""
        self.plan = plan
        self.record = Record()
        self.trying: Route | None = None
        """The latest that was begun."""
        self._request = request
        self._means = means
        self._hedge = hedge
        self._is_measured = plan.group is not None and (plan.group.hedge or plan.group.order == "speed")
        self._probing: set[int] = set()
        """Places in the plan that their breaker lets pass as its probe."""
        self._tried: set[int] = set()
        self._rests: list[tuple[Route, Rest]] = []
        self._failures: list[tuple[Route, Failed]] = []
        self._sent_at = self._answered_at = 0.0
        """When the call that brought the answer went out, and when the answer began."""

    @property
    def last_failed(self) -> tuple[Route, Failed] | None:
        """The route that was tried last, and how it failed."""
        return self._failures[-1] if self._failures else None

    async def open(self) -> Answer:
        """The first route that answers. `UpstreamError` when the plan ran out, or the caller's time."""
        seconds = self._request.timeout_seconds
        if seconds is None:
            return await self._walk()
        with anyio.move_on_after(seconds):
            return await self._walk()
        why = f"No router answered within the {seconds:g} s that you wait."
        raise UpstreamTimeout(why, hint="Wait longer, or dispatch it as a job.")

    async def _walk(self) -> Answer:
        index = await self._first_ready(range(len(self.plan.routes)))
        while index is not None:
            try:
                if self._hedge:
                    outcome = await self._raced(index, self._hedge)
                else:
                    trial = self._trial(index)
                    outcome = await self._outcome(trial, index, await trial.run())
            except StayLocal as error:
                # The plan has only routers on this machine from now on; where it had none, the error goes up.
                local = tuple(route for route in self.plan.routes[index + 1 :] if is_local(route))
                if not local:
                    raise
                notes = (*self.plan.notes, f"stays on this machine: {error.message}")
                self.plan = replace(self.plan, routes=local, notes=notes)
                self._tried.clear()
                index = await self._first_ready(range(len(local)))
                continue
            if isinstance(outcome, Answer):
                # What was passed over, and why; a caller must never wonder who answered.
                for passed, rest in self._rests:
                    if passed.ref != outcome.route.ref:
                        self.record.note(f"{passed.ref} rests ({rest.words})")
                if outcome.route.router.note:
                    self.record.note(outcome.route.router.note)
                return outcome
            index = await self._after(outcome)
        raise exhausted(self._failures, self._rests, self._means.clock())

    def _trial(self, index: int) -> Trial:
        self.trying = route = self.plan.routes[index]
        is_probe = index in self._probing
        self._probing.discard(index)
        self._tried.add(index)
        return Trial(route, self._request, self.plan.needs, self._means, self.record, is_probe=is_probe)

    async def _outcome(self, trial: Trial, index: int, outcome: Answer | Failed) -> Answer | Mapping[int, Failed]:
        """The answer, its speed measured where a group reads it; or what failed at which place of the plan."""
        if isinstance(outcome, Failed):
            self._failures.append((trial.route, outcome))
            return {index: outcome}
        self._sent_at, self._answered_at = trial.started, self._means.clock()
        if self._is_measured:
            seconds = self._answered_at - self._sent_at
            try:
                await self._means.health.speeds.measured(trial.route, seconds, stream=self._request.stream)
            except BaseException:  # the caller has gone just now, and nobody else knows of this answer
                trial.abandon(outcome)
                raise
        return outcome

    async def _raced(self, index: int, hedge: Hedge) -> Answer | Mapping[int, Failed]:
        """The first answer of this route and, when it is silent for too long, of the next; the other is called off."""
        first = self._trial(index)
        running = {asyncio.create_task(first.run()): (index, first)}
        failed: dict[int, Failed] = {}
        won: tuple[Trial, Answer] | None = None
        try:
            seconds = await hedge.patience(first.route, stream=self._request.stream)
            ended, _ = await asyncio.wait(running, timeout=seconds)
            if not ended and (rival := await self._rival(index, hedge, first)) is not None:
                second = self._trial(rival)
                running[asyncio.create_task(second.run())] = rival, second
            while running:
                ended, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                for task in [task for task in running if task in ended]:  # of two that ended, the first in the plan
                    place, trial = running.pop(task)
                    try:
                        outcome = await self._outcome(trial, place, task.result())
                    except ChompError:
                        if trial is first:
                            raise
                        continue  # what this holds may not go there: the first goes on alone
                    if isinstance(outcome, Answer):
                        for _, loser in running.values():
                            loser.was_called_off = True
                        won = trial, outcome
                        return outcome
                    failed.update(outcome)
        finally:
            try:
                await finished(self._call_off(running))
            except BaseException:  # the caller left while the loser was called off
                if won is not None:
                    won[0].abandon(won[1])
                raise
        return failed

    async def _rival(self, index: int, hedge: Hedge, first: Trial) -> int | None:
        """Who races the silent route: the next of another model or router, where the budget has room for both."""
        routes, behind = self.plan.routes, range(index + 1, len(self.plan.routes))
        silent = routes[index].ref
        rival = await self._first_ready(i for i in behind if routes[i].ref != silent and i not in self._tried)
        if rival is None:
            return None
        told = f"{silent} was silent for {self._means.clock() - first.began:.1f} s"
        try:
            await hedge.reserve(routes[rival])
        except BudgetExceeded:
            if rival in self._probing:
                self._probing.discard(rival)
                await self._means.health.released(routes[rival])
            self.record.note(f"{told}; not raced: the budget has no room for a second call")
            return None
        self.record.note(f"{told}: raced by {routes[rival].ref}; the slower one was called off, and is booked")
        return rival

    async def _call_off(self, running: Mapping[asyncio.Task[Answer | Failed], tuple[int, Trial]]) -> None:
        """End what still runs; what it may cost stays on the record."""
        for task in running:
            task.cancel()
        outcomes = await asyncio.gather(*running, return_exceptions=True)
        for outcome, (_, trial) in zip(outcomes, running.values(), strict=True):
            if isinstance(outcome, Answer):  # it began at the very same moment
                trial.abandon(outcome)
            elif trial.was_called_off and isinstance(outcome, asyncio.CancelledError):
                seconds, speeds = self._means.clock() - trial.started, self._means.health.speeds
                await speeds.measured(trial.route, seconds, stream=self._request.stream, is_least=True)

    async def finish(self, answer: Answer, broken: str) -> None:
        """The answer has ended: well, or `broken` in the middle, which is the router's failure."""
        route, health = answer.route, self._means.health
        self._ended(answer, FailureKind.CUT.value if broken else OK, broken)
        self._means.seals.learn(answer)
        # What cannot be written of its health is logged there: the answer is paid for, and goes out.
        if broken:
            await health.failed(route, Failed(FailureKind.CUT, broken))
        else:
            await health.succeeded(route)
        if self._is_measured and answer.decoder is not None and answer.usage and not broken:
            await health.speeds.generated(route, answer.usage.output_tokens, self._means.clock() - self._answered_at)

    def abandon(self, answer: Answer) -> None:
        """The caller left in the middle: nobody's failure."""
        self._ended(answer, FailureKind.HUNG_UP.value)

    def _ended(self, answer: Answer, outcome: str, message: str = "") -> None:
        self.record.attempt(answer.route, outcome, self._sent_at, self._means.clock(), answer.response, message)

    async def _first_ready(self, indices: Iterable[int]) -> int | None:
        """The first of these routes that neither rests nor stands behind an open breaker."""
        for index in indices:
            route = self.plan.routes[index]
            verdict = await self._means.health.admits(route, mind_quota=self.plan.free_choice)
            if isinstance(verdict, Rest):
                self._rests.append((route, verdict))
                continue
            if verdict == "probe":
                self._probing.add(index)
            return index
        return None

    async def _after(self, failed: Mapping[int, Failed]) -> int | None:
        """Where the failure table goes on from these places of the plan, leaving out what was tried and what rests."""
        routes, free = self.plan.routes, self.plan.free_choice
        if any(failover.ACTIONS[each.kind].next == "stop" for each in failed.values()):
            return None
        ways = {index: set(failover.suitable(routes, index, each.kind, free)) for index, each in failed.items()}
        return await self._first_ready(
            place
            for place in range(min(ways) + 1, len(routes))
            if place not in self._tried and all(place in way for index, way in ways.items() if place > index)
        )
