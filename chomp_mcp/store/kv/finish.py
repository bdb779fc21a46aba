"""Writes that end: what was begun is finished, whatever becomes of its caller."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import anyio

T = TypeVar("T")


async def finished(work: Coroutine[Any, Any, T]) -> T:
    """What `work` returns or raises, at its end; `CancelledError`: it has succeeded, and the caller was cancelled.

    A thread or a server cannot be called back, so whoever stops waiting for one does not know what it did.
    """
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    # The shield keeps out anyio's cancellation, which would come again and again; it comes after the block.
    with anyio.CancelScope(shield=True):
        while not task.done():
            try:
                await asyncio.wait([task])
            except asyncio.CancelledError as error:
                cancelled = error
    result = task.result()
    if cancelled is not None:
        raise cancelled
    return result
