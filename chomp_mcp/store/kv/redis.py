"""The same KV on Redis or Valkey, for more than one machine."""

from __future__ import annotations

import builtins
import logging
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from hashlib import sha1
from typing import Any

import anyio

from chomp_mcp.errors import StoreAway
from chomp_mcp.store.kv.codec import decode, encode
from chomp_mcp.store.kv.finish import finished
from chomp_mcp.store.kv.protocol import Change, Entry, Value, Write
from chomp_mcp.store.kv.redis_link import Link, Script
from chomp_mcp.store.kv.redis_url import is_cluster

_log = logging.getLogger("chomp_mcp.redis")

_PATIENCE_SECONDS = 10.0
_UPDATE_KEPT_MS = 60_000
_PAGE = 500
_WRITES_BETWEEN_SWEEPS = 500

# Read, compare, write, in one step. KEYS: what this process wrote last (to know it when a connection died before it
# could say so), the index, and the entries. ARGV: the update's number, how long that is kept, then for each entry its
# SHA-1 as it was read ("" for none, "*" for any), what is to be done, the value, its life in ms ("" for ever), and its
# name in the index. 1: written; 0: somebody else was faster.
_UPDATE = Script("""
if ARGV[1] ~= '' and redis.call('GET', KEYS[1]) == ARGV[1] then return 1 end
for i = 3, #KEYS do
    local seen = ARGV[5 * i - 12]
    if seen ~= '*' then
        local now = redis.call('GET', KEYS[i])
        if (now and redis.sha1hex(now) or '') ~= seen then return 0 end
    end
end
for i = 3, #KEYS do
    local todo, value, life, name = ARGV[5 * i - 11], ARGV[5 * i - 10], ARGV[5 * i - 9], ARGV[5 * i - 8]
    if todo == 'put' then
        if life == '' then redis.call('SET', KEYS[i], value) else redis.call('SET', KEYS[i], value, 'PX', life) end
        redis.call('ZADD', KEYS[2], 0, name)
    elseif todo == 'delete' then
        redis.call('DEL', KEYS[i])
        redis.call('ZREM', KEYS[2], name)
    end
end
if ARGV[1] ~= '' then redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2]) end
return 1
""")
_DELETE = Script("""
local old = redis.call('GET', KEYS[1])
redis.call('DEL', KEYS[1])
redis.call('ZREM', KEYS[2], ARGV[1])
return old
""")
# Members of the index whose value has expired; one step, so that a key written at this moment keeps its place.
_SWEEP = Script("""
for i = 2, #KEYS do
    if redis.call('EXISTS', KEYS[i]) == 0 then redis.call('ZREM', KEYS[1], ARGV[i - 1]) end
end
""")
# The token bucket of policy/rate_limit.py by the clock of Redis, which all replicas share: kept is when the bucket will
# be full again, in microseconds. ARGV: microseconds for one token, the burst, how long one may wait. How long this one
# waits, in microseconds; a longer wait than allowed takes nothing.
_TAKE = Script("""
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local each, burst, patience = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local full = math.max(now, math.min(tonumber(redis.call('GET', KEYS[1]) or 0), now + burst * each + patience)) + each
local wait = math.max(0, math.ceil(full - now - burst * each))
if wait <= patience then
    redis.call('SET', KEYS[1], string.format('%.17g', full), 'PX', math.ceil((full - now) / 1000) + 1)
end
return wait
""")

_NEEDED_FOR: Mapping[str, str] = {
    **dict.fromkeys(("user", "token", "seal"), "the tokens and router keys that are stored"),
    **dict.fromkeys(("job", "asked", "queue", "process"), "jobs"),
    **dict.fromkeys(("spend", "hold"), "the budget"),
    "page": "the key page",
    "receipts": "receipts",
    "written": "the files that answers are written into",
    "thread": "saved conversations",
}
"""What a key begins with -> what its readers look for, as errors say it."""


