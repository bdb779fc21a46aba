"""The keyring: caller -> router keys, and the tokens that name callers."""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from chomp_mcp.errors import InvalidRequest, NotAuthenticated, StoreAway, StoreError
from chomp_mcp.messages import OWNER, Caller
from chomp_mcp.policy import grants, key_shape
from chomp_mcp.policy.grants import Grant
from chomp_mcp.store.kv.protocol import KV, Value, Write
from chomp_mcp.store.sealing import PREFIX

_MAX_KEY_LENGTH = 4096
_LONG_ENOUGH = 16
"""Short keys are the affair of whoever made them: a router of one's own may take what it likes."""
_MOST_KEYS = 32
"""Of one router."""
_MOST_BYTES = 64 * 1024
"""Of all keys of one caller, as stored: a token is no place to keep data."""
_SHOWN_FROM_LENGTH = 12
_TOKEN_PREFIX = "chomp_"  # noqa: S105 - the shape of tokens, not one
_TOKEN_BYTES = 32
_MOST_READ = 10_000
_RENEWED = "token:"
"""`token:{SHA-256}` -> whose token it is, where that is another than the caller's first."""
_SEEN = "seen:"
_SEEN_SECONDS = 300.0

Keys = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Token:
    """A caller's token as the owner sees it; `used` is when it was last seen, within minutes, or ""."""

    caller_id: str
    grant: Grant
    created: str
    used: str


