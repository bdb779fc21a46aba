"""docket as a queue of names: each is delivered to one process, and to another one when that is gone.

The one file that knows docket (https://docket.lol). Of it, this takes the stream with its consumer group, the leases on
what was delivered, and the redelivery of what nobody renews.
"""

from __future__ import annotations

import asyncio
import logging
import pickle
import re
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeVar

import anyio
import docket.worker
from docket import Docket, Execution, StrikeList, TaskKey, Worker
from key_value.aio.stores.memory import MemoryStore
from redis.exceptions import NoPermissionError, RedisError

from chomp_mcp.errors import StoreAway
from chomp_mcp.store.kv.redis_url import place_of, without_secrets

T = TypeVar("T")

_log = logging.getLogger("chomp_mcp.jobs")

NAME: Final = "chomp:jobs"
TASK: Final = "run_job"
MOST_AT_ONCE: Final = 100
"""Of one process: what they do is to wait for routers."""
PATIENCE_SECONDS: Final = 3.0
AGAIN_SECONDS: Final = 0.1
BACK_SECONDS: Final = 1.0
"""After a Redis that was away."""

_NOTHING: Final = {b"args": pickle.dumps(()), b"kwargs": pickle.dumps({})}


class _Docket(Docket):
    """Ours has neither arguments nor strikes: docket pickles both, and unpickling runs what the pickle says.

    Whoever may write to the Redis must not thereby run code in the replicas, which hold the master key.
    """

    @property
    def strike_list(self) -> StrikeList:  # docket sets it when it is opened
        return self._no_strikes

    @strike_list.setter
    def strike_list(self, _: StrikeList) -> None:
        self._no_strikes = StrikeList()


class _Execution(Execution):
    """What comes from the stream; other users of docket in this process are left alone."""

    @classmethod
    async def from_message(cls, docket: Docket, message: Any, *args: Any, **more: Any) -> Any:
        ours = {**message, **_NOTHING} if isinstance(docket, _Docket) else message
        return await super().from_message(docket, ours, *args, **more)


docket.worker.Execution = _Execution  # type: ignore[attr-defined]  # the worker has no other place to say it


def _is_not_ours(record: logging.LogRecord) -> bool:
    """It warns with tracebacks, again and again; what it says of our queue is told in a line, once in a while."""
    if record.__dict__.get("docket.name", NAME) != NAME:  # a Redis that is away it reports without a name
        return True
    if record.levelno >= logging.WARNING:
        error = sys.exc_info()[1]
        line = f"{record.getMessage()} {error or ''}".strip()
        kind = re.sub(r"\d+", "0", line)  # a heartbeat that is refused names its time
        if time.monotonic() - _told.get(kind, -SILENT_SECONDS) >= SILENT_SECONDS:
            _told[kind] = time.monotonic()
            level = logging.ERROR if isinstance(error, NoPermissionError) else logging.WARNING
            _log.log(level, "the queue of jobs: %s", line)
    return False


SILENT_SECONDS: Final = 60.0
_told: Final[dict[str, float]] = {}

logging.getLogger("docket.worker").addFilter(_is_not_ours)