class Redis:
    """A `KV` for one event loop on a Redis (6.2 or newer) or Valkey server that many machines may share.

    A value is stored as `{"value": ..., "expires_at": ...}`: our clock decides what is expired, as in every other
    backend, and Redis frees the room later. Neither the URL nor the password in it ever shows in an error.

    An update whose connection dies before the reply is looked up on the next connection, and not done twice. Only when
    the server stays away is an update reported as not written that may have been: `store/ledger.py` numbers its own.
    """

    def __init__(self, url: str, *, clock: Callable[[], float] = time.time) -> None:
        """Connect to nothing yet; `InvalidSetting` for a URL that the client does not take, or when it is missing."""
        self._link = Link(url)
        self._clock = clock
        # All keys of a script must lie in one slot of a cluster, which the part in braces decides.
        self._space = "{chomp}" if is_cluster(url) else "chomp"
        self._index = f"{self._space}:keys"
        """A sorted set of all our keys, every score 0, which Redis orders by bytes: a prefix is a range of it."""
        self._one_update = anyio.Lock()
        self._writes = 0
        self._last_update = f"{self._space}:updated:{secrets.token_hex(8)}"
        self._updates = 0

    async def check(self) -> None:
        """`StoreAway` where it cannot serve, see `Link.check`."""
        await self._link.check()

    async def take(self, name: str, rps: float, burst: int, patience: float) -> float:
        """Take a token of the bucket `name`, in one step: the seconds to wait; none is taken above `patience`."""
        numbers = (f"{1e6 / rps:.17g}", max(1, burst), int(patience * 1e6))
        return int(await self._link.run(_TAKE, [f"{self._space}:rate:{name}"], numbers)) / 1e6

    async def get(self, key: str) -> Value | None:
        return (await self.get_many([key]))[0]

    async def put(self, key: str, value: Value, *, expires_in: float | None = None) -> None:
        await self._write([key], [Write(value, expires_in)], ["*"], self._clock())

    async def delete(self, key: str) -> bool:
        old = await self._needing(key, self._link.run(_DELETE, [self._name(key), self._index], [key]))
        return self._live(key, old) is not None

    async def get_many(self, keys: Sequence[str]) -> builtins.list[Value | None]:
        data = await self._needing(keys[0], self._link.call("MGET", *map(self._name, keys))) if keys else []
        return [self._live(key, each) for key, each in zip(keys, data, strict=True)]

    async def list(self, prefix: str, *, limit: int | None = None, newest_first: bool = False) -> builtins.list[Entry]:
        # As in SQLite: 0xff sorts after every byte of UTF-8.
        low, high = b"[" + prefix.encode(), b"(" + prefix.encode() + b"\xff"
        page = _PAGE if limit is None else min(max(limit, 1), _PAGE)
        found: list[Entry] = []
        while limit is None or len(found) < limit:
            bounds = (
                ("ZREVRANGEBYLEX", self._index, high, low) if newest_first else ("ZRANGEBYLEX", self._index, low, high)
            )
            members = await self._needing(prefix, self._link.call(*bounds, "LIMIT", 0, page))
            keys = [member.decode() for member in members]
            values = await self.get_many(keys)
            found += [Entry(key, value) for key, value in zip(keys, values, strict=True) if value is not None]
            if len(members) < page:
                break
            low, high = (low, b"(" + members[-1]) if newest_first else (b"(" + members[-1], high)
        return found[:limit]

    async def update(self, keys: Sequence[str], change: Change) -> None:
        await finished(self._update(keys, change))

    async def _update(self, keys: Sequence[str], change: Change) -> None:
        # One at a time in this process: only other processes can make an update start again.
        async with self._one_update:
            self._updates += 1
            deadline = time.monotonic() + _PATIENCE_SECONDS
            while True:
                data = await self._needing(keys[0], self._link.call("MGET", *map(self._name, keys)))
                now = self._clock()
                writes = change([self._live(key, each) for key, each in zip(keys, data, strict=True)])
                seen = ["" if each is None else sha1(each, usedforsecurity=False).hexdigest() for each in data]
                if not any(writes) or await self._write(keys, writes, seen, now, str(self._updates)):
                    return
                if time.monotonic() > deadline:
                    raise StoreAway(f"{self._link.place}: others change the same entries again and again.")

    async def close(self) -> None:
        await self._link.close()

    def _name(self, key: str) -> str:
        return f"{self._space}:value:{key}"

    async def _write(
        self, keys: Sequence[str], writes: Sequence[Write | None], seen: Sequence[str], now: float, number: str = ""
    ) -> bool:
        """Whether it is written: nothing has changed since it was `seen`."""
        arguments: list[Any] = [number, _UPDATE_KEPT_MS]
        for key, write, digest in zip(keys, writes, seen, strict=True):
            if write is None or write.value is None:
                arguments += [digest, "keep" if write is None else "delete", "", "", key]
                continue
            end = None if write.expires_in is None else now + write.expires_in
            # At least a millisecond: Redis refuses anything less, and our clock has the say anyway.
            life = "" if write.expires_in is None else max(int(write.expires_in * 1000), 1)
            arguments += [digest, "put", encode({"value": write.value, "expires_at": end}), life, key]
        names = [self._last_update, self._index, *map(self._name, keys)]
        is_written = bool(await self._needing(keys[0], self._link.run(_UPDATE, names, arguments)))
        self._writes += is_written
        if is_written and self._writes % _WRITES_BETWEEN_SWEEPS == 0:
            with suppress(StoreAway):  # what was to be written is written; the sweep comes again
                some = [each.decode() for each in await self._link.call("ZRANDMEMBER", self._index, _PAGE)]
                await self._link.run(_SWEEP, [self._index, *map(self._name, some)], some)
        return is_written

    def _live(self, key: str, data: bytes | None) -> Value | None:
        if data is None:
            return None
        record = decode(data, self._link.place, key)
        end = record.get("expires_at")
        return None if end is not None and end <= self._clock() else record["value"]

    @staticmethod
    async def _needing(key: str, answer: Awaitable[Any]) -> Any:
        try:
            return await answer
        except StoreAway as error:
            raise error.again(_NEEDED_FOR.get(key.partition(":")[0], "")) from None
