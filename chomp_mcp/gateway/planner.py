"""Where a request would go now: the plan for its ref, made anew only when something has changed that it hangs on."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from chomp_mcp.errors import NoRouterKey, UnknownModel
from chomp_mcp.gateway.account import CreditReader
from chomp_mcp.gateway.book import Books
from chomp_mcp.gateway.exhausted import not_running
from chomp_mcp.gateway.health import Health
from chomp_mcp.gateway.known_lists import KnownLists
from chomp_mcp.gateway.model_list import ModelList
from chomp_mcp.gateway.orders import Orders
from chomp_mcp.messages import AUTO, Caller, ChatRequest, Plan, Route
from chomp_mcp.policy import capability, routing
from chomp_mcp.policy.book import Book, Target
from chomp_mcp.policy.grants import permitted

LIST_PATIENCE_SECONDS = 0.75
"""How long a request waits for a list that was never read, where another router may answer it."""
MOST_PLANS = 2000
"""Plans in memory; the oldest go first."""


class _RememberedPlan:
    """A plan and what it hangs on, besides the caller's keys: model lists, and what is gone or unpaid for."""

    def __init__(self, target: Target, book: Book, lists: KnownLists, needed: Iterable[str], note: str = "") -> None:
        self._target = target
        self._note = note
        self._leaves_choice = AUTO in {target.router, target.model}
        self.lists = lists
        self.keys: tuple[tuple[str, str], ...] = ()
        """(router, key id) of every route that the plan has had: who is to be asked what is gone."""
        self.accounts: tuple[str, ...] = ()
        """Those of the routers that tell what a key pays for, where the choice of the model is ours."""
        self.revise(replace(book, reachable=frozenset(router for router in needed if lists.get(router) is not None)))

    def revise(self, book: Book) -> None:
        """Plan with what is gone or unpaid for now."""
        plan = routing.plan(self._target, book, self.lists)
        self.plan = replace(plan, notes=(self._note, *plan.notes)) if self._note else plan
        self.book = book
        self.least_context = capability.least_context(self.plan.routes)
        if self._leaves_choice:
            planned = [(route.router.id, route.key_id) for route in self.plan.routes]
            self.keys = tuple(dict.fromkeys([*self.keys, *planned]))
        if self._target.model == AUTO:
            routers = dict.fromkeys(router for router, _ in self.keys)
            self.accounts = tuple(router for router in routers if book.routers[router].key_info)


