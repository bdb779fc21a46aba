"""All routers' models as one cached list: 15 minutes across processes, failures remembered for 30 s and named."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import anyio

from chomp_mcp.messages import Model, Router
from chomp_mcp.routers.client import Client, Unreachable
from chomp_mcp.routers.dialects import dialect
from chomp_mcp.routers.failures import judge
from chomp_mcp.store.kv import KV, Value

__all__ = ["FRESH_SECONDS", "ModelList", "RouterList"]

FRESH_SECONDS = 900.0
FAILED_SECONDS = 30.0
FETCH_SECONDS = 10.0
MAX_LIST_BYTES = 32 * 1024 * 1024

Keys = Mapping[str, tuple[tuple[str, str], ...]]


@dataclass(frozen=True, slots=True)
class RouterList:
    """One router's models, or why there are none. A router without lists of its own is only known to be reachable."""

    models: tuple[Model, ...] = ()
    error: str = ""
    until: float = 0.0


class ModelList:
    """Reads the routers' lists, for all callers of all processes that share the store."""

    def __init__(self, kv: KV, client: Client, routers: Mapping[str, Router], *, clock: Callable[[], float]) -> None:
        self._kv = kv
        self._client = client
        self._routers = routers
        self._clock = clock
        self._known: dict[str, RouterList] = {}
        self._by_id: dict[str, dict[str, Model]] = {}
        self._failed: dict[str, RouterList] = {}
        self._fetching: dict[str, asyncio.Task[RouterList]] = {}

    async def of(self, routers: Iterable[str], keys: Keys) -> dict[str, RouterList]:
        """The lists of these routers, read side by side; a router that fails has an `error` and no models."""
        wanted = list(routers)
        found = {router: known for router in wanted if (known := self._remembered(router, _first_key_id(router, keys)))}
        missing = [router for router in wanted if router not in found]
        if missing:
            lists = await asyncio.gather(*(self._shared_fetch(router, keys) for router in missing))
            found.update(zip(missing, lists, strict=True))
        return {router: found[router] for router in wanted}

    def peek(self, router: str, model: str) -> Model | None:
        """What the list says of a model, if the list is in memory; for prices, without waiting."""
        return self._by_id.get(router, {}).get(model)

    def has_read(self, router: str, key_id: str) -> bool:
        """Whether `of` would answer at once, with the list or with why there is none."""
        return self._remembered(router, key_id) is not None

    def known(self) -> dict[str, Sequence[Model] | None]:
        """The lists that are in memory and fresh, without reading anything."""
        now = self._clock()
        return {router: known.models for router, known in self._known.items() if known.until > now}

    def _remembered(self, router: str, key_id: str) -> RouterList | None:
        now = self._clock()
        for memory, name in ((self._known, router), (self._failed, f"{router}:{key_id}")):
            found = memory.get(name)
            if found and found.until > now:
                return found
        return None

    async def _shared_fetch(self, router: str, keys: Keys) -> RouterList:
        """One fetch at a time per router and key, however many ask; who leaves does not stop it for others."""
        name = _failure_name(router, keys)
        task = self._fetching.get(name)
        if task is None:
            task = self._fetching[name] = asyncio.create_task(self._read(router, keys))
            task.add_done_callback(lambda _: self._fetching.pop(name, None))
        return await asyncio.shield(task)

    async def _read(self, router: str, keys: Keys) -> RouterList:
        stored = await self._kv.get(f"models:{router}")
        if stored:
            return self._keep(router, _models(router, stored), float(stored.get("until", 0)))
        name = _failure_name(router, keys)
        failed = await self._kv.get(f"models:{name}")
        if failed:
            return self._fail(name, str(failed.get("error", "")), float(failed.get("until", 0)))
        return await self._fetch(router, keys, name)

    async def _fetch(self, router: str, keys: Keys, name: str) -> RouterList:
        try:
            with anyio.fail_after(FETCH_SECONDS):
                models = await self._ask(self._routers[router], keys)
        except (Unreachable, ValueError, TimeoutError) as error:
            reason = f"no answer in {FETCH_SECONDS:g} s" if isinstance(error, TimeoutError) else str(error)
            until = self._clock() + FAILED_SECONDS
            await self._kv.put(f"models:{name}", {"error": reason, "until": until}, expires_in=FAILED_SECONDS)
            return self._fail(name, reason, until)
        until = self._clock() + FRESH_SECONDS
        value = {"models": [_row(model) for model in models], "until": until}
        await self._kv.put(f"models:{router}", value, expires_in=FRESH_SECONDS)
        return self._keep(router, models, until)

    async def _ask(self, router: Router, keys: Keys) -> tuple[Model, ...]:
        speak = dialect(router.dialect)
        key = next((key for key, _ in keys.get(router.id, ())), "")
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
            raise ValueError(judge(response.status, response.headers, body, self._clock()).message)
        return speak.decode_list(router, body)

    def _keep(self, router: str, models: tuple[Model, ...], until: float) -> RouterList:
        self._known[router] = RouterList(models, until=until)
        self._by_id[router] = {model.id: model for model in models}
        return self._known[router]

    def _fail(self, name: str, reason: str, until: float) -> RouterList:
        self._failed[name] = RouterList(error=reason, until=until)
        return self._failed[name]


def _failure_name(router: str, keys: Keys) -> str:
    """Failures belong to a key: a stranger's bad key must not hide a router from everybody."""
    return f"{router}:{_first_key_id(router, keys)}"


def _first_key_id(router: str, keys: Keys) -> str:
    return next((key_id for _, key_id in keys.get(router, ())), "")


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