class Queue:
    """Names in line, for all processes on the same Redis; `deliver` sees to one of them until it is done with."""

    def __init__(self, url: str, deliver: Callable[[str], Awaitable[None]], *, silence_seconds: float) -> None:
        """`silence_seconds`: what was delivered is delivered to another one soon after half of that without a sign."""
        self._deliver = deliver
        self._silence = timedelta(seconds=silence_seconds / 2)
        self._docket = _Docket(
            name=NAME,
            url=url,
            execution_ttl=timedelta(0),
            result_storage=MemoryStore(),
            heartbeat_interval=timedelta(seconds=1),
        )
        self._docket.tasks.clear()
        self._docket.register(self._run, names=[TASK])
        self._opening = anyio.Lock()
        self._stack: AsyncExitStack | None = None
        self._worker: Worker | None = None
        self._working: asyncio.Task[None] | None = None
        self._is_leaving = False

    async def add(self, name: str) -> None:
        """Put it in line; nothing changes where it is there already, or being seen to."""
        await self._asked(self._docket.add(TASK, key=name))

    async def add_again(self, name: str) -> None:
        """Put it in line, in place of the delivery that this process had."""
        await self._asked(self._docket.replace(TASK, datetime.now(UTC), name))

    async def add_later(self, name: str, seconds: float) -> None:
        """The same, but not before so many seconds."""
        await self._asked(self._docket.replace(TASK, datetime.now(UTC) + timedelta(seconds=seconds), name))

    async def has_workers(self) -> bool:
        return bool(await self._asked(self._docket.workers))

    def start(self) -> None:
        """Take deliveries from now on."""
        if self._working is None and not self._is_leaving:
            self._working = asyncio.create_task(self._work())

    async def stop(self) -> None:
        """Take none any more; those that are not done with are delivered again, to others."""
        self._is_leaving = True
        while self._working is not None and not self._working.done():
            # Again and again: redis-py loses a cancellation now and then, and docket goes on.
            self._working.cancel()
            await asyncio.wait([self._working], timeout=AGAIN_SECONDS)

    async def close(self) -> None:
        await self.stop()
        if self._stack is not None:
            with anyio.move_on_after(PATIENCE_SECONDS):
                await self._stack.aclose()
            self._stack = None

    async def _work(self) -> None:
        while not self._is_leaving:
            try:
                await self._opened()
                async with Worker(
                    self._docket,
                    concurrency=MOST_AT_ONCE,
                    redelivery_timeout=self._silence,
                    reconnection_delay=timedelta(seconds=BACK_SECONDS),
                    schedule_automatic_tasks=False,
                ) as self._worker:
                    await self._worker.run_forever()  # which takes its cancellation for a wish to end well
                if self._is_leaving:
                    return
            except Exception:  # noqa: BLE001 - a queue that nobody works on is worse than whatever this was
                _log.exception("the queue of jobs was left, and is taken up again")
            await asyncio.sleep(BACK_SECONDS)

    async def _run(self, name: str = TaskKey()) -> None:
        """What docket calls. Without an end it is left when the worker is: to a delivery that comes again."""
        worker = self._worker
        session = worker._processing_session if worker is not None else None  # noqa: SLF001 - there is no other sign
        if session is None:
            raise asyncio.CancelledError
        # The worker ends its session when Redis is away, and waits for what it has delivered; jobs that take minutes
        # must not keep it from coming back.
        seen_to = asyncio.ensure_future(self._deliver(name))
        left = asyncio.create_task(session.stopping.wait())
        try:
            await asyncio.wait({seen_to, left}, return_when=asyncio.FIRST_COMPLETED)
            if not seen_to.done():
                raise asyncio.CancelledError
            await seen_to
        finally:
            for task in (seen_to, left):
                task.cancel()
            await asyncio.wait({seen_to, left})

    async def _asked(self, ask: Callable[[], Awaitable[T]]) -> T:
        """What Redis says. All of our questions may be put twice: connections that a restart has cut are many."""
        failure: Exception = TimeoutError(f"no answer within {PATIENCE_SECONDS:g} s")
        with anyio.move_on_after(PATIENCE_SECONDS):
            while True:
                try:
                    await self._opened()
                    return await ask()
                except (RedisError, OSError, TimeoutError) as error:
                    failure = error
                await asyncio.sleep(AGAIN_SECONDS)
        reason = without_secrets(str(failure) or type(failure).__name__, self._docket.url).rstrip(".")
        raise StoreAway(
            f"{place_of(self._docket.url)} does not take jobs: {reason}.",
            hint="Start it, or correct CHOMP_STORE; its user needs &chomp:jobs:cancel:* +@pubsub +@transaction.",
        )

    async def _opened(self) -> None:
        async with self._opening:
            if self._stack is None:
                stack = AsyncExitStack()
                await stack.enter_async_context(self._docket)
                self._stack = stack
