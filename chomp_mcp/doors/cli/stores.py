"""Whether the home can be used at all: everything else stands on it."""

from __future__ import annotations

import time
from contextlib import suppress

from chomp_mcp.app import Chomp
from chomp_mcp.errors import ChompError
from chomp_mcp.settings import Settings
from chomp_mcp.store.kv.sqlite import FILES, is_damaged
from chomp_mcp.store.sealing import AtRest

KEY = "doctor:check"
SECONDS = 60.0
"""When the entry goes by itself, should this process die before it deletes it."""


def repaired(settings: Settings) -> str:
    """Move a state.db that is damaged aside, so that a new one is made; what was done, or "".

    Raises:
        OSError: it cannot be moved.
    """
    path = settings.home / "state.db"
    if settings.store or not is_damaged(path):
        return ""
    aside = path.with_name(f"state.db.damaged-{time.strftime('%Y%m%d-%H%M%S')}")
    for end in FILES:
        with suppress(FileNotFoundError):
            path.with_name(f"{path.name}{end}").rename(aside.with_name(f"{aside.name}{end}"))
    old = "a new one is made, and what was spent and dispatched is in the old"
    return f"state.db was damaged, and is now {aside}; {old}"


async def try_stores(settings: Settings) -> tuple[ChompError | None, AtRest | ChompError]:
    """Write and delete an entry of the state, and lock the keys as a write does (no key file is made for that).

    What is wrong with them, which names the file and what to do; and how keys lie in the store, or why nobody knows.
    """
    wrong: ChompError | None = None
    try:
        async with Chomp(settings) as chomp:
            keys, state = chomp._stores  # noqa: SLF001 - the very two that everything else uses
            try:
                await state.put(KEY, {}, expires_in=SECONDS)
                await state.delete(KEY)
                await keys.update([KEY], lambda _old: [None])
            except ChompError as error:
                wrong = error
            return wrong, await chomp.sealed.at_rest()
    except ChompError as error:
        return wrong or error, error
