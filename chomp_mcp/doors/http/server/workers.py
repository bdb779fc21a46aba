"""`serve --workers N`: the parent that starts the processes of one port, replaces what dies, and stops them all."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, MutableSequence, Sequence
from contextlib import contextmanager
from functools import partial
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from tempfile import TemporaryDirectory

__all__ = ["IS_FORKING", "Share", "is_orphan", "supervise"]

LOOK_SECONDS = 0.25
"""How often the parent looks around by itself; the end of a worker wakes it at once."""
PAUSES = (0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
"""Seconds before a worker that ended is replaced: at once, and later each time while its successors die young."""
STEADY_SECONDS = 60.0
"""A worker that lived so long has got over what its predecessors died of."""

IS_FORKING = sys.platform == "linux"
"""A fork shares what is imported, in memory and in time. On macOS a forked process must not look up proxies or
certificates (https://github.com/python/cpython/issues/77906), so there the modules are loaded anew."""

CONTEXT = multiprocessing.get_context("fork") if IS_FORKING else multiprocessing.get_context("spawn")

_log = logging.getLogger("chomp_mcp.workers")


class Share:
    """One worker's part of the connections, which the others can see."""

    def __init__(self, counts: MutableSequence[int], place: int) -> None:
        self._counts = counts
        self._place = place

    def tell(self, connections: int) -> None:
        self._counts[self._place] = connections

    @property
    def is_ahead(self) -> bool:
        """Another worker has fewer."""
        return self._counts[self._place] > min(self._counts)


def supervise(
    count: int, work: Callable[[Share], None], *, before_stop: Callable[[], None], stop_seconds: float
) -> None:
    """Have `work` done by `count` processes until SIGTERM or SIGINT; return when they have ended.

    `work` must end by itself, in good order, on SIGTERM and when it `is_orphan`; after `stop_seconds` it is killed.
    `before_stop` lets go of what the parent holds for workers to come.
    """
    with _metrics_folder(), _stop_signals() as is_stopping:
        counts: MutableSequence[int] = CONTEXT.RawArray("i", count)
        workers = [_Worker(place + 1, partial(work, Share(counts, place))) for place in range(count)]
        try:
            while not is_stopping():
                for worker in workers:
                    worker.tend()
                wait([worker.process.sentinel for worker in workers if worker.process], LOOK_SECONDS)
        finally:
            before_stop()
            _stop([worker.process for worker in workers if worker.process], stop_seconds)


def is_orphan() -> bool:
    """Whether this process is a worker whose parent is gone: nobody would stop it any more."""
    parent = multiprocessing.parent_process()
    return parent is not None and os.getppid() != parent.pid


class _Worker:
    """A place that is filled by one process after the other."""

    def __init__(self, number: int, work: Callable[[], None]) -> None:
        self.process: BaseProcess | None = None
        self._number = number
        self._work = work
        self._started_at = 0.0
        self._due_at = 0.0
        self._deaths = 0

    def tend(self) -> None:
        """Notice that the process has ended; start the next when it is due."""
        now = time.monotonic()
        if self.process is not None and not self.process.is_alive():
            self._buried(self.process, now)
        if self.process is None and now >= self._due_at:
            self.process = CONTEXT.Process(target=self._work, name=f"chomp-mcp worker {self._number}")
            self.process.start()
            self._started_at = now

    def _buried(self, process: BaseProcess, now: float) -> None:
        self._deaths = 1 if now - self._started_at >= STEADY_SECONDS else self._deaths + 1
        pause = PAUSES[min(self._deaths, len(PAUSES)) - 1]
        self._due_at = now + pause
        self.process = None
        _log.error("worker %d ended with code %s; another starts in %g s", self._number, process.exitcode, pause)
        process.close()


def _stop(processes: Sequence[BaseProcess], seconds: float) -> None:
    """SIGTERM again and again, because one that is just starting does not listen yet; in the end SIGKILL."""
    until = time.monotonic() + seconds
    while (alive := [process for process in processes if process.is_alive()]) and time.monotonic() < until:
        for process in alive:
            process.terminate()
        wait([process.sentinel for process in alive], LOOK_SECONDS)
    for process in alive:
        process.kill()
        process.join()


@contextmanager
def _stop_signals() -> Iterator[Callable[[], bool]]:
    """Whether SIGTERM or SIGINT has come, for as long as the block lasts."""
    seen: list[int] = []
    before = {each: signal.signal(each, lambda number, _frame: seen.append(number)) for each in _SIGNALS}
    try:
        yield lambda: bool(seen)
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


_SIGNALS = (signal.SIGTERM, signal.SIGINT)


@contextmanager
def _metrics_folder() -> Iterator[None]:
    """Where the workers keep their counters, so that each of them can show the sum: telemetry/metrics.py."""
    with TemporaryDirectory(prefix="chomp-mcp-metrics-") as folder:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
        try:
            yield
        finally:
            del os.environ["PROMETHEUS_MULTIPROC_DIR"]
