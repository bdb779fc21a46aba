"""The one-time key pages: for whom each is, until when, and what came of it; any process on the store can serve it."""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from chomp_mcp.messages import Caller
from chomp_mcp.store.kv.protocol import KV, Value, Write

PAGE_SECONDS = 600.0
_NONCE_BYTES = 24


@dataclass(frozen=True, slots=True)
class Page:
    """What a nonce opens: a page for this caller, with `router` chosen on it."""

    caller: Caller
    router: str


class Pages:
    """`page:{SHA-256 of the nonce}` -> caller, router, and how far it is: open, taken (a key is being saved), saved."""

    def __init__(self, kv: KV, *, clock: Callable[[], float] = time.time) -> None:
        self._kv = kv
        self._clock = clock

    async def open(self, caller: Caller, router: str) -> str:
        """The nonce of a new page; it is told this once, and only its hash is stored."""
        nonce = secrets.token_urlsafe(_NONCE_BYTES)
        value = {"caller": caller.id, "is_owner": caller.is_owner, "router": router, "state": "open"}
        value["expires_at"] = self._clock() + PAGE_SECONDS
        await self._kv.put(_name(nonce), value, expires_in=PAGE_SECONDS)
        return nonce

    async def find(self, nonce: str) -> Page | None:
        """The page, if it is open."""
        return _open_page(await self._kv.get(_name(nonce)))

    async def take(self, nonce: str) -> Page | None:
        """The page, if it was open; from now on it is closed for everybody else. `give_back` or `saved` must follow."""
        return _open_page(await self._change(nonce, {"state": "taken"}, only_from="open"))

    async def give_back(self, nonce: str) -> None:
        """Nothing was saved: the page is open again."""
        await self._change(nonce, {"state": "open"}, only_from="taken")

    async def save(self, nonce: str, router: str) -> None:
        """The key of this router was saved: the page has done its work."""
        await self._change(nonce, {"state": "saved", "saved": router}, only_from="taken")

    async def outcome(self, nonce: str) -> str | None:
        """The router whose key was saved; empty as long as none was; None: there is no such page (any more)."""
        value = await self._kv.get(_name(nonce))
        return None if value is None else str(value.get("saved", ""))

    async def forget(self, nonce: str) -> None:
        await self._kv.delete(_name(nonce))

    async def _change(self, nonce: str, facts: Mapping[str, str], *, only_from: str) -> Value | None:
        """One atomic step from a state; the record as it was before."""
        now = self._clock()
        seen: list[Value | None] = []

        def step(old: Sequence[Value | None]) -> Sequence[Write | None]:
            seen.append(old[0])
            if old[0] is None or old[0]["state"] != only_from:
                return [None]
            return [Write({**old[0], **facts}, expires_in=old[0]["expires_at"] - now)]

        # Called again where another process was quicker: the last call is the one that was written.
        await self._kv.update([_name(nonce)], step)
        return seen[-1]


def _name(nonce: str) -> str:
    return f"page:{hashlib.sha256(nonce.encode('utf-8', 'surrogatepass')).hexdigest()}"


def _open_page(value: Value | None) -> Page | None:
    if value is None or value["state"] != "open":
        return None
    return Page(Caller(value["caller"], is_owner=value["is_owner"]), value["router"])
