"""All routers' models, a list per key ring, for all processes on the store: nobody waits for one that is only late.

A list is fresh for a quarter of an hour; then it serves on while it is read anew in the background. A failure is named
and remembered, longer each time. Whoever needs a list that was never read waits a moment for it, and goes on without
where another router can answer.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from hashlib import blake2s
from typing import Any
from weakref import WeakSet, WeakValueDictionary

from chomp_mcp.gateway.list_fetch import ListFetcher, model_row, models_in
from chomp_mcp.gateway.single_flight import SingleFlight
from chomp_mcp.messages import Model, Router
from chomp_mcp.policy.roster import Roster
from chomp_mcp.routers.client import Client
from chomp_mcp.store.holds import SKEW_SECONDS
from chomp_mcp.store.kv.lenient import unwritten_is_logged
from chomp_mcp.store.kv.protocol import KV

_log = logging.getLogger("chomp_mcp.models")

FRESH_SECONDS = 900.0
FAILED_SECONDS = 30.0
"""After a first failure; twice as long after each further one, at most a quarter of an hour."""
STALE_PATIENCE_SECONDS = 2.0
"""How long somebody who asks for the list itself waits for a new one while there is an old one."""
KEPT_SECONDS = 7 * 86_400.0
"""How long a list can serve in the end."""
MOST_LISTS = 2000
"""Lists in memory, the oldest go first; the store has them all. What routers tell to many keys alike is held once."""

Keys = Mapping[str, tuple[tuple[str, str], ...]]
"""Router id -> (key, key id); the first good key reads the list. Without one the list is everybody's."""

_EMPTY = Roster()


@dataclass(frozen=True, slots=True)
class RouterList:
    """One router's models, or why there are none. A router without lists of its own is only known to be reachable."""

    roster: Roster
    error: str = ""
    until: float = 0.0
    """When it is to be read again, epoch seconds."""
    trouble: str = ""
    """What is wrong although there is a list: a key that was refused, or why the list is an old one."""
    failures: int = 0
    """In a row."""
    tried_at: float = 0.0
    was_refused: bool = False
    """A key was, which `error` or `trouble` names."""
    was_checked: bool = False
    """The keys were tried, too, where the list needs none."""
    is_late: bool = False
    """Nothing failed: it was not there in time, and nobody waits for it until then."""
    version: int = 0
    """Which of all answers it is, counted as they were taken into memory."""

    @property
    def models(self) -> tuple[Model, ...]:
        return self.roster.models

    def is_due(self, now: float) -> bool:
        """Also where a clock that jumped had put its end too far away."""
        return not 0 < self.until - now <= FRESH_SECONDS + SKEW_SECONDS


