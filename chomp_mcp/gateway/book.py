"""The book of each caller: their keys, and the settings that routing reads, as `policy.routing` wants them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from hashlib import sha256

from chomp_mcp.errors import StoreAway
from chomp_mcp.messages import Caller, Router
from chomp_mcp.policy.book import Book
from chomp_mcp.policy.grants import UNLIMITED
from chomp_mcp.policy.groups import checked_groups
from chomp_mcp.settings import Settings
from chomp_mcp.store.keyring import Keyring

MOST_BOOKS = 10_000
"""Books in memory; beyond that all are made anew."""


class Books:
    """Makes a caller's book once, and again, with another version, when their keys have changed.

    Raises `InvalidSetting` for a group of the settings that cannot be meant.
    """

    def __init__(self, settings: Settings, routers: Mapping[str, Router], keyring: Keyring) -> None:
        self._settings = settings
        self._routers = routers
        self._keyring = keyring
        self.groups = checked_groups(settings.group_rows, routers)
        self._books: dict[str, tuple[Mapping[str, tuple[str, ...]], Book]] = {}
        """Caller id -> the keys as the keyring gave them, the same object while they are the same, and their book."""
        self._made = 0

    async def of(self, caller: Caller) -> Book:
        keys = await self._keyring.keys_of(caller)
        known = self._books.get(caller.id)
        if known is None or known[0] is not keys:
            if len(self._books) > MOST_BOOKS:
                self._books.clear()
            grant = UNLIMITED if caller.is_owner else await self._keyring.grant_of(caller)
            settings = self._settings
            self._made += 1
            keyless = [] if caller.is_owner else [router for router in self._routers.values() if not router.needs_key]
            book = Book(
                routers=self._routers,
                # A router without a key (a local Ollama) is the owner's, unless its row or the token says otherwise.
                closed=frozenset(
                    router.id for router in keyless if not router.shared and not grant.names_router(router.id)
                ),
                grant=grant,
                keys={
                    router: tuple((key, key_id(key)) for key in few)
                    for router, few in keys.items()
                    if router in self._routers
                },
                provider=settings.provider,
                fallbacks=settings.fallbacks,
                default_model=settings.default_model,
                groups=self.groups,
                version=self._made,
            )
            known = self._books[caller.id] = keys, book
        return known[1]

    async def as_read(self, caller: Caller) -> Book:
        """As the same exchange has read it a moment ago: the store need not be asked for each of its steps."""
        known = self._books.get(caller.id)
        return known[1] if known else await self.of(caller)

    @property
    def away(self) -> StoreAway | None:
        """Why stored keys are not in the books now."""
        return self._keyring.away

    def forget(self, caller_id: str) -> None:
        """Router keys are in it."""
        self._books.pop(caller_id, None)


@lru_cache(maxsize=4096)
def key_id(key: str) -> str:
    """A short name for a key, which tells nothing about it."""
    return sha256(key.encode()).hexdigest()[:12]
