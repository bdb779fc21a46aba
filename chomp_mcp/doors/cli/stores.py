"""Whether the home can be used at all: everything else stands on it."""

from __future__ import annotations

from chomp_mcp.app import Chomp
from chomp_mcp.settings import Settings
from chomp_mcp.store.sealing import AtRest

__all__ = ["try_stores"]

KEY = "doctor:check"
SECONDS = 60.0
"""When the entry goes by itself, should this process die before it deletes it."""


async def try_stores(settings: Settings) -> AtRest:
    """Write and delete an entry of the state, and lock the keys as a write does (no key file is made for that).

    How keys lie in the store.

    Raises:
        StoreError: it names the file and what to do.
    """
    async with Chomp(settings) as chomp:
        keys, state = chomp._stores  # noqa: SLF001 - the very two that everything else uses
        await state.put(KEY, {}, expires_in=SECONDS)
        await state.delete(KEY)
        await keys.update([KEY], lambda _old: [None])
        return await chomp.sealed.at_rest()
