"""One router's list, asked with one of the caller's keys: the next key where the first is refused."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import suppress
from decimal import Decimal
from typing import Any

import anyio

from chomp_mcp.dialects import dialect
from chomp_mcp.dialects.openai.models import MOST_ROWS, embedders
from chomp_mcp.messages import Failed, FailureKind, Model, Router, WireRequest
from chomp_mcp.policy.secrets import sent_secrets, without, without_password
from chomp_mcp.routers.client import Client
from chomp_mcp.routers.failures import judge
from chomp_mcp.routers.response import Unreachable
from chomp_mcp.store.keyring import masked
from chomp_mcp.store.kv.protocol import Value

_log = logging.getLogger("chomp_mcp.models")

FETCH_SECONDS = 10.0
CHECK_SECONDS = 3.0
"""For the call that tells whether the key is good, where the list needs none; without an answer it counts as good."""
MAX_LIST_BYTES = 32 * 1024 * 1024
LARGE_LIST_BYTES = 512 * 1024
"""What is longer is read on a thread."""
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
                reason = str(error)
                if isinstance(error, TimeoutError):
                    reason = f"no answer in {FETCH_SECONDS:g} s"
                elif not isinstance(error, Unreachable | ValueError):
                    _log.error("the model list of %s could not be read", router.id, exc_info=error)
                    reason = "its model list cannot be understood"
                reason = str(without(reason, sent_secrets(router, key)))
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
            # Refused where the router says so; anything else that goes wrong here is no verdict on the key.
            with suppress(Unreachable, TimeoutError), anyio.fail_after(CHECK_SECONDS):
                asking = {"authorization": f"Bearer {key}", "accept": "application/json"}
                asked = WireRequest("GET", router.url + router.key_check, asking)
                told, body = await self._client.fetch(asked, MAX_CHECK_BYTES)
                if told.status in _REFUSED_STATUSES:
                    failed = judge(told.status, told.headers, body, self._clock())
                    if failed.kind in {FailureKind.BAD_KEY, FailureKind.REFUSED_HERE}:
                        raise _Refused(failed)
        told, body = await self._client.fetch(request, MAX_LIST_BYTES)
        if not told.is_success:
            raise _Refused(judge(told.status, told.headers, body, self._clock()))

        def read() -> dict[str, Model]:
            found: dict[str, Model] = {}
            vectors = embedders(router, body) if "embeddings" in router.endpoints else ()
            for model in (*speak.decode_list(router, body), *vectors):
                found.setdefault(model.id, model)  # some list an id once for each of their servers
            return found

        # Ten thousand rows take a second, in which others want their turn.
        found = await anyio.to_thread.run_sync(read) if len(body) > LARGE_LIST_BYTES else read()
        if len(found) >= MOST_ROWS:
            _log.warning("%s lists more than %d models: what comes after is left out", router.id, MOST_ROWS)
        return tuple(found.values())


_PRICES = ("price_in", "price_out", "price_cached", "price_cache_write", "price_request")


def model_row(model: Model) -> dict[str, Any]:
    """A model as JSON, leaving out what is unknown."""
    row: dict[str, Any] = {"id": model.id, "name": model.name, "free": model.free}
    if model.embeds:
        row["embeds"] = True
    row |= {name: str(price) for name in _PRICES if (price := getattr(model, name)) is not None}
    row |= {name: sorted(needs) for name in ("can", "cannot") if (needs := getattr(model, name))}
    return row | {name: size for name in ("context_length", "max_output") if (size := getattr(model, name)) is not None}


def models_in(router: str, stored: Value) -> tuple[Model, ...]:
    """What `model_row` wrote, of a whole list."""
    return tuple(
        Model(
            router=router,
            id=row["id"],
            name=row.get("name", ""),
            context_length=row.get("context_length"),
            max_output=row.get("max_output"),
            free=bool(row.get("free")),
            can=frozenset(row.get("can", ())),
            cannot=frozenset(row.get("cannot", ())),
            embeds=bool(row.get("embeds")),
            **{name: Decimal(row[name]) for name in _PRICES if name in row},
        )
        for row in stored.get("models", ())
    )
