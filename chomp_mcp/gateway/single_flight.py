"""One task for each name at a time, however many ask for it: who leaves does not stop it for the others."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class SingleFlight(Generic[T]):
    """What is being read now, by name."""

    def __init__(self) -> None:
        self.tasks: dict[str, asyncio.Task[T]] = {}

    def start(self, name: str, run: Callable[[], Coroutine[Any, Any, T]]) -> asyncio.Task[T]:
        """The task that runs under this name, begun where there is none; await it under `asyncio.shield`."""

        def ended(task: asyncio.Task[T]) -> None:
            self.tasks.pop(name, None)
            if not task.cancelled():
                task.exception()  # whoever still waited has it; the event loop need not complain about it

        task = self.tasks.get(name)
        if task is None:
            task = self.tasks[name] = asyncio.create_task(run())
            task.add_done_callback(ended)
        return task

    async def close(self) -> None:
        """Give up what has not ended."""
        tasks = list(self.tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
