"""The same KV on Redis or Valkey, for more than one machine."""

from __future__ import annotations

import builtins
import logging
import secrets
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any
from urllib.parse import unquote, urlsplit

import anyio

from chomp_mcp.errors import InvalidSetting, StoreError
from chomp_mcp.store.kv.codec import decode, encode
from chomp_mcp.store.kv.finish import finished
from chomp_mcp.store.kv.protocol import Change, Entry, Value, Write

__all__ = ["Redis"]

_log = logging.getLogger("chomp_mcp.redis")

_PREFIX = "chomp:value:"
_LAST_UPDATE = "chomp:updated:"
"""What a process wrote last, to know it when a connection died before it could say so."""
_LAST_UPDATE_SECONDS = 60
_INDEX = "chomp:keys"
"""A sorted set of all our keys, every score 0, which Redis orders by bytes: a prefix is a range of it."""
_PATIENCE_SECONDS = 10.0
_CONNECTIONS = 64
_PAGE = 500
_WRITES_BETWEEN_SWEEPS = 500
# Members of the index whose value has expired; one step, so that a key written at this moment keeps its place.
_SWEEP = """
for _, key in ipairs(ARGV) do
    if redis.call('EXISTS', KEYS[2] .. key) == 0 then redis.call('ZREM', KEYS[1], key) end
end
"""


