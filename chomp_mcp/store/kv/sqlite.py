"""One SQLite file shared by every process of the machine: jobs, spend, health, model lists."""

from __future__ import annotations

import asyncio
import builtins
import logging
import math
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import TypeVar, TypeVarTuple

import anyio
import anyio.to_thread

from chomp_mcp.errors import StoreError
from chomp_mcp.store.kv.codec import decode, encode
from chomp_mcp.store.kv.files import NO_ACCESS, NO_ROOM, touch, unusable
from chomp_mcp.store.kv.finish import finished
from chomp_mcp.store.kv.protocol import Change, Entry, Value
from chomp_mcp.store.kv.turn import turns

T = TypeVar("T")
Ts = TypeVarTuple("Ts")
Row = tuple[bytes, float | None]
"""A value as it is stored, and its end."""

_log = logging.getLogger("chomp_mcp.store")

_PATIENCE_SECONDS = 10.0
_PAUSE_SECONDS = 5.0
"""After a lock that did not end within that, for how long nobody waits for it again."""
_LOOK_SECONDS = 1.0
"""How often the file is looked for where it should be."""
_LONG_SECONDS = 30 * 86_400.0
_ROUNDED_SECONDS = 3600.0
"""What is kept for months is kept for up to an hour more: so most writes do not move its end, which is in an index."""
_WRITES_BETWEEN_TIDYING = 500
_ROWS_SWEPT_AT_ONCE = 2_000
_EVERYTHING = -1
_MOST_ROWS = 4_096
_MOST_BYTES = 4_096
"""Of a row that is remembered: tallies and breakers are small, and all rows together stay below 16 MB."""

_CREATE = (
    "CREATE TABLE IF NOT EXISTS kv (key TEXT PRIMARY KEY NOT NULL, value BLOB NOT NULL, expires_at REAL)",
    "CREATE INDEX IF NOT EXISTS kv_expiry ON kv (expires_at) WHERE expires_at IS NOT NULL",
)
_LIVE = "(expires_at IS NULL OR expires_at > ?)"
_GET = "SELECT value, expires_at FROM kv WHERE key = ?"
_PUT = (
    "INSERT INTO kv (key, value, expires_at) VALUES (?, ?, ?)"
    " ON CONFLICT (key) DO UPDATE SET value = excluded.value, expires_at = excluded.expires_at"
)
_SET = "UPDATE kv SET value = ? WHERE key = ?"
_DELETE = f"DELETE FROM kv WHERE key = ? AND {_LIVE}"  # noqa: S608 - constants only
# The end of a prefix's range: 0xff sorts after every byte of UTF-8.
_LIST = (
    "SELECT key, value FROM kv WHERE key >= ? AND key < CAST(? AS TEXT)"  # noqa: S608 - constants only
    f" AND {_LIVE} ORDER BY key {{order}} LIMIT ?"
)
_SWEEP = (
    "DELETE FROM kv WHERE rowid IN"
    " (SELECT rowid FROM kv WHERE expires_at IS NOT NULL AND expires_at <= ? ORDER BY expires_at LIMIT ?)"
)

_DAMAGED = "Let `chomp-mcp doctor --repair` move it away: a new one is made, and the keys in keys.json stay."
_HINTS: Mapping[int, str] = {
    sqlite3.SQLITE_ERROR: _DAMAGED,  # our statements are constant: it is the table that is another
    sqlite3.SQLITE_MISMATCH: _DAMAGED,
    sqlite3.SQLITE_NOTADB: _DAMAGED,
    sqlite3.SQLITE_CORRUPT: _DAMAGED,
    sqlite3.SQLITE_READONLY: NO_ACCESS,
    sqlite3.SQLITE_CANTOPEN: NO_ACCESS,
    sqlite3.SQLITE_PERM: NO_ACCESS,
    sqlite3.SQLITE_FULL: NO_ROOM,
    sqlite3.SQLITE_IOERR: f"{NO_ROOM} If there is room, look after the disk, and run `chomp-mcp doctor --repair`.",
    sqlite3.SQLITE_BUSY: "Another process holds it: try again, or end the other chomp-mcp processes.",
}


