"""One router's list, asked with one of the caller's keys: the next key where the first is refused."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import anyio

from chomp_mcp.dialects import dialect
from chomp_mcp.dialects.openai.models import embedders
from chomp_mcp.messages import Failed, FailureKind, Model, Router, WireRequest
from chomp_mcp.policy.secrets import sent_secrets, without, without_password
from chomp_mcp.routers.client import Client, Unreachable
from chomp_mcp.routers.failures import judge
from chomp_mcp.store.keyring import masked
from chomp_mcp.store.kv.protocol import Value

__all__ = ["FETCH_SECONDS", "ListFetcher", "model_row", "models_in"]

_log = logging.getLogger("chomp_mcp.models")

FETCH_SECONDS = 10.0
CHECK_SECONDS = 3.0
"""For the call that tells whether the key is good, where the list needs none; without an answer it counts as good."""
MAX_LIST_BYTES = 32 * 1024 * 1024
MAX_CHECK_BYTES = 256 * 1024
_REFUSED_STATUSES = frozenset({401, 403})
_OF_THE_KEY = frozenset({FailureKind.BAD_KEY, FailureKind.REFUSED_HERE, FailureKind.QUOTA, FailureKind.RATE_LIMITED})
"""Refusals after which another key may be answered."""


class _Refused(ValueError):
    """The router answered with an error."""

    def __init__(self, failed: Failed) -> None:
        super().__init__(failed.message)
        self.failed = failed


class ListFetcher:
    """Asks routers; knows nothing of what was read before."""

    def __init__(self, client: Client, *, clock: Any) -> None:
        self._client = client
        self._clock = clock

    async def read(
        self, router: Router, keys: Sequence[str], *, check: bool
    ) -> tuple[tuple[Model, ...] | None, str, bool]:
        """The models that the first good key shows, or None; what went wrong before; whether that was a refused key.

        `check`: also try the key, where the router shows its list to everybody.
        """
        refused: list[str] = []
        was_refused = False
        for key in keys or ("",):
            try:
                with anyio.fail_after(FETCH_SECONDS):
                    return await self._ask(router, key, check), "; ".join(refused), was_refused
            except Exception as error:  # noqa: BLE001 - whatever a router sends, it is its own list alone that is missing
                reason = str(without(_reason(router.id, error), sent_secrets(router, key)))
                refused.append(f"the key {masked(key)}: {reason}" if len(keys) > 1 else reason)
                if not (isinstance(error, _Refused) and error.failed.kind in _OF_THE_KEY):
                    break
                was_refused = was_refused or error.failed.status in _REFUSED_STATUSES
        return None, "; ".join(refused), was_refused

    async def _ask(self, router: Router, key: str, check: bool) -> tuple[Model, ...]:
        speak = dialect(router.dialect)
        request = speak.encode_list(router, key)
        if request is None:
            if router.joins_auto == "reachable" and not await self._client.reachable(router.url):
                raise ValueError(f"nothing answers at {without_password(router.url)}")
            return speak.decode_list(router, b"")
        if check and key and router.key_check:
            await self._check(router, key)
        status, headers, body = await self._send(request, MAX_LIST_BYTES)
        if status not in _SUCCESS:
            raise _Refused(judge(status, headers, body, self._clock()))
        found: dict[str, Model] = {}
        vectors = embedders(router, body) if "embeddings" in router.endpoints else ()
        for model in (*speak.decode_list(router, body), *vectors):
            found.setdefault(model.id, model)  # some list an id once for each of their servers
        return tuple(found.values())

    async def _check(self, router: Router, key: str) -> None:
        """Refused where the router says so; anything else that goes wrong here is no verdict on the key."""
        headers = {"authorization": f"Bearer {key}", "accept": "application/json"}
        asked = WireRequest("GET", router.url + router.key_check, headers)
        try:
            with anyio.fail_after(CHECK_SECONDS):
                status, answered, body = await self._send(asked, MAX_CHECK_BYTES)
        except (Unreachable, TimeoutError):
            return
        failed = judge(status, answered, body, self._clock()) if status in _REFUSED_STATUSES else None
        if failed and failed.kind in {FailureKind.BAD_KEY, FailureKind.REFUSED_HERE}:
            raise _Refused(failed)

    async def _send(self, request: WireRequest, most: int) -> tuple[int, Mapping[str, str], bytes]:
        response = await self._client.send(request)
        try:
            return response.status, response.headers, await response.read(most)
        finally:
            response.close()


_SUCCESS = range(200, 300)


def _reason(router: str, error: Exception) -> str:
    """Why there is no list, in words for the user."""
    if isinstance(error, TimeoutError):
        return f"no answer in {FETCH_SECONDS:g} s"
    if isinstance(error, Unreachable | ValueError):
        return str(error)
    _log.error("the model list of %s could not be read", router, exc_info=error)
    return "its model list cannot be understood"


_PRICES = ("price_in", "price_out", "price_cached", "price_cache_write", "price_request")


def model_row(model: Model) -> dict[str, Any]:
    """A model as JSON, leaving out what is unknown."""
    row: dict[str, Any] = {"id": model.id, "name": model.name, "free": model.free}
    row.update({name: str(price) for name in _PRICES if (price := getattr(model, name)) is not None})
    sizes = {"context_length": model.context_length, "max_output": model.max_output}
    if model.embeds:
        row["embeds"] = True
    row.update({name: sorted(needs) for name in ("can", "cannot") if (needs := getattr(model, name))})
    return {**row, **{name: size for name, size in sizes.items() if size is not None}}


def models_in(router: str, stored: Value) -> tuple[Model, ...]:
    """What `model_row` wrote, of a whole list."""
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
        can=frozenset(row.get("can", ())),
        cannot=frozenset(row.get("cannot", ())),
        embeds=bool(row.get("embeds")),
        **prices,
    )