class Keyring:
    """Who may ask, and with which router keys.

    Records are `user:{caller id}` -> `{"keys": {router: key or [key, ...]}, "created": ISO 8601}`; the older
    `{"openrouter_key": key}` is read as well and takes the new shape with the next write. The owner also has the keys
    of the environment, which `owner_keys` holds; a stored key wins over it, router by router.
    """

    def __init__(
        self, kv: KV, owner_keys: Keys, *, clock: Callable[[], float] = time.time, state: KV | None = None
    ) -> None:
        self._kv = kv
        self._owner_keys: Keys = dict(owner_keys)
        self._clock = clock
        self._state = state
        """Where it is noted when tokens were used; None: nowhere."""
        self._seen: dict[str, float] = {}
        self.away: StoreAway | None = None
        """Why nobody knows the stored keys now."""
        self._read: dict[str, tuple[Value | None, Keys, Keys]] = {}
        """Caller id -> the record, the owner's keys as far as they are lent, and what followed of both."""

    async def keys_of(self, caller: Caller) -> Keys:
        """Router id -> the caller's keys for it, at least one each (`StoreError`).

        The same object as long as the record says the same, also when the store has decoded it anew. While a remote
        store is `away`, the owner has the keys of the environment.
        """
        try:
            record = await self._kv.get(_record(caller))
        except StoreAway as error:
            self.away = error
            if not caller.is_owner:
                raise
            return self._owner_keys
        self.away = None
        lent = self._owner_keys
        if not caller.is_owner:
            lent = await self.keys_of(OWNER) if grants.of_record(record).lends else {}
        before = self._read.get(caller.id)
        if before is None or before[0] != record or (before[1] is not lent and before[1] != lent):
            before = record, lent, {**lent, **_keys(caller, record)}
            if len(self._read) > _MOST_READ:
                self._read.clear()
            self._read[caller.id] = before
        return before[2]

    async def grant_of(self, caller: Caller) -> Grant:
        return grants.of_record(await self._kv.get(_record(caller)))

    async def register(self, caller: Caller, keys: Mapping[str, str], *, keep_others: bool = False) -> None:
        """Merge `keys` into the caller's; "" removes a router's. Commas separate several keys.

        A router's keys take the place of those that it had, unless these are kept: then they come behind them.

        Raises:
            InvalidRequest: a value that cannot be a key; the message names the router and never the key.
            NotAuthenticated: the caller was revoked in the meantime.
            StoreError: nothing was changed.
        """
        checked = {router: _checked(router, value) for router, value in keys.items()}
        created = self._timestamp()

        def merge(old: Sequence[Value | None]) -> Sequence[Write | None]:
            if old[0] is None and not caller.is_owner:
                raise NotAuthenticated("This token was revoked.", hint="Register again for a new one.")
            record = {name: value for name, value in (old[0] or {}).items() if name != "openrouter_key"}
            before = _keys(caller, old[0])
            given = {
                router: tuple(dict.fromkeys((*before.get(router, ()), *few))) if keep_others and few else few
                for router, few in checked.items()
            }
            merged = {router: few for router, few in {**before, **given}.items() if few}
            size = sum(len(key) for few in merged.values() for key in few)
            if max(map(len, merged.values()), default=0) > _MOST_KEYS or size > _MOST_BYTES:
                why = f"A caller has at most {_MOST_KEYS} keys of one router, and {_MOST_BYTES // 1024} KiB together."
                raise InvalidRequest(why, hint="Remove some.", param="keys")
            stored = {router: few[0] if len(few) == 1 else list(few) for router, few in merged.items()}
            return [Write({"created": created, **record, "keys": stored})]

        await self._kv.update([_record(caller)], merge)

    async def previews(self, caller: Caller) -> dict[str, str]:
        """Router id -> its keys, masked, and where they come from if that is the environment."""
        stored = _keys(caller, await self._kv.get(_record(caller)))
        shown = {router: ", ".join(map(masked, keys)) for router, keys in stored.items()}
        owners = self._owner_keys if caller.is_owner else {}
        environment = {router: f"{', '.join(map(masked, keys))} (environment)" for router, keys in owners.items()}
        return {**environment, **shown}

    async def create(self, grant: Grant | None = None) -> tuple[str, Caller]:
        """A new token of 256 random bits, told this once, and its caller; only its SHA-256 is stored."""
        token = _TOKEN_PREFIX + secrets.token_hex(_TOKEN_BYTES)
        caller = Caller(_digest(token))
        granted = {"grant": grant.as_record()} if grant else {}
        await self._kv.put(_record(caller), {"keys": {}, "created": self._timestamp(), **granted})
        return token, caller

    async def find(self, token: str) -> Caller | None:
        """Whose token this is, if it has not ended; the look-up by hash tells nothing about tokens through its time."""
        digest = _digest(token)
        caller = Caller(digest)
        record = await self._kv.get(_record(caller))
        if record is None and (renewed := await self._kv.get(f"{_RENEWED}{digest}")):
            caller = Caller(str(renewed["caller"]))
            record = await self._kv.get(_record(caller))
        # Once the token was renewed, the first one, whose hash is the caller's id, is none any more.
        if record is None or record.get("token", caller.id) != digest:
            return None
        grant, now = grants.of_record(record), self._clock()
        if grant.has_ended(now):
            return None
        if self._state is not None and now - self._seen.get(caller.id, 0.0) >= _SEEN_SECONDS:
            if len(self._seen) > _MOST_READ:
                self._seen.clear()
            self._seen[caller.id] = now
            with suppress(StoreError):  # when it was used is worth no error
                await self._state.put(f"{_SEEN}{caller.id}", {"at": self._timestamp()})
        return replace(caller, rps=grant.rps, doors=grant.doors) if grant.rps or grant.doors else caller

    async def tokens(self) -> list[Token]:
        """Every caller but the owner, the oldest first."""
        records = [(entry.key.removeprefix("user:"), entry.value) for entry in await self._kv.list("user:")]
        names = [f"{_SEEN}{caller_id}" for caller_id, _ in records]
        seen = await self._state.get_many(names) if self._state else [None] * len(names)
        found = [
            Token(caller_id, grants.of_record(record), str(record.get("created", "")), (at or {}).get("at", ""))
            for (caller_id, record), at in zip(records, seen, strict=True)
            if caller_id != OWNER.id
        ]
        return sorted(found, key=lambda token: token.created)

    async def named(self, name: str) -> Caller:
        """Whose token this is, by its name or by how its ID in the list begins; `InvalidRequest`: not just one."""
        tokens = await self.tokens()
        found = [token for token in tokens if name and token.grant.name == name]
        found = found or [token for token in tokens if name and token.caller_id.startswith(name)]
        if len(found) != 1:
            why = f"{len(found) or 'No'} token{'s' * bool(found)} of the name {name[:100]!r}."
            raise InvalidRequest(why, hint="`chomp-mcp tokens list` and GET /api/tokens tell them.", param="name")
        return Caller(found[0].caller_id)

    async def rotate(self, caller: Caller) -> str | None:
        """Another token for the same caller, whose keys, jobs and budgets stay; None: nobody is there."""
        token = _TOKEN_PREFIX + secrets.token_hex(_TOKEN_BYTES)
        digest = _digest(token)
        found = False

        def renew(old: Sequence[Value | None]) -> Sequence[Write | None]:
            nonlocal found
            found = old[0] is not None
            return [Write({**(old[0] or {}), "token": digest}), Write({"caller": caller.id})] if found else [None, None]

        before = (await self._kv.get(_record(caller)) or {}).get("token")
        await self._kv.update([_record(caller), f"{_RENEWED}{digest}"], renew)
        if before:
            await self._kv.delete(f"{_RENEWED}{before}")
        return token if found else None

    async def created_at(self, caller: Caller) -> str | None:
        """When the caller's record was made, ISO 8601; None without one."""
        record = await self._kv.get(_record(caller))
        created = (record or {}).get("created")
        return None if created is None else str(created)

    async def revoke(self, caller: Caller) -> bool:
        """Forget the caller's token and stored keys; True if there was something to forget."""
        self._read.pop(caller.id, None)
        renewed = (await self._kv.get(_record(caller)) or {}).get("token")
        if renewed:
            await self._kv.delete(f"{_RENEWED}{renewed}")
        if self._state is not None:
            await self._state.delete(f"{_SEEN}{caller.id}")
        return await self._kv.delete(_record(caller))

    def _timestamp(self) -> str:
        return datetime.fromtimestamp(self._clock(), UTC).isoformat(timespec="seconds")