class ModelList:
    """Reads the routers' lists, for all processes that share the store.

    A router may show more to one key than to another (fine-tuned models), so that a list belongs to the keys that read
    it, and so does a failure: a stranger's bad key must not hide a router from everybody.
    """

    def __init__(self, kv: KV, client: Client, routers: Mapping[str, Router], *, clock: Callable[[], float]) -> None:
        self._kv = kv
        self._routers = routers
        self._fetcher = ListFetcher(client, clock=clock)
        self.clock = clock
        self.reads = 0
        """How many answers were taken into memory."""
        self._known: dict[str, RouterList] = {}
        self._failed: dict[str, RouterList] = {}
        self._rosters: WeakValueDictionary[tuple[Model, ...], Roster] = WeakValueDictionary()
        self._fetching: SingleFlight[RouterList] = SingleFlight()
        self._given_up: WeakSet[asyncio.Task[RouterList]] = WeakSet()
        """Fetches that somebody has waited for in vain."""

    async def close(self) -> None:
        await self._fetching.close()

    async def of(self, routers: Iterable[str], keys: Keys) -> dict[str, RouterList]:
        """The lists of these routers, read side by side; a router that fails has an `error` and no models.

        For whoever wants the lists themselves: waits for what was not read yet or failed a while ago, and a moment for
        what is old.
        """
        wanted = list(dict.fromkeys(routers))
        await self._load(wanted, keys)
        return dict(zip(wanted, await asyncio.gather(*(self._wanted(r, keys) for r in wanted)), strict=True))

    async def soon(self, routers: Iterable[str], keys: Keys, seconds: float) -> dict[str, RouterList | None]:
        """What is there at once or `seconds` from now, old lists included; None for the others, which are read on.

        What did not come in time, or failed before, is not waited for again.
        """
        wanted = list(dict.fromkeys(routers))
        await self._load(wanted, keys)
        found = {router: self.in_memory(router, keys) for router in wanted}
        awaited: dict[asyncio.Task[RouterList], str] = {}
        for name, task in [(_name(r, keys), self._fetch_of(r, keys)) for r in wanted if found[r] is None]:
            failed = self._failed.get(name)
            if task not in self._given_up and not (failed and failed.failures):
                awaited[task] = name
        if awaited:
            _, late = await asyncio.wait(awaited, timeout=seconds)
            self._given_up.update(late)
            # Other processes are told that these lists are late, so that each of them need not wait as well.
            for name in [name for task, name in awaited.items() if task in late]:
                await self._store(name, self._failure(name, "no answer yet", is_late=True))
        return {router: found[router] or self._memory(_name(router, keys)) for router in wanted}

    def start(self, router: str, keys: Keys) -> None:
        """Have it read in the background, unless it is known."""
        if self.in_memory(router, keys) is None:
            _ = self._fetch_of(router, keys)

    def peek(self, router: str, key_id: str, model: str) -> Model | None:
        """What the key's list says of a model, if the list is in memory, however old; for prices, without waiting."""
        known = self._known.get(f"{router}:{key_id}")
        return known.roster.get(model) if known else None

    def has_read(self, router: str, key_id: str) -> bool:
        """Whether the list, or why there is none, is known and not due."""
        known = self._memory(f"{router}:{key_id}")
        return known is not None and not known.is_due(self.clock())

    def in_memory(self, router: str, keys: Keys) -> RouterList | None:
        """What is known at once, an old list included: the same object for as long as it is the same answer."""
        known = self._memory(_name(router, keys))
        if known is not None and known.is_due(self.clock()):
            _ = self._fetch_of(router, keys)  # in the background
        return known

    async def forget(self, router: str, key_id: str) -> None:
        """Its key was given anew: whatever is remembered is read again."""
        name = f"{router}:{key_id}"
        self._failed.pop(name, None)
        if known := self._known.get(name):
            self._known[name] = replace(known, until=0.0)
        await self._kv.delete(f"models:{name}")

    def _memory(self, name: str) -> RouterList | None:
        """A list of whatever age, else a failure that is not over."""
        if known := self._known.get(name):
            return known
        failed = self._failed.get(name)
        return failed if failed and not failed.is_due(self.clock()) else None

    async def _wanted(self, router: str, keys: Keys) -> RouterList:
        name, now = _name(router, keys), self.clock()
        known = self._memory(name)
        needs_check = bool(self._routers[router].key_check and keys.get(router))
        if needs_check and known and not (known.was_checked or known.error):
            if name in self._fetching.tasks:  # which may be one without the check
                await asyncio.wait([self._fetching.tasks[name]])
            return await asyncio.shield(self._fetch_of(router, keys, check=True))
        if known is None or known.is_late or (known.error and not 0 <= now - known.tried_at < FAILED_SECONDS):
            return await asyncio.shield(self._fetch_of(router, keys, check=True))
        if not known.is_due(now):
            return known
        await asyncio.wait([self._fetch_of(router, keys)], timeout=STALE_PATIENCE_SECONDS)
        return self._memory(name) or known

    async def _load(self, routers: Sequence[str], keys: Keys) -> None:
        """Take from the store what is not in memory, or is newer there."""
        now = self.clock()
        places = {_name(router, keys): router for router in routers}
        due = [name for name in places if (known := self._memory(name)) is None or known.is_due(now)]
        due = [name for name in due if name not in self._fetching.tasks]
        if not due:
            return
        stored = await self._kv.get_many([f"models:{name}" for name in due])
        for name, value in zip(due, stored, strict=True):
            if not value or value.get("of") not in (None, self._address(places[name])):
                continue
            # What `_store` wrote, or an older version of it.
            read = RouterList(
                _EMPTY if "error" in value else self._roster(models_in(places[name], value)),
                str(value.get("error", "")),
                float(value.get("until", 0)),
                str(value.get("trouble", "")),
                int(value.get("failures", 0)),
                float(value.get("at", 0)),
                bool(value.get("refused")),
                bool(value.get("checked")),
                bool(value.get("late")),
            )
            known = self._memory(name)
            if known is None or (read.until > known.until and not read.error):
                self._remember(name, read)

    def _fetch_of(self, router: str, keys: Keys, *, check: bool = False) -> asyncio.Task[RouterList]:
        """One fetch at a time per router and keys, however many ask; who leaves does not stop it for others."""
        name = _name(router, keys)
        return self._fetching.start(name, partial(self._fetch, router, keys, name, check))

    async def _fetch(self, router: str, keys: Keys, name: str, check: bool) -> RouterList:
        few = [key for key, _ in keys.get(router, ())]
        models, trouble, refused = await self._fetcher.read(self._routers[router], few, check=check)
        now = self.clock()
        if models is not None:
            read = RouterList(self._roster(models), "", now + FRESH_SECONDS, trouble, 0, now, refused, check)
        else:
            read = replace(self._failure(name, trouble or "no list"), was_refused=refused)
        await self._store(name, read)
        return self._remember(name, read)

    def _failure(self, name: str, reason: str, *, is_late: bool = False) -> RouterList:
        """The old list, where there is one, for a while longer; else no list."""
        now, known = self.clock(), self._known.get(name)
        before = known or self._failed.get(name)
        failures = before.failures if before else 0
        seconds = min(FAILED_SECONDS * 2 ** min(failures, 10), FRESH_SECONDS)
        error, trouble = ("", f"the list is an old one: {reason}") if known else (reason, "")
        roster = known.roster if known else _EMPTY
        return RouterList(roster, error, now + seconds, trouble, failures + 1, now, is_late=is_late)

    def _address(self, router_id: str) -> str:
        """What tells a router's addresses apart, without a password in it: one that was moved has another list."""
        router = self._routers[router_id]
        return blake2s(f"{router.url} {router.models_path}".encode()).hexdigest()[:16]

    async def _store(self, name: str, read: RouterList) -> None:
        value: dict[str, Any] = {"until": read.until, "at": read.tried_at, "failures": read.failures}
        value["of"] = self._address(name.partition(":")[0])
        if not read.error:
            value["models"] = [model_row(model) for model in read.roster.all]
        words = {"error": read.error, "trouble": read.trouble}
        flags = {"late": read.is_late, "refused": read.was_refused, "checked": read.was_checked}
        value |= {field: said for field, said in (words | flags).items() if said}
        with unwritten_is_logged(_log, "the model list of %s could not be stored", name.partition(":")[0]):
            await self._kv.put(f"models:{name}", value, expires_in=2 * FRESH_SECONDS if read.error else KEPT_SECONDS)

    def _roster(self, models: tuple[Model, ...]) -> Roster:
        roster = self._rosters.get(models)
        if roster is None:
            roster = self._rosters[models] = Roster(models)
        return roster

    def _remember(self, name: str, read: RouterList) -> RouterList:
        """The latest stands last; the oldest makes room."""
        self.reads += 1
        read = replace(read, version=self.reads)
        memory, other = (self._failed, self._known) if read.error else (self._known, self._failed)
        other.pop(name, None)
        memory.pop(name, None)
        memory[name] = read
        if len(memory) > MOST_LISTS:
            del memory[next(iter(memory))]
        return read


def _name(router: str, keys: Keys) -> str:
    """Where the list lives, in memory and in the store."""
    few = keys.get(router)
    return f"{router}:{few[0][1] if few else ''}"
