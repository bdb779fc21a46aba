"""Where a request would go now: the plan for its ref, made anew only when something has changed that it hangs on."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field, replace

from chomp_mcp.gateway.credit import CreditReader
from chomp_mcp.gateway.health import Health
from chomp_mcp.gateway.model_list import KnownLists, ModelList
from chomp_mcp.messages import AUTO, Caller, ChatRequest, Plan
from chomp_mcp.policy import routing
from chomp_mcp.policy.routing import MAX_REF, Book, Target

__all__ = ["Planner"]

MOST_DRAFTS = 2000
"""Plans in memory; the oldest go first."""


class _Draft:
    """A plan and all that it hangs on: the caller's book, the lists that were looked at, what is gone or unpaid for."""

    def __init__(self, target: Target, book: Book, lists: KnownLists, needed: Iterable[str]) -> None:
        self._target = target
        self._base = book
        self._lists = lists
        self._leaves_choice = bool(needed)
        self.keys: tuple[tuple[str, str], ...] = ()
        """(router, key id) of every route that the plan has had: who is to be asked what is gone."""
        self.accounts: tuple[str, ...] = ()
        """Those of the routers that tell what a key pays for, where the choice of the model is ours."""
        self.revise(replace(book, reachable=frozenset(router for router in needed if lists.get(router) is not None)))

    def is_current(self) -> bool:
        """Whether the lists are still the same."""
        return self._lists.are_current()

    def holds(self, book: Book) -> bool:
        """Whether the keys are still the same, too."""
        return self._base is book and self._lists.are_current()

    def revise(self, book: Book) -> None:
        """Plan with what is gone or unpaid for now."""
        self.plan = routing.plan(self._target, book, self._lists)
        self.book = book
        if self._leaves_choice:
            planned = [(route.router.id, route.key_id) for route in self.plan.routes]
            self.keys = tuple(dict.fromkeys([*self.keys, *planned]))
        if self._target.model == AUTO:
            routers = dict.fromkeys(router for router, _ in self.keys)
            self.accounts = tuple(router for router in routers if book.routers[router].key_info)


@dataclass(frozen=True, slots=True)
class Planner:
    """Reads the model lists that a ref needs, and no others."""

    book_of: Callable[[Caller], Awaitable[Book]]
    """The caller's keys and the settings that routing reads; the same object as long as they are the same."""
    models: ModelList
    health: Health
    credit: CreditReader
    _drafts: dict[tuple[str, str, str], _Draft] = field(default_factory=dict)

    async def plan(self, caller: Caller, request: ChatRequest) -> Plan:
        book = await self.book_of(caller)
        name = (caller.id, request.model, request.router)
        draft = self._drafts.get(name)
        if draft is None or not draft.holds(book):
            draft = await self._draft(request, book)
            self._keep(name, draft)
        if draft.keys:
            await self._ask(draft)
        return draft.plan

    async def _draft(self, request: ChatRequest, book: Book) -> _Draft:
        lists = KnownLists(self.models, book.keys)
        if routing.contradiction_to_check(request.model, request.router, book):
            await lists.read([request.router])
        target = routing.resolve(request.model, request.router, book, lists)
        needed = routing.lists_needed(target, book)
        await lists.read(needed)
        return _Draft(target, book, lists, needed)

    def _keep(self, name: tuple[str, str, str], draft: _Draft) -> None:
        """The latest stands last; the oldest make room, and those whose lists have ended."""
        drafts = self._drafts
        drafts.pop(name, None)
        while drafts and (len(drafts) >= MOST_DRAFTS or not next(iter(drafts.values())).is_current()):
            del drafts[next(iter(drafts))]
        if max(map(len, name)) <= MAX_REF:  # spaces around a ref can make it as long as a request
            drafts[name] = draft

    async def _ask(self, draft: _Draft) -> None:
        """What is gone, and who pays? Other answers make another plan, perhaps on routers not asked yet."""
        while True:
            gone = await self.health.gone(draft.keys)
            no_credit = await self._without_credit(draft)
            if gone == draft.book.gone and no_credit == draft.book.no_credit:
                return
            draft.revise(replace(draft.book, gone=gone, no_credit=no_credit))

    async def _without_credit(self, draft: _Draft) -> frozenset[str]:
        """Routers whose every key pays for free models only."""
        found, book = set(), draft.book
        for router in draft.accounts:
            known = [await self.credit.of(book.routers[router], *key) for key in book.keys.get(router, ())]
            if known and all(credit and credit.free_only for credit in known):
                found.add(router)
        return frozenset(found)
