"""All routers' models, a list per key: cached for 15 minutes across processes, failures for 30 s and named."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from weakref import WeakValueDictionary

import anyio

from chomp_mcp.dialects import dialect
from chomp_mcp.messages import Model, Router
from chomp_mcp.policy.roster import Roster
from chomp_mcp.routers.client import Client, Unreachable
from chomp_mcp.routers.envelopes import without_key
from chomp_mcp.routers.failures import judge
from chomp_mcp.store.kv.protocol import KV, Value

__all__ = ["FRESH_SECONDS", "MOST_LISTS", "KnownLists", "ModelList", "RouterList"]

_log = logging.getLogger("chomp_mcp.models")

FRESH_SECONDS = 900.0
FAILED_SECONDS = 30.0
FETCH_SECONDS = 10.0
MAX_LIST_BYTES = 32 * 1024 * 1024
MOST_LISTS = 2000
"""Lists in memory, the oldest go first; the store has them all. What routers tell to many keys alike is held once."""

Keys = Mapping[str, tuple[tuple[str, str], ...]]
"""Router id -> (key, key id); the first key reads the list. Without one the list is everybody's."""


_EMPTY = Roster()


@dataclass(frozen=True, slots=True)
class RouterList:
    """One router's models, or why there are none. A router without lists of its own is only known to be reachable."""

    roster: Roster
    error: str = ""
    until: float = 0.0

    @property
    def models(self) -> tuple[Model, ...]:
        return self.roster.models


class KnownLists:
    """The lists that were looked at: those just read, and those in memory when somebody asked for them."""

    def __init__(self, models: ModelList, keys: Keys) -> None:
        self._models = models
        self._keys = keys
        self._seen: dict[str, RouterList | None] = {}
        self._compared = -1, 0
        """How often any list had been read when these were last compared, and how many they were."""
        self._current_until = 0.0

    async def read(self, routers: Iterable[str]) -> None:
        self._seen.update(await self._models.of(routers, self._keys))

    def get(self, router: str) -> Roster | None:
        """None: not known now."""
        if router not in self._seen:
            self._seen[router] = self._models.in_memory(router, self._keys)
        known = self._seen[router]
        return known.roster if known and not known.error else None

    def are_current(self) -> bool:
        """None of them has ended or was read anew since, nor was one that was not known.

        Compared one by one only after some list was read; a thousand cost no more than one then.
        """
        models, now = self._models, self._models.clock()
        compared = models.reads, len(self._seen)
        if compared != self._compared or now >= self._current_until:
            if any(models.in_memory(router, self._keys) is not known for router, known in self._seen.items()):
                return False
            self._compared = compared
            self._current_until = min((known.until for known in self._seen.values() if known), default=math.inf)
        return True


