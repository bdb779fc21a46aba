"""Which processes live: a file lock on this machine, a lease in the store for all others."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from chomp_mcp.store.kv.files import PRIVATE_FILE, make_folder, unusable
from chomp_mcp.store.kv.protocol import KV

if TYPE_CHECKING:
    from filelock import BaseFileLock

__all__ = ["LEASE_SECONDS", "Processes"]

LEASE_SECONDS = 30.0
"""A process that another machine asks about counts as alive this long after its last `renew`."""
_SURELY_ANNOUNCED_SECONDS = 60.0


class Processes:
    """The liveness of the processes that share a store.

    A process holds an operating-system lock on `folder/{id}.lock` for life, so the others of its machine notice at
    once when it was killed; other machines see its lease `process:{id}` run out. `folder` None: leases only.
    """

    def __init__(self, kv: KV, folder: Path | None, *, clock: Callable[[], float] = time.time) -> None:
        self._kv = kv
        self._folder = folder
        self._clock = clock
        self._id = ""
        self._lock: BaseFileLock | None = None

    async def announce(self) -> str:
        """This process's id, with a fresh lease; the first call takes the lock too (`StoreError`)."""
        if not self._id:
            process_id = secrets.token_hex(8)
            self._hold(process_id)
            self._id = process_id
        # An idle process lets its lease run out: what it begins now must not look abandoned.
        await self.renew()
        return self._id

    async def renew(self) -> None:
        """Prolong the lease; call it well within `LEASE_SECONDS`."""
        if self._id:
            value = {"renewed_at": self._clock()}
            await self._kv.put(_lease(self._id), value, expires_in=LEASE_SECONDS)

    async def is_alive(self, process_id: str) -> bool:
        if process_id == self._id:
            return bool(process_id)
        path = self._path(process_id)
        if path is None or not path.exists():
            return await self._kv.get(_lease(process_id)) is not None
        with _tried(path) as is_free:
            if is_free:
                # The lease first: without the file, it is all that is left to ask.
                await self._kv.delete(_lease(process_id))
                _unlink(path)
        return not is_free

    async def retire(self) -> None:
        """Give up the id, as the last act of a process."""
        process_id, self._id = self._id, ""
        lock, self._lock = self._lock, None
        try:
            if process_id:
                await self._kv.delete(_lease(process_id))
        finally:
            if lock is not None:
                _unlink(Path(lock.lock_file))
                lock.release()

    def _hold(self, process_id: str) -> None:
        path = self._path(process_id)
        if path is None:
            return
        try:
            make_folder(path.parent)
            self._lock = _file_lock(path)
            self._lock.acquire()
            self._remove_stale(path)
        except OSError as error:
            raise unusable(path, error) from None

    def _remove_stale(self, own: Path) -> None:
        """Remove what killed processes left; a young file may belong to one that is about to lock it."""
        now = own.stat().st_mtime
        for path in own.parent.glob("*.lock"):
            with suppress(OSError):
                if now - path.stat().st_mtime > _SURELY_ANNOUNCED_SECONDS:
                    with _tried(path) as is_free:
                        if is_free:
                            _unlink(path)

    def _path(self, process_id: str) -> Path | None:
        return self._folder / f"{process_id}.lock" if self._folder is not None and process_id.isalnum() else None


def _lease(process_id: str) -> str:
    return f"process:{process_id}"


def _file_lock(path: Path) -> BaseFileLock:
    from filelock import FileLock

    return FileLock(path, timeout=0, mode=PRIVATE_FILE, thread_local=False)


@contextmanager
def _tried(path: Path) -> Iterator[bool]:
    """Whether nobody holds the lock; inside the block, we do if so. What cannot be tried counts as held."""
    from filelock import Timeout

    lock = _file_lock(path)
    try:
        lock.acquire()
    except (Timeout, OSError):
        yield False
        return
    try:
        yield True
    finally:
        lock.release()


def _unlink(path: Path) -> None:
    """Windows does not remove a file that is open; there it stays, unlocked, until the next look."""
    with suppress(OSError):
        path.unlink(missing_ok=True)
