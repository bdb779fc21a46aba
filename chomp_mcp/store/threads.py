"""The conversations of the command line, to be continued: whole, as they are sent to a model."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from chomp_mcp.errors import InvalidRequest
from chomp_mcp.store.kv.protocol import KV, Value, delete_all

LAST = "last"
"""The name of what was given none: each overwrites the one before."""
LAST_SECONDS = 86_400.0
"""How long that one is kept, as finished jobs are."""
NAMED_SECONDS = 90 * 86_400.0
_NAME = re.compile(r"[\w.-]{1,64}")


@dataclass(frozen=True, slots=True)
class Thread:
    """A conversation: `messages` in OpenAI's shape, `model` and `router` as they were asked for."""

    name: str
    messages: Sequence[Mapping[str, Any]]
    model: str = ""
    router: str = ""


class Threads:
    """`thread:{caller id}:{name}` -> a conversation."""

    def __init__(self, kv: KV, *, clock: Callable[[], float] = time.time) -> None:
        self._kv = kv
        self._clock = clock

    async def get(self, caller_id: str, name: str) -> Thread | None:
        """The conversation of that name; `InvalidRequest` for one that no conversation can have."""
        value = await self._kv.get(_key(caller_id, checked(name)))
        return None if value is None else _thread(name, value)

    async def last(self, caller_id: str) -> Thread | None:
        """The one that was spoken in last, whatever its name."""
        entries = await self._kv.list(_key(caller_id, ""))
        newest = max(entries, key=lambda entry: float(entry.value["at"]), default=None)
        return None if newest is None else _thread(newest.key.rpartition(":")[2], newest.value)

    async def save(self, caller_id: str, thread: Thread) -> None:
        """Write it over what was said in it before."""
        name = checked(thread.name or LAST)
        value = {
            "messages": [dict(message) for message in thread.messages],
            "model": thread.model,
            "router": thread.router,
            "at": self._clock(),
        }
        seconds = LAST_SECONDS if name == LAST else NAMED_SECONDS
        await self._kv.put(_key(caller_id, name), value, expires_in=seconds)

    async def delete_all(self, caller_id: str) -> None:
        await delete_all(self._kv, _key(caller_id, ""))


def checked(name: str) -> str:
    """The name, if a conversation can have it."""
    if not _NAME.fullmatch(name):
        why = f"{name[:64]!r} cannot be the name of a conversation."
        raise InvalidRequest(why, hint="Use up to 64 letters, digits, dots and dashes.", param="thread")
    return name


def _key(caller_id: str, name: str) -> str:
    return f"thread:{caller_id}:{name}"


def _thread(name: str, value: Value) -> Thread:
    return Thread(name, value["messages"], str(value["model"]), str(value["router"]))