class Sqlite:
    """A `KV` for one event loop, on a file that many processes share.

    Reads and writes run where they are called, in microseconds, on a connection that never waits. Only when another
    process holds the lock does the same work go to a thread, on a second connection that waits up to ten seconds. The
    file is opened on first use, and again where it was deleted or replaced under us. WAL with synchronous=NORMAL: what
    was written survives `kill -9`; the last moments before a power cut may be lost, never the file.
    """

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.time) -> None:
        self._path = path
        self._clock = clock
        self._quick: sqlite3.Connection | None = None
        self._patient: sqlite3.Connection | None = None
        self._one_waits = anyio.CapacityLimiter(1)
        self._one_thread = threading.Lock()
        self._rows = _Rows()
        self._writes = 0
        self._tidying: asyncio.Future[None] | None = None
        self._inode: tuple[int, int] | None = None
        self._left: builtins.list[sqlite3.Connection] = []
        """To a file that is not at its place any more."""
        self._looked_at = 0.0
        self._impatient_until = 0.0

    async def get(self, key: str) -> Value | None:
        return (await self.get_many((key,)))[0]

    async def get_many(self, keys: Sequence[str]) -> builtins.list[Value | None]:
        rows = self._rows.known(keys)
        if rows is None:
            rows = await self._run(self._read, keys)
        return self._live(keys, rows) if any(rows) else [None] * len(rows)

    async def put(self, key: str, value: Value, *, expires_in: float | None = None) -> None:
        await self._run(self._store, key, (encode(value), _end(self._clock(), expires_in)))
        self._wrote()

    async def delete(self, key: str) -> bool:
        deleted = await self._run(self._drop, key, self._clock())
        self._wrote()
        return deleted > 0

    async def list(self, prefix: str, *, limit: int | None = None, newest_first: bool = False) -> builtins.list[Entry]:
        sql = _LIST.format(order="DESC" if newest_first else "ASC")
        end = prefix.encode() + b"\xff"
        values = (prefix, end, self._clock(), _EVERYTHING if limit is None else limit)
        rows = await self._run(lambda connection: connection.execute(sql, values).fetchall())
        return [Entry(key, decode(value, self._path, key)) for key, value in rows]

    async def update(self, keys: Sequence[str], change: Change) -> None:
        await self._run(self._update, keys, change)
        self._wrote()

    async def close(self) -> None:
        quick, patient = self._quick, self._patient
        self._quick = self._patient = None
        self._rows = _Rows()
        if quick is None or patient is None:
            return
        quick.close()
        self._tidy()
        with self._one_thread:
            patient.close()

    async def _run(self, work: Callable[[sqlite3.Connection, *Ts], T], *arguments: *Ts) -> T:
        try:
            if self._quick is not None and time.monotonic() - self._looked_at > _LOOK_SECONDS:
                self._look()
            if self._quick is not None:
                try:
                    return work(self._quick, *arguments)
                except sqlite3.OperationalError as error:
                    if not _is_busy(error) or time.monotonic() < self._impatient_until:
                        raise
            # In a thread, one at a time; the first call opens the file.
            patiently = anyio.to_thread.run_sync(self._work_patiently, work, *arguments, limiter=self._one_waits)
            return await finished(patiently)
        except sqlite3.Error as error:
            hint = _HINTS.get(_code(error), "Try again.") if _are_files(self._path) else _DAMAGED
            raise StoreError(f"{self._path} cannot be used: {error}.", hint=hint) from None

    def _work_patiently(self, work: Callable[[sqlite3.Connection, *Ts], T], *arguments: *Ts) -> T:
        # The limiter is given back when an event loop ends before its thread does, hence the lock.
        with self._one_thread:
            connection = self._open()
            is_impatient = time.monotonic() < self._impatient_until
            connection.execute(f"PRAGMA busy_timeout = {0 if is_impatient else int(_PATIENCE_SECONDS * 1000)}")
            try:
                return work(connection, *arguments)
            except sqlite3.OperationalError as error:
                if _is_busy(error) and not is_impatient:
                    self._impatient_until = time.monotonic() + _PAUSE_SECONDS
                raise

    def _look(self) -> None:
        """Whether the file is still the one that is open: a home may be deleted, or mended, while somebody uses it."""
        self._looked_at = time.monotonic()
        with suppress(OSError):
            if _inode(self._path) == self._inode:
                return
        _log.warning("%s was deleted or replaced while it was open: what is there now is used from here on", self._path)
        self._rows = _Rows()
        # A thread may be at work on the patient one; the next that comes closes it. SQLite leaves the new file's log
        # alone then (`databaseIsUnmoved` in its pager).
        self._left += [each for each in (self._quick, self._patient) if each is not None]
        self._quick = self._patient = None

    def _open(self) -> sqlite3.Connection:
        while self._left:
            self._left.pop().close()
        if self._patient is None:
            try:
                if _are_files(self._path):
                    touch(self._path)
            except OSError as error:
                raise unusable(self._path, error) from None
            if not _are_files(self._path):  # a pipe would be waited for, a device read without end
                raise StoreError(f"{self._path} cannot be used: it is no file.", hint=_DAMAGED)
            self._patient = _connect(self._path, _PATIENCE_SECONDS)
            self._quick = _connect(self._path, 0.0)
            self._inode, self._looked_at = _inode(self._path), time.monotonic()
        return self._patient

    def _update(self, connection: sqlite3.Connection, keys: Sequence[str], change: Change) -> None:
        # Locked before the first look: of two that had both read, the second could not write any more.
        connection.execute("BEGIN IMMEDIATE")
        try:
            old = self._read(connection, keys)
            now = self._clock()
            for key, before, write in zip(keys, old, change(self._live(keys, old)), strict=True):
                if write is None:
                    continue
                if write.value is None:
                    connection.execute("DELETE FROM kv WHERE key = ?", (key,))
                    self._remember(connection, key, None)
                    continue
                row = encode(write.value), _end(now, write.expires_in)
                if before is not None and before[1] == row[1]:  # half the work: the index of ends stays as it is
                    connection.execute(_SET, (row[0], key))
                else:
                    connection.execute(_PUT, (key, *row))
                self._remember(connection, key, row)
            connection.execute("COMMIT")
        except BaseException:
            self._rows.clear()
            # A full disk rolls back by itself.
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise

    def _read(self, connection: sqlite3.Connection, keys: Sequence[str]) -> builtins.list[Row | None]:
        """What the file holds; from memory on the quick connection, as long as nobody else wrote."""
        if connection is not self._quick:
            return [_select(connection, key) for key in keys]
        rows = self._rows
        rows.check(connection)
        return [rows[k] if k in rows else self._remember(connection, k, _select(connection, k)) for k in keys]

    def _live(self, keys: Sequence[str], rows: Sequence[Row | None]) -> builtins.list[Value | None]:
        now = self._clock()
        return [
            decode(row[0], self._path, key) if row is not None and (row[1] is None or row[1] > now) else None
            for key, row in zip(keys, rows, strict=True)
        ]

    def _store(self, connection: sqlite3.Connection, key: str, row: Row) -> None:
        connection.execute(_PUT, (key, *row))
        self._remember(connection, key, row)

    def _drop(self, connection: sqlite3.Connection, key: str, now: float) -> int:
        """The number of live rows deleted."""
        deleted = connection.execute(_DELETE, (key, now)).rowcount
        self._remember(connection, key, None)
        return deleted

    def _remember(self, connection: sqlite3.Connection, key: str, row: Row | None) -> Row | None:
        """The row; our own writes are remembered, those of the patient connection count as somebody else's."""
        if connection is self._quick:
            if row is None or len(row[0]) <= _MOST_BYTES:
                self._rows[key] = row
            else:
                self._rows.pop(key, None)
        return row

    def _wrote(self) -> None:
        """Others of this process are to see it at once. Now and then, tidy up in a thread that nobody waits for."""
        turns.end()
        self._writes += 1
        if self._writes % _WRITES_BETWEEN_TIDYING == 0 and (self._tidying is None or self._tidying.done()):
            self._tidying = asyncio.get_running_loop().run_in_executor(None, self._tidy)

    def _tidy(self) -> None:
        """Forget what expired, and copy the log into the file, off the event loop, because that waits for the disk.

        What was to be written is written: tidying may fail, and comes again.
        """
        with suppress(sqlite3.Error), closing(_connect(self._path, _PATIENCE_SECONDS)) as connection:
            connection.execute(_SWEEP, (self._clock(), _ROWS_SWEPT_AT_ONCE))
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()