class ModelList:
    """Reads the routers' lists, for all processes that share the store.

    A router may show more to one key than to another (fine-tuned models), so that a list belongs to the key that read
    it, and so does a failure: a stranger's bad key must not hide a router from everybody.
    """

    def __init__(self, kv: KV, client: Client, routers: Mapping[str, Router], *, clock: Callable[[], float]) -> None:
        self._kv = kv
        self._client = client
        self._routers = routers
        self.clock = clock
        self.reads = 0
        """How many answers were taken into memory."""
        self._known: dict[str, RouterList] = {}
        self._failed: dict[str, RouterList] = {}
        self._rosters: WeakValueDictionary[tuple[Model, ...], Roster] = WeakValueDictionary()
        self._fetching: dict[str, asyncio.Task[RouterList]] = {}

    async def close(self) -> None:
        """Give up what is still being read."""
        tasks = list(self._fetching.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def of(self, routers: Iterable[str], keys: Keys) -> dict[str, RouterList]:
        """The lists of these routers, read side by side; a router that fails has an `error` and no models."""
        wanted = list(routers)
        found = {router: known for router in wanted if (known := self.in_memory(router, keys))}
        missing = [router for router in wanted if router not in found]
        if missing:
            lists = await asyncio.gather(*(self._shared_fetch(router, keys) for router in missing))
            found.update(zip(missing, lists, strict=True))
        return {router: found[router] for router in wanted}

    def peek(self, router: str, key_id: str, model: str) -> Model | None:
        """What the key's list says of a model, if the list is in memory, however old; for prices, without waiting."""
        known = self._known.get(f"{router}:{key_id}")
        return known.roster.get(model) if known else None

    def has_read(self, router: str, key_id: str) -> bool:
        """Whether `of` would answer at once, with the list or with why there is none."""
        return self._remembered(f"{router}:{key_id}") is not None

    def in_memory(self, router: str, keys: Keys) -> RouterList | None:
        """What `of` would answer at once: the same object for as long as it is the same answer."""
        return self._remembered(_name(router, keys))

    def _remembered(self, name: str) -> RouterList | None:
        now = self.clock()
        for memory in (self._known, self._failed):
            found = memory.get(name)
            if found and found.until > now:
                return found
        return None

    async def _shared_fetch(self, router: str, keys: Keys) -> RouterList:
        """One fetch at a time per router and key, however many ask; who leaves does not stop it for others."""
        name = _name(router, keys)
        task = self._fetching.get(name)
        if task is None:
            task = self._fetching[name] = asyncio.create_task(self._read(router, keys, name))
            task.add_done_callback(lambda task: self._ended(name, task))
        return await asyncio.shield(task)

    def _ended(self, name: str, task: asyncio.Task[RouterList]) -> None:
        self._fetching.pop(name, None)
        if not task.cancelled():
            task.exception()  # whoever still waited has it; the event loop need not complain about it

    async def _read(self, router: str, keys: Keys, name: str) -> RouterList:
        stored = await self._kv.get(f"models:{name}")
        if not stored:
            return await self._fetch(router, keys, name)
        until = float(stored.get("until", 0))
        if "error" in stored:
            return self._fail(name, str(stored["error"]), until)
        return self._keep(name, _models(router, stored), until)

    async def _fetch(self, router: str, keys: Keys, name: str) -> RouterList:
        key = next((key for key, _ in keys.get(router, ())), "")
        try:
            with anyio.fail_after(FETCH_SECONDS):
                models = await self._ask(self._routers[router], key)
        except Exception as error:  # noqa: BLE001 - whatever a router sends, it is its own list alone that is missing
            reason = without_key(_reason(router, error), key)
            until = self.clock() + FAILED_SECONDS
            await self._kv.put(f"models:{name}", {"error": reason, "until": until}, expires_in=FAILED_SECONDS)
            return self._fail(name, reason, until)
        until = self.clock() + FRESH_SECONDS
        value = {"models": [_row(model) for model in models], "until": until}
        await self._kv.put(f"models:{name}", value, expires_in=FRESH_SECONDS)
        return self._keep(name, models, until)

    async def _ask(self, router: Router, key: str) -> tuple[Model, ...]:
        speak = dialect(router.dialect)
        request = speak.encode_list(router, key)
        if request is None:
            if router.joins_auto == "reachable" and not await self._client.reachable(router.url):
                raise ValueError(f"nothing answers at {router.url}")
            return speak.decode_list(router, b"")
        response = await self._client.send(request)
        try:
            body = await response.read(MAX_LIST_BYTES)
        finally:
            response.close()
        if not response.is_success:
            raise ValueError(judge(response.status, response.headers, body, self.clock()).message)
        return speak.decode_list(router, body)

    def _keep(self, name: str, models: tuple[Model, ...], until: float) -> RouterList:
        roster = self._rosters.get(models)
        if roster is None:
            roster = self._rosters[models] = Roster(models)
        return self._remember(self._known, name, RouterList(roster, until=until))

    def _fail(self, name: str, reason: str, until: float) -> RouterList:
        return self._remember(self._failed, name, RouterList(_EMPTY, reason, until))

    def _remember(self, memory: dict[str, RouterList], name: str, known: RouterList) -> RouterList:
        """The latest stands last; the oldest makes room."""
        self.reads += 1
        memory.pop(name, None)
        memory[name] = known
        if len(memory) > MOST_LISTS:
            del memory[next(iter(memory))]
        return known


def _reason(router: str, error: Exception) -> str:
    """Why there is no list, in words for the user."""
    if isinstance(error, TimeoutError):
        return f"no answer in {FETCH_SECONDS:g} s"
    if isinstance(error, Unreachable | ValueError):
        return str(error)
    _log.error("the model list of %s could not be read", router, exc_info=error)
    return "its model list cannot be understood"


def _name(router: str, keys: Keys) -> str:
    """Where the list lives, in memory and in the store."""
    few = keys.get(router)
    return f"{router}:{few[0][1] if few else ''}"


_PRICES = ("price_in", "price_out", "price_cached")


def _row(model: Model) -> dict[str, Any]:
    """A model as JSON, leaving out what is unknown."""
    row: dict[str, Any] = {"id": model.id, "name": model.name, "free": model.free}
    row.update({name: str(price) for name in _PRICES if (price := getattr(model, name)) is not None})
    sizes = {"context_length": model.context_length, "max_output": model.max_output}
    return {**row, **{name: size for name, size in sizes.items() if size is not None}}


def _models(router: str, stored: Value) -> tuple[Model, ...]:
    return tuple(_model(router, row) for row in stored.get("models", ()))


def _model(router: str, row: Mapping[str, Any]) -> Model:
    prices = {name: Decimal(row[name]) for name in _PRICES if name in row}
    return Model(
        router=router,
        id=row["id"],
        name=row.get("name", ""),
        context_length=row.get("context_length"),
        max_output=row.get("max_output"),
        free=bool(row.get("free")),
        **prices,
    )
