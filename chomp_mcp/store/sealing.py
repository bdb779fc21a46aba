"""Router keys sealed at rest: between the keyring and any KV, AES-GCM over each key, its place bound in.

A record stays readable: `{"keys": {"groq": "sealed:<master key's id>:<nonce and text in base64>"}, "created": …}`. The
entry `seal` names the master key that everything is sealed with, and is checked in one step with each write: a process
that has another master key writes nothing.
"""

from __future__ import annotations

import builtins
import os
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, TypedDict

import anyio
import anyio.to_thread

from chomp_mcp.errors import StoreError
from chomp_mcp.store.kv.protocol import KV, Change, Entry, Value, Write
from chomp_mcp.store.master_key import VARIABLE, MasterKey, MasterKeys

PREFIX = "sealed:"
_SEAL = "seal"
_RECORDS = "user:"
_NONCE_BYTES = 12
"""NIST SP 800-38D; a random one serves for 2^32 texts of one key."""
_PATIENCE_SECONDS = 10.0
"""A keychain may ask a user to unlock it who is not there."""
_MOST_OPENED = 10_000
_MOST_ROUNDS = 100
_RESTORE = (
    f"Set {VARIABLE} to the one that sealed them, or put its master.key beside keys.json. If it is lost, so are they:"
    " move keys.json away, add them anew."
)


class _Known(dict[str, MasterKey]):
    """The master keys that are here, by id; `told` says why there is none."""

    told = ""


class AtRest(TypedDict):
    """How router keys lie in the store, as JSON."""

    sealed: bool
    master_key: str
    """Where it was found; empty: nowhere."""
    note: str
    """That in a sentence, with the next step."""


class Sealed:
    """A `KV` whose values hold router keys in the open, over one that holds them sealed where there is a master key.

    What lies there in the open is read as it is, and sealed with the next write. All methods raise `StoreError` also
    where the master key is missing or another one.
    """

    def __init__(self, kv: KV, masters: MasterKeys) -> None:
        self._kv = kv
        self.masters = masters
        self._known = _Known()
        self._opened: dict[str, tuple[Value, Value]] = {}

    async def get(self, key: str) -> Value | None:
        return await self._open(key, await self._kv.get(key))

    async def get_many(self, keys: Sequence[str]) -> builtins.list[Value | None]:
        return [await self._open(key, raw) for key, raw in zip(keys, await self._kv.get_many(keys), strict=True)]

    async def put(self, key: str, value: Value, *, expires_in: float | None = None) -> None:
        await self.update([key], lambda _: [Write(value, expires_in)])

    async def delete(self, key: str) -> bool:
        self._opened.pop(key, None)
        return await self._kv.delete(key)

    async def list(self, prefix: str, *, limit: int | None = None, newest_first: bool = False) -> builtins.list[Entry]:
        """As they lie there: keys sealed."""
        return await self._kv.list(prefix, limit=limit, newest_first=newest_first)

    async def update(self, keys: Sequence[str], change: Change) -> None:
        found, _ = await self._find()
        if found and await self._kv.get(_SEAL) is None:
            await self.reseal(found[0])
        known = self._known

        def sealed(old: Sequence[Value | None]) -> Sequence[Write | None]:
            master = _sealer(old[-1], known)
            writes = change(_opened(keys, known, old))
            # The seal goes along unchanged: nobody else seals with another key in the meantime.
            return [*(_sealed_write(write, master, key) for key, write in zip(keys, writes, strict=True)), None]

        await self._kv.update([*keys, _SEAL], sealed)

    async def seal(self, place: str, text: str) -> str | None:
        """A text that is to lie in another store, bound to its place there; None where there is no master key."""
        found, _ = await self._find()
        return _sealed(found[0], place, "", text) if found else None

    async def unseal(self, place: str, text: str) -> str | None:
        """What `seal` sealed; None where its master key is not here, or the text is not from that place."""
        if _parts(text)[0] not in self._known:
            await self._find()
        try:
            return _plain(self._known, place, "", text)
        except StoreError:
            return None

    async def close(self) -> None:
        await self._kv.close()

    async def at_rest(self) -> AtRest:
        """How keys lie in the store, and where the master key is."""
        seal = await self._kv.get(_SEAL)
        found, place = await self._find()
        is_here = bool(found) and (seal is None or any(master.id == seal["key"] for master in found))
        if seal is None:
            why = f" ({place})" if place else ""
            then = f"until the next write; then sealed with {place}" if found else f"for you alone to read{why}"
            note = f"in the open, {then}; to seal them: chomp-mcp keys encrypt"
        elif is_here:
            note = f"sealed with {place}{', which whoever reads your files reads as well' if 'file' in place else ''}"
        else:
            note = f"{_lacking(seal, self._known)}. {_RESTORE}"
        return {"sealed": seal is not None, "master_key": place if is_here else "", "note": note}

    async def reseal(self, to: MasterKey | None) -> int:
        """Seal every record with `to`, or open every one with None, in one step; how many keys there are now."""
        # It may be called again, with any master key that was in use before, where it was killed.
        await self._find()
        known = _Known({**self._known, **({to.id: to} if to else {})})
        wanted = f"{PREFIX}{to.id}:" if to else None

        def resealed(names: Sequence[str], old: Sequence[Value | None]) -> Sequence[Write | None]:
            _sealer(old[-1], known)
            opened = zip(names, _opened(names, known, old), strict=True)
            writes = [_sealed_write(None if raw is None else Write(raw), to, name) for name, raw in opened]
            return [*writes, Write({"key": to.id} if to else None)]

        for _ in range(_MOST_ROUNDS):
            names = [entry.key for entry in await self._kv.list(_RECORDS)]
            await self._kv.update([*names, _SEAL], partial(resealed, names))
            self._known, self._opened = known, {}
            # Whoever made a record between the two calls did it the old way.
            texts = [text for entry in await self._kv.list(_RECORDS) for text in _texts(entry.value)]
            if all(text.startswith(wanted) if wanted else not text.startswith(PREFIX) for text in texts):
                return len(texts)
        raise StoreError("Others write keys all the time.", hint="Try again when fewer of them run.")

    async def _find(self) -> tuple[tuple[MasterKey, ...], str]:
        try:
            with anyio.fail_after(_PATIENCE_SECONDS):
                found, place = await anyio.to_thread.run_sync(self.masters.find, abandon_on_cancel=True)
        except TimeoutError:
            why = f"The OS keychain does not answer within {_PATIENCE_SECONDS:.0f} s."
            raise StoreError(why, hint=f"Unlock it, or set {VARIABLE}.") from None
        self._known = _Known({master.id: master for master in found})
        self._known.told = "" if found else place
        return found, place

    async def _open(self, key: str, raw: Value | None) -> Value | None:
        """The record with its keys in the open: the same object as long as it lies there unchanged."""
        before = self._opened.get(key)
        if before is not None and (before[0] is raw or before[0] == raw):
            return before[1]
        if raw is None or not (ids := {_parts(text)[0] for text in _texts(raw) if text.startswith(PREFIX)}):
            return raw
        if not ids <= self._known.keys():
            await self._find()
        opened = _each_key(raw, partial(_plain, self._known, key))
        if len(self._opened) >= _MOST_OPENED:
            self._opened.clear()
        self._opened[key] = raw, opened
        return opened