def _end(now: float, expires_in: float | None) -> float | None:
    if expires_in is None:
        return None
    end = now + expires_in
    return end if expires_in < _LONG_SECONDS else math.ceil(end / _ROUNDED_SECONDS) * _ROUNDED_SECONDS


FILES = ("", "-wal", "-shm")
"""What SQLite keeps, by the end of its name."""


def is_damaged(path: Path) -> bool:
    """No process can use what lies there, and moving it away would help: it is no file, no database, or not ours.

    One that is locked, full or forbidden is not damaged.
    """
    if not _are_files(path):
        return True
    if not path.exists():
        return False
    try:
        with closing(_connect(path, 1.0)) as connection:
            if connection.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
                return True
            connection.execute("BEGIN IMMEDIATE")
            connection.execute(_PUT, ("", b"", 0.0))
            connection.execute("ROLLBACK")
    except sqlite3.DatabaseError as error:
        return _HINTS.get(_code(error)) == _DAMAGED
    return False


def _are_files(path: Path) -> bool:
    """Those of them that are there; a link that leads nowhere is none."""
    places = [f"{path}{end}" for end in FILES]
    return all(os.path.isfile(place) for place in places if os.path.lexists(place))  # noqa: PTH113 - six system calls


def _inode(path: Path) -> tuple[int, int]:
    found = os.stat(path)  # noqa: PTH116 - half the time of Path.stat
    return found.st_dev, found.st_ino