class Redis:
    """A `KV` for one event loop on a Redis (6.2 or newer) or Valkey server that many machines may share.

    A value is stored as `{"value": ..., "expires_at": ...}`: our clock decides what is expired, as in every other
    backend, and Redis frees the room later. Neither the URL nor the password in it ever shows in an error.

    An update whose connection dies before the reply is looked up on the next connection, and not done twice. Only when
    the server stays away is an update reported as not written that may have been.
    """

    # Its client is Any: the types of redis-py say "maybe awaitable", and change from release to release.

    def __init__(self, url: str, *, clock: Callable[[], float] = time.time) -> None:
        """Connect to nothing yet; `InvalidSetting` for a URL that the client does not take, or when it is missing."""
        self._url = url
        self._clock = clock
        self._opened: Any = _open(url)
        self._one_update = anyio.Lock()
        self._writes = 0
        self._last_update = _LAST_UPDATE + secrets.token_hex(8)
        self._updates = 0

    async def get(self, key: str) -> Value | None:
        async with self._client() as client:
            return self._live(key, await client.get(_PREFIX + key))

    async def put(self, key: str, value: Value, *, expires_in: float | None = None) -> None:
        async with self._client() as client, client.pipeline(transaction=True) as pipe:
            self._write(pipe, key, Write(value, expires_in), self._clock())
            await pipe.execute()
            await self._wrote(client)

    async def delete(self, key: str) -> bool:
        async with self._client() as client, client.pipeline(transaction=True) as pipe:
            pipe.getdel(_PREFIX + key)
            pipe.zrem(_INDEX, key)
            old, _ = await pipe.execute()
            return self._live(key, old) is not None

    async def get_many(self, keys: Sequence[str]) -> builtins.list[Value | None]:
        async with self._client() as client:
            values = await client.mget([_PREFIX + key for key in keys]) if keys else []
        return [self._live(key, data) for key, data in zip(keys, values, strict=True)]

    async def list(self, prefix: str, *, limit: int | None = None, newest_first: bool = False) -> builtins.list[Entry]:
        # As in SQLite: 0xff sorts after every byte of UTF-8.
        low, high = b"[" + prefix.encode(), b"(" + prefix.encode() + b"\xff"
        page = _PAGE if limit is None else min(max(limit, 1), _PAGE)
        found: list[Entry] = []
        async with self._client() as client:
            while limit is None or len(found) < limit:
                members = await _range(client, low, high, page, newest_first=newest_first)
                found += await self._entries(client, members)
                if len(members) < page:
                    break
                low, high = (low, b"(" + members[-1]) if newest_first else (b"(" + members[-1], high)
        return found[:limit]

    async def update(self, keys: Sequence[str], change: Change) -> None:
        await finished(self._update(keys, change))

    async def _update(self, keys: Sequence[str], change: Change) -> None:
        async with self._client() as client:
            # One at a time in this process: only other processes can make an update start again.
            async with self._one_update:
                await self._change(client, keys, change)
            await self._wrote(client)

    async def close(self) -> None:
        client, self._opened = self._opened, None
        if client is not None:
            await client.aclose()

    @asynccontextmanager
    async def _client(self) -> AsyncIterator[Any]:
        if self._opened is None:
            self._opened = _open(self._url)
        from redis.exceptions import RedisError

        try:
            yield self._opened
        except (RedisError, OSError, TimeoutError) as error:
            raise self._explained(error) from None

    async def _entries(self, client: Any, members: Sequence[bytes]) -> builtins.list[Entry]:
        keys = [member.decode() for member in members]
        values = await client.mget([_PREFIX + key for key in keys]) if keys else []
        live = ((key, self._live(key, data)) for key, data in zip(keys, values, strict=True))
        return [Entry(key, value) for key, value in live if value is not None]

    async def _change(self, client: Any, keys: Sequence[str], change: Change) -> None:
        from redis.exceptions import WatchError

        names = [_PREFIX + key for key in keys]
        deadline = time.monotonic() + _PATIENCE_SECONDS
        self._updates += 1
        while True:
            async with client.pipeline(transaction=True) as pipe:
                await pipe.watch(*names)
                *values, last = await pipe.mget(*names, self._last_update)
                # The client says WatchError for a lost connection too.
                if last == b"%d" % self._updates:
                    return
                if time.monotonic() > deadline:
                    raise WatchError("others change the same entries again and again")
                now = self._clock()
                writes = change([self._live(key, data) for key, data in zip(keys, values, strict=True)])
                pipe.multi()
                if any(writes):
                    pipe.set(self._last_update, self._updates, ex=_LAST_UPDATE_SECONDS)
                for key, write in zip(keys, writes, strict=True):
                    if write is not None:
                        self._write(pipe, key, write, now)
                with suppress(WatchError):
                    await pipe.execute()
                    return

    def _write(self, pipe: Any, key: str, write: Write, now: float) -> None:
        if write.value is None:
            pipe.delete(_PREFIX + key)
            pipe.zrem(_INDEX, key)
            return
        end = None if write.expires_in is None else now + write.expires_in
        # At least a millisecond: Redis refuses anything less, and our clock has the say anyway.
        life = None if write.expires_in is None else max(int(write.expires_in * 1000), 1)
        pipe.set(_PREFIX + key, encode({"value": write.value, "expires_at": end}), px=life)
        pipe.zadd(_INDEX, {key: 0})

    def _live(self, key: str, data: bytes | None) -> Value | None:
        if data is None:
            return None
        record = decode(data, self._place, key)
        end = record.get("expires_at")
        return None if end is not None and end <= self._clock() else record["value"]

    async def _wrote(self, client: Any) -> None:
        """Now and then, sweep the index. What was to be written is written: this may fail, and comes again."""
        self._writes += 1
        if self._writes % _WRITES_BETWEEN_SWEEPS:
            return
        from redis.exceptions import RedisError

        try:
            some = await client.zrandmember(_INDEX, _PAGE)
            await client.eval(_SWEEP, 2, _INDEX, _PREFIX, *some)
        except (RedisError, OSError, TimeoutError) as error:
            _log.warning("%s: expired keys stay in %s: %s", self._place, _INDEX, self._reason(error))

    @property
    def _place(self) -> str:
        parts = urlsplit(self._url)
        return f"Redis at {parts.hostname}:{parts.port or 6379}" if parts.hostname else f"Redis at {parts.path}"

    def _explained(self, error: Exception) -> StoreError:
        return StoreError(
            f"{self._place} does not answer: {self._reason(error)}.", hint="Start it, or correct CHOMP_STORE."
        )

    def _reason(self, error: Exception) -> str:
        reason = str(error) or type(error).__name__
        for secret in _secrets(self._url):
            reason = reason.replace(secret, "…")
        return reason


def _open(url: str) -> Any:
    try:
        from redis.asyncio import BlockingConnectionPool
        from redis.asyncio import Redis as Client
    except ImportError:
        raise InvalidSetting(
            "CHOMP_STORE names a Redis, and its client is not installed.",
            hint="Run: pip install 'chomp-mcp[redis]'",
        ) from None
    try:
        pool = BlockingConnectionPool.from_url(
            url, max_connections=_CONNECTIONS, timeout=_PATIENCE_SECONDS, socket_timeout=_PATIENCE_SECONDS
        )
    except ValueError:
        raise InvalidSetting(
            "CHOMP_STORE is not a Redis URL.", hint="Write redis://host:6379/0, rediss://… or unix://…"
        ) from None
    return Client.from_pool(pool)


async def _range(client: Any, low: bytes, high: bytes, page: int, *, newest_first: bool) -> builtins.list[bytes]:
    members: list[bytes]
    if newest_first:
        members = await client.zrevrangebylex(_INDEX, high, low, 0, page)
    else:
        members = await client.zrangebylex(_INDEX, low, high, 0, page)
    return members


def _secrets(url: str) -> builtins.list[str]:
    """The password as it stands in the URL and as it is meant."""
    password = urlsplit(url).password or ""
    return [text for text in (password, unquote(password)) if text]