def masked(key: str) -> str:
    """`gsk_…4f2a`: the first and last four characters, and of a short key nothing."""
    return f"{key[:4]}…{key[-4:]}" if len(key) >= _SHOWN_FROM_LENGTH else "…"


def _record(caller: Caller) -> str:
    return f"user:{caller.id}"


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def _keys(caller: Caller, record: Value | None) -> dict[str, tuple[str, ...]]:
    """What the record holds. What was edited into another shape is an error, so that no write drops it."""
    if not record:
        return {}
    stored: Any = record.get("keys") or {}
    if not isinstance(stored, dict):
        raise _misshapen(caller, "keys", '{"groq": "the key"}')
    old: dict[str, Any] = {"openrouter": record["openrouter_key"]} if record.get("openrouter_key") else {}
    keys = {}
    for router, value in {**old, **stored}.items():
        texts = [value] if isinstance(value, str) else value
        if not isinstance(texts, list | tuple) or not all(isinstance(text, str) for text in texts):
            raise _misshapen(caller, f"the key for {router}", '"the key" or ["one", "another"]')
        parts = [part.strip() for text in texts for part in text.split(",")]
        if few := tuple(dict.fromkeys(part for part in parts if part)):
            keys[router] = few
    return keys


def _misshapen(caller: Caller, what: str, shape: str) -> StoreError:
    why = f'In the entry "{_record(caller)}" of keys.json, {what} has another shape than {shape}. Nothing was changed.'
    return StoreError(why, hint="Correct it there, or delete it and add the key again.")


def _checked(router: str, value: object) -> tuple[str, ...]:
    """The keys without what people paste around them: quotes, `NAME=`, `Bearer `; nothing where nothing was given."""
    if not isinstance(value, str):
        raise _refused(router, "is not text")
    keys = key_shape.cleaned_keys(value)
    if value.strip(" ,") and not keys:
        raise _refused(router, "is a placeholder that nobody filled in")
    for key in keys:
        if key.startswith(PREFIX):
            raise _refused(router, "is a sealed one, out of a key file")
        if len(key) > _MAX_KEY_LENGTH:
            raise _refused(router, f"has more than {_MAX_KEY_LENGTH} characters")
        reason = key_shape.why_no_key(key.ljust(_LONG_ENOUGH, "0"))
        if reason is not None:
            raise _refused(router, reason)
    return keys


def _refused(router: str, reason: str) -> InvalidRequest:
    why = f"The key for {router} {reason}."
    return InvalidRequest(why, hint="Copy it again from the router's key page.", param="keys")