def _opened(keys: Sequence[str], known: _Known, old: Sequence[Value | None]) -> list[Value | None]:
    """The records with their keys in the open; the last of `old` is the seal."""
    return [raw and _each_key(raw, partial(_plain, known, key)) for key, raw in zip(keys, old[:-1], strict=True)]


def _sealer(seal: Value | None, known: _Known) -> MasterKey | None:
    """What the store is sealed with; `StoreError` where that is not here."""
    if seal is None:
        return None
    if seal["key"] not in known:
        raise StoreError(f"Router keys are {_lacking(seal, known)}. Nothing was changed.", hint=_RESTORE)
    return known[seal["key"]]


def _lacking(seal: Value, known: _Known) -> str:
    here = f"the one here is {', '.join(known)}" if known else f"none is here{f' ({known.told})' if known.told else ''}"
    return f"sealed with the master key {seal['key']}, and {here}"


def _sealed_write(write: Write | None, master: MasterKey | None, key: str) -> Write | None:
    if write is None or write.value is None or master is None:
        return write
    return Write(_each_key(write.value, partial(_sealed, master, key)), write.expires_in)


def _sealed(master: MasterKey, record: str, router: str, text: str) -> str:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    nonce = os.urandom(_NONCE_BYTES)
    data = nonce + AESGCM(master.bits).encrypt(nonce, text.encode(), _bound(record, router))
    return f"{PREFIX}{master.id}:{urlsafe_b64encode(data).decode()}"


def _plain(known: _Known, record: str, router: str, text: str) -> str:
    if not text.startswith(PREFIX):
        return text
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    master_id, rest = _parts(text)
    if master_id not in known:
        raise StoreError(f"Router keys are {_lacking({'key': master_id}, known)}.", hint=_RESTORE)
    try:
        data, cipher = urlsafe_b64decode(rest), AESGCM(known[master_id].bits)
        return cipher.decrypt(data[:_NONCE_BYTES], data[_NONCE_BYTES:], _bound(record, router)).decode()
    except (InvalidTag, ValueError):
        why = f'The sealed key for {router} in "{record}" was changed, or moved there from another place.'
        raise StoreError(why, hint="Put it back as it was, or delete it there and add the key again.") from None


def _bound(record: str, router: str) -> bytes:
    """So that nobody who can write the file hands a caller another's key."""
    return f"{record}\0{router}".encode()


def _parts(text: str) -> tuple[str, str]:
    master_id, _, rest = text.removeprefix(PREFIX).partition(":")
    return master_id, rest


def _each_key(record: Value, change: Callable[[str, str], str]) -> Value:
    """The record with every router key in it changed; what has another shape stays as it is."""

    def changed(router: str, value: Any) -> Any:
        if isinstance(value, str):
            return change(router, value)
        return [changed(router, text) for text in value] if isinstance(value, list | tuple) else value

    found = {name: value for name, value in record.items() if name not in ("keys", "openrouter_key")}
    if "openrouter_key" in record:
        found["openrouter_key"] = changed("openrouter", record["openrouter_key"])
    if "keys" in record:
        keys: Any = record["keys"]
        is_table = isinstance(keys, Mapping)
        found["keys"] = {router: changed(router, value) for router, value in keys.items()} if is_table else keys
    return found


def _texts(record: Value) -> Iterator[str]:
    """Every router key in the record, as it stands there."""
    keys = record.get("keys")
    for value in (record.get("openrouter_key"), *(keys.values() if isinstance(keys, Mapping) else ())):
        yield from (text for text in ([value] if isinstance(value, str) else value or ()) if isinstance(text, str))
