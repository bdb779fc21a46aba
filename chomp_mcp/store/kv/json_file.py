"""One JSON document on disk: the key store."""

from __future__ import annotations

import builtins
import json
import os
import stat
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread

from chomp_mcp.errors import StoreError
from chomp_mcp.store.kv.files import PRIVATE_FILE, make_folder, replace_file, unusable
from chomp_mcp.store.kv.finish import finished
from chomp_mcp.store.kv.protocol import Change, Entry, Value, Write
from chomp_mcp.store.kv.turn import turns

_EXPIRES = "_expires"
"""The reserved entry `{key: epoch seconds}`, so that values without an end keep the plain shape `{key: value}`."""
_PATIENCE_SECONDS = 10.0
_POLL_SECONDS = 0.005
_AT_ONCE = getattr(os, "O_NONBLOCK", 0)
_TOO_DEEP = "it is nested too deeply"
_Signature = tuple[int, int, int]


@dataclass(slots=True)
class _Document:
    values: dict[str, Value] = field(default_factory=dict)
    ends: dict[str, float] = field(default_factory=dict)

    def live(self, key: str, now: float) -> Value | None:
        end = self.ends.get(key)
        return None if end is not None and end <= now else self.values.get(key)

    def write(self, key: str, write: Write, now: float) -> None:
        self.values.pop(key, None)
        self.ends.pop(key, None)
        if write.value is not None:
            self.values[key] = write.value
            if write.expires_in is not None:
                self.ends[key] = now + write.expires_in

    def sweep(self, now: float) -> None:
        for key in [key for key, end in self.ends.items() if end <= now]:
            self.values.pop(key, None)
            del self.ends[key]

    def text(self) -> str:
        document: dict[str, Any] = {**self.values, **({_EXPIRES: self.ends} if self.ends else {})}
        return json.dumps(document, indent=2) + "\n"


class JsonFile:
    """A `KV` in one readable file, 0600 in a 0700 folder, shared by the processes of this machine.

    Reads look at the file's state, once in a turn of the event loop, and parse it only when it changed. A write holds
    `<file>.lock`, starts from what is on disk, and replaces the file in one step: whoever is killed in between leaves
    the old document. Files and folders are born with the first write.
    """

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.time) -> None:
        self._path = path
        self._place = os.fspath(path)
        self._clock = clock
        self._document = _Document()
        self._signature: _Signature | None = None
        self._turn: int | None = None
        self._one_writes = anyio.CapacityLimiter(1)

    async def get(self, key: str) -> Value | None:
        return self._current().live(key, self._clock())

    async def get_many(self, keys: Sequence[str]) -> builtins.list[Value | None]:
        document, now = self._current(), self._clock()
        return [document.live(key, now) for key in keys]

    async def put(self, key: str, value: Value, *, expires_in: float | None = None) -> None:
        await self.update([key], lambda _: [Write(value, expires_in)])

    async def delete(self, key: str) -> bool:
        found = False

        def remove(old: Sequence[Value | None]) -> Sequence[Write | None]:
            nonlocal found
            found = old[0] is not None
            return [Write(None) if found else None]

        await self.update([key], remove)
        return found

    async def list(self, prefix: str, *, limit: int | None = None, newest_first: bool = False) -> builtins.list[Entry]:
        document, now = self._current(), self._clock()
        keys = sorted((key for key in document.values if key.startswith(prefix)), reverse=newest_first)
        live = ((key, document.live(key, now)) for key in keys)
        return [Entry(key, value) for key, value in live if value is not None][:limit]

    async def update(self, keys: Sequence[str], change: Change) -> None:
        # They come one after the other in any case: on a slow disk they would hold all threads that others need, too.
        await finished(anyio.to_thread.run_sync(self._update, keys, change, limiter=self._one_writes))

    async def close(self) -> None:
        """Nothing stays open."""

    def _current(self) -> _Document:
        if self._turn != (turn := turns.now()):
            try:
                if self._signature != _signature(os.stat(self._place)):  # noqa: PTH116 - half the time of Path.stat
                    self._document, self._signature = self._load()
            except (FileNotFoundError, NotADirectoryError):
                if self._signature is not None:
                    self._document, self._signature = _Document(), None
            except OSError as error:
                raise unusable(self._path, error) from None
            self._turn = turn
        return self._document

    def _load(self) -> tuple[_Document, _Signature]:
        # To open a pipe waits for whoever writes into it, and everybody here with it.
        with open(self._path, "rb", opener=lambda path, flags: os.open(path, flags | _AT_ONCE)) as file:
            # Taken first: whoever edits the file in place after this moment changes the signature again.
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode):
                raise self._damaged("it is no file")
            signature = _signature(found)
            data = file.read()
        try:
            values = json.loads(data.decode("utf-8-sig"))  # Notepad begins with a byte order mark
        except ValueError as error:
            raise self._damaged(f"it is not JSON ({error})") from None
        except RecursionError:
            raise self._damaged(_TOO_DEEP) from None
        if not isinstance(values, dict):
            raise self._damaged("it is not a JSON object")
        ends = values.pop(_EXPIRES, {})
        if not all(isinstance(value, dict) for value in (ends, *values.values())):
            raise self._damaged("an entry is not a JSON object")
        try:
            return _Document(values, {key: float(end) for key, end in ends.items()}), signature
        except (TypeError, ValueError, OverflowError):
            raise self._damaged(f"{_EXPIRES} holds something that is not a time") from None

    def _damaged(self, reason: str) -> StoreError:
        why = f"{self._path} is damaged: {reason}. Nothing was overwritten."
        return StoreError(why, hint="Mend it by hand, or move it away and register the keys again.")

    def _update(self, keys: Sequence[str], change: Change) -> None:
        from filelock import FileLock, Timeout

        # A link to a file elsewhere (dotfiles) stays a link.
        target = Path(os.path.realpath(self._path))
        try:
            make_folder(target.parent)
            with FileLock(f"{target}.lock", timeout=_PATIENCE_SECONDS, mode=PRIVATE_FILE, poll_interval=_POLL_SECONDS):
                document = self._load()[0] if target.exists() else _Document()
                now = self._clock()
                writes = change([document.live(key, now) for key in keys])
                wanted = [(key, write) for key, write in zip(keys, writes, strict=True) if write is not None]
                if not wanted:
                    return
                for key, write in wanted:
                    document.write(key, write, now)
                document.sweep(now)
                # Only the holder of the lock comes here, so one name beside it serves all and is left by nobody.
                replace_file(target, document.text().encode())
        except RecursionError:
            raise self._damaged(_TOO_DEEP) from None
        except Timeout:
            why = f"{self._path} is held by another process for {_PATIENCE_SECONDS:.0f} seconds."
            raise StoreError(why, hint="Try again; if it stays so, end the other chomp-mcp processes.") from None
        except OSError as error:
            raise unusable(self._path, error) from None


def _signature(state: os.stat_result) -> _Signature:
    return state.st_mtime_ns, state.st_size, state.st_ino