def _connect(path: Path, patience: float) -> sqlite3.Connection:
    # Each connection is used by one thread at a time: the quick one by the loop's, the patient one under the lock.
    # A file that is gone is not made anew here, where it would be readable by others.
    place = f"{path.absolute().as_uri()}?mode=rw"
    connection = sqlite3.connect(place, uri=True, timeout=patience, isolation_level=None, check_same_thread=False)
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL").fetchall()
            connection.execute("PRAGMA synchronous = NORMAL")
            # A back-stop only: tidying checkpoints earlier, off the event loop.
            connection.execute("PRAGMA wal_autocheckpoint = 8000")
            for sql in _CREATE:
                connection.execute(sql)
        except BaseException as error:
            # SQLite does not wait for the lock of the switch to WAL itself, so ask again.
            if not (isinstance(error, sqlite3.OperationalError) and _is_busy(error)) or time.monotonic() > deadline:
                connection.close()
                raise
            time.sleep(0.01)
        else:
            return connection


def _is_busy(error: sqlite3.OperationalError) -> bool:
    return _code(error) in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}


def _code(error: sqlite3.Error) -> int:
    """The primary result code; 0 for what the module itself raised."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def _select(connection: sqlite3.Connection, key: str) -> Row | None:
    row: Row | None = connection.execute(_GET, (key,)).fetchone()
    return row


class _Rows(dict[str, Row | None]):
    """Rows read or written on the quick connection, until another connection writes to the file.

    `PRAGMA data_version` tells (https://www.sqlite.org/pragma.html#pragma_data_version) in a third of the time of a
    look-up, once for all the keys that are read together.
    """

    def __init__(self) -> None:
        super().__init__()
        self._version = -1
        self._turn = -1

    def known(self, keys: Sequence[str]) -> list[Row | None] | None:
        """These rows, without asking again what was asked in this turn of the event loop; None: the file has to say."""
        if self._turn != turns.now():
            return None
        try:
            return [self[key] for key in keys]
        except KeyError:
            return None

    def check(self, connection: sqlite3.Connection) -> None:
        """Forget everything if anybody else has written since the last check."""
        version = connection.execute("PRAGMA data_version").fetchone()[0]
        if version != self._version or len(self) > _MOST_ROWS:
            self.clear()
            self._version = version
        self._turn = turns.now()