@dataclass(frozen=True, slots=True)
class Planner:
    """Reads the model lists that a ref needs, and no others."""

    books: Books
    models: ModelList
    health: Health
    credit: CreditReader
    orders: Orders
    _plans: dict[tuple[str, ...], _RememberedPlan] = field(default_factory=dict)

    async def plan(self, caller: Caller, request: ChatRequest) -> Plan:
        """Where it would go; `StoreAway` where only keys could tell that nobody knows now."""
        try:
            book = await self.books.of(caller)
            demand = capability.demand_of(request)
            stand_in = request.stand_in.ref if request.stand_in else ""
            name = (caller.id, request.model, request.router, stand_in, request.endpoint, *sorted(demand.needs))
            remembered, plans = self._plans.get(name), self._plans
            if remembered and remembered.book.version != book.version:
                self.forget(caller.id)  # old keys are in all of them
                remembered = None
            if remembered is None or not remembered.lists.are_current():
                remembered = await self._plan_anew(request, book, demand.needs)
                # Not where the keys changed while lists were read, nor for a ref that spaces made as long as a request.
                if (await self.books.of(caller)).version == book.version:
                    # The latest stands last; the oldest make room, and those whose lists have ended.
                    plans.pop(name, None)
                    while plans and (len(plans) >= MOST_PLANS or not next(iter(plans.values())).lists.are_current()):
                        del plans[next(iter(plans))]
                    if max(map(len, name)) <= routing.MAX_REF:
                        plans[name] = remembered
            while remembered.keys or remembered.plan.needs:
                # What is gone, and who pays? Other answers make another plan, perhaps on routers not asked yet.
                known, no_credit = remembered.book, set()
                gone = await self.health.gone(remembered.keys)
                for router in remembered.accounts:
                    keys = known.keys.get(router, ())
                    accounts = await asyncio.gather(*(self.credit.soon(known.routers[router], *key) for key in keys))
                    if accounts and all(credit and credit.free_only for credit in accounts):
                        no_credit.add(router)
                unable = await self.health.inabilities.known() if remembered.plan.needs else {}
                if gone == known.gone and no_credit == known.no_credit and unable == known.unable:
                    break
                remembered.revise(replace(known, gone=gone, no_credit=frozenset(no_credit), unable=unable))
            plan = permitted(capability.capable(remembered.plan, request), book.grant)
            if demand.characters > remembered.least_context:
                plan = capability.roomy(plan, request, demand)
            return plan if plan.group is None else await self.orders.arranged(plan, request)
        except (NoRouterKey, UnknownModel):
            if self.books.away:
                raise self.books.away.again("the router keys that are stored") from None
            raise

    async def close_to(self, caller: Caller, route: Route) -> tuple[str, ...]:
        """For a model that its router says it does not have: the refs on its list that look most like it."""
        book = await self.books.of(caller)
        listed = (await self.models.soon([route.router.id], book.keys, LIST_PATIENCE_SECONDS))[route.router.id]
        models = listed.models if listed else ()
        usable = {model.id: model.ref for model in models if book.grant.allows(model.ref, model.ref)}
        return tuple(usable[name] for name in routing.close_to(route.model, usable))

    def forget(self, caller_id: str) -> None:
        """Remember none of the caller's plans: router keys are in them."""
        for name in [name for name in self._plans if name[0] == caller_id]:
            del self._plans[name]

    async def _plan_anew(self, request: ChatRequest, book: Book, needs: frozenset[str]) -> _RememberedPlan:
        """The plan for the ref; where an agent named it by itself, perhaps for another in its place."""
        instead, embeds = request.stand_in, request.endpoint == "embeddings"
        if instead is None:
            return await self._plan_for(request.model, request.router, book, needs, embeds=embeds)
        try:
            if not instead.is_chosen:
                return await self._plan_for(request.model, request.router, book, needs, embeds=embeds)
            ref = instead.ref
        except UnknownModel as error:
            # A router that `auto` never takes, such as Anthropic, has the model under that very name.
            listed = (ref for ref in error.did_you_mean if ref.partition("/")[2] == request.model)
            ref = next(listed, instead.ref)
        note = f"{request.model} stands for {ref} ({instead.setting})" if ref == instead.ref else ""
        return await self._plan_for(ref, request.router, book, needs, note, embeds=embeds)

    async def _plan_for(
        self, model: str, router: str, book: Book, needs: frozenset[str], note: str = "", *, embeds: bool
    ) -> _RememberedPlan:
        """Of the lists that are there in a moment; only where these lead nowhere, of all that can be had."""
        lists = KnownLists(self.models, book.keys)
        if routing.contradiction_to_check(model, router, book):
            await lists.read([router], within=LIST_PATIENCE_SECONDS)
        target = replace(routing.resolve(model, router, book, lists, needs), embeds=embeds)
        needed = routing.lists_needed(target, book)
        await lists.read(needed, within=LIST_PATIENCE_SECONDS)
        try:
            return _RememberedPlan(target, book, lists, needed, note)
        except UnknownModel:
            if all(lists.get(router) is not None for router in needed):
                raise
        await lists.read_patiently(needed)
        try:
            return _RememberedPlan(target, book, lists, needed, note)
        except UnknownModel:
            named = book.routers.get(target.router)
            if named and named.joins_auto == "reachable" and lists.get(named.id) is None:
                raise not_running(named) from None
            raise
