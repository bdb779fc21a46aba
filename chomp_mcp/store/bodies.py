"""What was asked and answered in the newest exchanges, where the owner wants it kept: sealed, or not written at all."""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import TypedDict

from chomp_mcp import wire
from chomp_mcp.store.kv.protocol import KV, Write
from chomp_mcp.store.sealing import Sealed

KEPT_SECONDS = 86_400.0
MOST = 200
"""Of one process; the newest take the place of the oldest."""


class Body(TypedDict):
    """One exchange's texts, cut and without what looks like a key."""

    prompt: str
    answer: str


class Bodies:
    """`bodies:{process}:{place}` -> one exchange's texts, sealed with the master key.

    Where there is none they stay in the memory of this process, and are shown by it alone.
    """

    def __init__(self, kv: KV, sealed: Sealed) -> None:
        self._kv = kv
        self._sealed = sealed
        self._process = secrets.token_hex(5)
        self._count = 0
        self._here: OrderedDict[str, tuple[str, Body]] = OrderedDict()

    async def add(self, caller: str, body: Body) -> str:
        """Keep it; the name under which `of` finds it."""
        place = f"bodies:{self._process}:{self._count % MOST:03}"
        name = f"{place}:{self._count}"
        self._count += 1
        text = await self._sealed.seal(place, wire.dumps(body).decode())
        if text is None:
            self._here[name] = caller, body
            if len(self._here) > MOST:
                self._here.popitem(last=False)
        else:
            await self._kv.put(place, {"caller": caller, "name": name, "sealed": text}, expires_in=KEPT_SECONDS)
        return name

    async def of(self, names: Sequence[str]) -> Mapping[str, Body]:
        """Those of these names that are still there, and can be opened here."""
        found = {name: self._here[name][1] for name in names if name in self._here}
        others = [name for name in names if name not in found]
        places = [name.rpartition(":")[0] for name in others]
        for name, place, record in zip(others, places, await self._kv.get_many(places), strict=True):
            if record is None or record.get("name") != name:
                continue
            text = await self._sealed.unseal(place, str(record["sealed"]))
            if text is not None:
                found[name] = wire.loads(text)
        return found

    async def forget(self, caller: str) -> None:
        for name in [name for name, (whose, _) in self._here.items() if whose == caller]:
            del self._here[name]
        places = [entry.key for entry in await self._kv.list("bodies:") if entry.value.get("caller") == caller]
        if places:
            await self._kv.update(places, lambda old: [Write(None) for _ in old])
