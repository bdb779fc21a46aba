"""What other processes do, as far as the system tells."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

__all__ = ["job_processes", "unsent_bytes", "until"]


def job_processes(home: Path) -> list[str]:
    """The processes of this home that run dispatched jobs, by their ids; Linux alone tells."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            ours = str(home).encode() in (folder / "environ").read_bytes()
            if ours and b"run-job" in (folder / "cmdline").read_bytes():
                found.append(folder.name)
    return found


def unsent_bytes(port: int) -> int:
    """What the system holds of this server's answers, for clients that have not read it; Linux alone tells."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(int(row[4].partition(":")[0], 16) for row in rows if int(row[1].rpartition(":")[2], 16) == port)


def until(is_so: Callable[[], bool]) -> None:
    """Of other processes, which tell us nothing."""
    ends_at = time.monotonic() + 30
    while not is_so():
        assert time.monotonic() < ends_at
        time.sleep(0.05)
