"""What could not be booked while the store was away, on this machine's disk: booked later, and once.

A file `{process}.jsonl` in the folder, locked for as long as its process lives; one row for each line:

    {"calls": [...], "number": n, "records": [day, month, holds]}     calls that have ended
    {"hold": {...}, "number": n, "records": [day, month, holds]}      one under way that the store knows nothing of

The store keeps with each caller's holds the highest number that a process has written there (`store/holds.py`), so that
nobody books a row again, whatever died between writing to the store and removing the file.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from chomp_mcp import wire
from chomp_mcp.frozen import struct
from chomp_mcp.messages import Usage
from chomp_mcp.store.holds import Hold
from chomp_mcp.store.kv.files import PRIVATE_FILE, lock_of, make_folder, tried
from chomp_mcp.store.spend import Names
from chomp_mcp.store.tally import Settled


@struct(frozen=True, slots=True)
class Row:
    """Calls of one caller that have ended and are written in one step, or one that is under way."""

    names: Names
    number: int
    """Of this step, among those of its process."""
    calls: Sequence[Settled] = ()
    hold: Hold | None = None

    @property
    def cost_nano(self) -> int:
        return sum(call.cost_nano or 0 for call in self.calls)


class Journal:
    """The file of one process, made when there is something to write."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._name = ""
        self._lock: Any = None
        self.rows = 0

    def add(self, process: str, rows: Sequence[Row]) -> None:
        """On disk when it returns (`OSError`)."""
        make_folder(self._folder)
        if not self._name:
            self._lock = lock_of(self._folder / f"{process}.lock")
            self._lock.acquire()
            self._name = process
        descriptor = os.open(self._folder / f"{process}.jsonl", os.O_CREAT | os.O_APPEND | os.O_WRONLY, PRIVATE_FILE)
        with os.fdopen(descriptor, "ab") as file:
            for row in rows:
                line: dict[str, Any] = {"number": row.number, "records": row.names}
                if row.hold:
                    line["hold"] = _hold(row.hold)
                else:
                    line["calls"] = [
                        {
                            "hold": _hold(call.hold) if call.hold else None,
                            "cost_nano": call.cost_nano,
                            "router": call.router,
                            "input_tokens": call.usage.input_tokens,
                            "output_tokens": call.usage.output_tokens,
                            "estimated": call.usage.estimated,
                        }
                        for call in row.calls
                    ]
                file.write(wire.dumps(line) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        self.rows += len(rows)

    def clear(self) -> None:
        """All of it is in the store (`OSError`)."""
        if self.rows:
            (self._folder / f"{self._name}.jsonl").unlink(missing_ok=True)
            self.rows = 0

    def release(self) -> None:
        """The process ends: what is left is for the next one."""
        if self._lock is not None:
            if not self.rows:
                Path(self._lock.lock_file).unlink(missing_ok=True)
            self._lock.release()

    @property
    def has_orphans(self) -> bool:
        return self._folder.is_dir() and any(self._folder.glob("*.jsonl"))

    @contextmanager
    def orphan(self) -> Iterator[tuple[str, list[Row]] | None]:
        """A dead process and its rows, nobody else's inside the block and gone after it; None: there is none."""
        for path in sorted(self._folder.glob("*.jsonl")):
            with tried(path.with_suffix(".lock")) as is_ours:
                if not is_ours:
                    continue  # it lives, or another one has it
                try:
                    if path.exists():
                        rows = []
                        for line in path.read_bytes().split(b"\n"):
                            # A last line that was cut by a kill was never told to be there.
                            with suppress(ValueError, KeyError, TypeError):
                                rows.append(_read(wire.loads(line)))
                        yield path.stem, rows
                        path.unlink()
                        return
                finally:
                    # While we hold it: unlinked later, it might be another's, and a third one would make it anew.
                    path.with_suffix(".lock").unlink(missing_ok=True)
        yield None


def _hold(hold: Hold) -> Mapping[str, Any]:
    return {"id": hold.id, "caller": hold.caller_id, "nano_usd": hold.nano_usd, "likely_nano": hold.likely_nano}


def _read(row: Mapping[str, Any]) -> Row:
    day, month, holds = row["records"]
    calls = [
        Settled(
            _held(call["hold"]),
            call["cost_nano"],
            Usage(int(call["input_tokens"]), int(call["output_tokens"]), estimated=bool(call["estimated"])),
            str(call["router"]),
        )
        for call in row.get("calls", ())
    ]
    return Row((str(day), str(month), str(holds)), int(row["number"]), calls, _held(row.get("hold")))


def _held(hold: Mapping[str, Any] | None) -> Hold | None:
    if hold is None:
        return None
    return Hold(str(hold["id"]), str(hold["caller"]), int(hold["nano_usd"]), int(hold["likely_nano"]))
