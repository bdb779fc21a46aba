"""Which processes live: a file lock on this machine, a lease in the store for others, a beat where clocks differ."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from chomp_mcp.errors import StoreError
from chomp_mcp.store.kv.files import lock_of, make_folder, tried, unusable
from chomp_mcp.store.kv.protocol import KV, Value

if TYPE_CHECKING:
    from filelock import BaseFileLock


LEASE_SECONDS = 30.0
"""A process that another machine asks about counts as alive this long after its last `renew`."""
STILL_SECONDS = 10.0
"""Without a folder: how long a process is watched that does not renew before it counts as dead."""
_KEPT_SECONDS = 86_400.0
_SURELY_ANNOUNCED_SECONDS = 60.0
_MOST_SEEN = 1000
_ENTRIES = 5
_ENTRY_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class _Seen:
    """The record of another process: since when it stands as it does, and when it was looked at last."""

    value: Value | None
    since: float
    looked_at: float
    has_moved: bool
    """It was another one at the look before."""


class Processes:
    """The liveness of the processes that share a store.

    A process holds an operating-system lock on `folder/{id}.lock` for life, so the others of its machine notice at
    once when it was killed; other machines see its lease `process:{id}` run out.

    `folder` None: many machines, whose clocks may be half a minute apart. Then nobody reads the time in a lease: a
    process is dead when its record has not changed while this one watched it for `still_seconds`. Whoever asks for the
    first time is told that it lives.
    """

    def __init__(
        self,
        kv: KV,
        folder: Path | None,
        *,
        clock: Callable[[], float] = time.time,
        still_seconds: float = STILL_SECONDS,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._kv = kv
        self._folder = folder
        self._clock = clock
        self.still_seconds = still_seconds
        self._monotonic = monotonic
        self._seen: OrderedDict[str, _Seen] = OrderedDict()
        self._beats = 0
        self.id = ""
        """Empty before the first `announce`."""
        self._lock: BaseFileLock | None = None

    async def announce(self) -> str:
        """This process's id, with a fresh lease; the first call takes the lock too (`StoreError`)."""
        if not self.id:
            process_id = secrets.token_hex(8)
            if (path := self._path(process_id)) is not None:
                try:
                    make_folder(path.parent)
                    self._lock = lock_of(path)
                    self._lock.acquire()
                    # What killed processes left goes; a young file may belong to one that is about to lock it.
                    now = path.stat().st_mtime
                    for other in path.parent.glob("*.lock"):
                        with suppress(OSError):
                            if now - other.stat().st_mtime > _SURELY_ANNOUNCED_SECONDS:
                                with tried(other) as is_free:
                                    if is_free:
                                        _unlink(other)
                except OSError as error:
                    raise unusable(path, error) from None
            self.id = process_id
        # An idle process lets its lease run out: what it begins now must not look abandoned.
        await self.renew()
        return self.id

    async def renew(self) -> None:
        """Prolong the lease; call it well within `LEASE_SECONDS`, and `still_seconds`."""
        if self.id:
            self._beats += 1
            value = {"renewed_at": self._clock(), "beats": self._beats}
            kept = _KEPT_SECONDS if self._folder is None else LEASE_SECONDS
            await self._kv.put(_lease(self.id), value, expires_in=kept)

    async def is_alive(self, process_id: str) -> bool:
        if process_id == self.id:
            return bool(process_id)
        if self._folder is None:
            return await self._moves(process_id)
        path = self._path(process_id)
        if path is None or not path.exists():
            return await self._kv.get(_lease(process_id)) is not None
        with tried(path) as is_free:
            if is_free:
                # The lease first: without the file, it is all that is left to ask.
                await self._kv.delete(_lease(process_id))
                _unlink(path)
        return not is_free

    async def _moves(self, process_id: str) -> bool:
        """By our own clock alone. A record that is not there is watched like any other: the store may have lost it."""
        # Watched means looked at all the time: what the others could not write while the store was away, or what nobody
        # here looked at, says nothing of them.
        try:
            value = await self._kv.get(_lease(process_id))
        except StoreError:
            self._seen.clear()
            raise
        now = self._monotonic()
        seen = self._seen.pop(process_id, None)
        if seen is None or now - seen.looked_at > self.still_seconds:
            seen = _Seen(value, now, now, has_moved=False)
        elif value != seen.value:
            seen = _Seen(value, now, now, has_moved=True)
        self._seen[process_id] = replace(seen, looked_at=now)
        if len(self._seen) > _MOST_SEEN:
            self._seen.popitem(last=False)
        return now - seen.since < self.still_seconds

    def was_seen_alive(self, process_id: str) -> bool:
        """Without a folder: it was seen to renew its record, and lately; of others `is_alive` knows no more."""
        seen = self._seen.get(process_id)
        return seen is not None and seen.has_moved and self._monotonic() - seen.since < self.still_seconds

    async def retire(self) -> None:
        """Give up the id, as the last act of a process."""
        process_id, self.id = self.id, ""
        lock, self._lock = self._lock, None
        try:
            if process_id:
                await self._kv.delete(_lease(process_id))
        finally:
            if lock is not None:
                # While we hold it: who takes the lock between its release and the end of its file would hold nothing.
                _unlink(Path(lock.lock_file))
                lock.release()

    def _path(self, process_id: str) -> Path | None:
        return self._folder / f"{process_id}.lock" if self._folder is not None and process_id.isalnum() else None


class JobProcesses:
    """The processes of this machine that run what waits in queues of jobs: a few at a time for each queue.

    Each holds an operating-system lock on `folder/{queue}-{place}.lock` while it looks into the queue, so whoever wants
    to start another one sees how many there are, whichever process started them.
    """

    @classmethod
    def of(cls, home: Path) -> JobProcesses:
        return cls(home / "job-processes")

    def __init__(self, folder: Path, most: int = 2) -> None:
        self._folder = folder
        self.most = most
        self._held: BaseFileLock | None = None

    async def enter(self, queue: str) -> bool:
        """Hold a place of the queue from now on, if we do not already; false: all are taken."""
        if self._held is not None:
            return True
        with suppress(OSError):
            make_folder(self._folder)
        for _ in range(_ENTRIES):
            for path in self._places(queue):
                lock = lock_of(path)
                with suppress(OSError):  # a Timeout, too
                    lock.acquire()
                    self._held = lock
                    return True
            # It may be that somebody is only looking.
            await asyncio.sleep(_ENTRY_SECONDS)
        return False

    def leave(self) -> None:
        """Give up the place. What came into the queue since the last look is nobody's now: look again."""
        if self._held is not None:
            _unlink(Path(self._held.lock_file))
            self._held.release()
            self._held = None

    def has_room(self, queue: str) -> bool:
        """Another process would find a place; also where the folder cannot be used, and nobody can tell."""
        return not self._folder.is_dir() or any(not _is_held(path) for path in self._places(queue))

    def looked_into(self) -> set[str]:
        """The queues that have a process."""
        return {path.name.rpartition("-")[0] for path in self._folder.glob("*.lock") if _is_held(path)}

    def _places(self, queue: str) -> list[Path]:
        return [self._folder / f"{queue}-{place}.lock" for place in range(self.most)]


def _is_held(path: Path) -> bool:
    if not path.exists():
        return False
    with tried(path) as is_free:
        return not is_free


def _lease(process_id: str) -> str:
    return f"process:{process_id}"


def _unlink(path: Path) -> None:
    """Windows does not remove a file that is open; there it stays, unlocked, until the next look."""
    with suppress(OSError):
        path.unlink(missing_ok=True)
