"""Keeps the receipts of the newest exchanges for whoever asks what happened: `logs`, and the home page."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from typing import TypedDict

from chomp_mcp.errors import StoreError
from chomp_mcp.messages import ReceiptView
from chomp_mcp.store.receipts import CHUNK, Receipts
from chomp_mcp.telemetry.report import Report, Transition, shown

__all__ = ["ExchangeView", "ReceiptLog"]

WRITE_SECONDS = 1.0


class ExchangeView(TypedDict):
    """One exchange as JSON; its attempts are without the routers' words, which may repeat the prompt."""

    at: float
    """When it ended, epoch seconds."""
    door: str
    caller: str
    """`owner`, or the first characters of the caller's id."""
    status: str
    """`ok`, the code of the error that the caller met, `hung_up` or `cancelled`."""
    job: bool
    receipt: ReceiptView


class ReceiptLog:
    """An observer: taking a report is an append; at most once in `WRITE_SECONDS` the newest go to the store together.

    Of more than `CHUNK` in that time the newest are kept. What the store refuses is lost: it costs nobody an answer.
    """

    def __init__(self, receipts: Receipts, *, clock: Callable[[], float]) -> None:
        self._receipts = receipts
        self._clock = clock
        self._fresh: deque[Report] = deque(maxlen=CHUNK)
        self._writer: asyncio.Task[None] | None = None

    def exchange(self, report: Report) -> None:
        self._fresh.append(report)
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write_soon())

    def transition(self, transition: Transition) -> None:
        """Breakers are told by `status`."""

    async def recent(self, limit: int) -> list[ExchangeView]:
        """Everybody's newest exchanges, the newest first."""
        stored = await self._receipts.recent()
        rows: list[ExchangeView] = [*map(_view, self._fresh), *stored]  # type: ignore[list-item]  # as written by `_view`
        return sorted(rows, key=lambda row: row["at"], reverse=True)[:limit]

    async def close(self) -> None:
        """Write what is still to be written."""
        if self._writer is not None:
            self._writer.cancel()
            await asyncio.gather(self._writer, return_exceptions=True)
        await self._write()

    async def _write_soon(self) -> None:
        while self._fresh:
            await asyncio.sleep(WRITE_SECONDS)
            await self._write()

    async def _write(self) -> None:
        rows = [_view(report) for report in self._fresh]
        self._fresh.clear()
        if rows:
            with contextlib.suppress(StoreError):
                await self._receipts.add(rows, self._clock())


def _view(report: Report) -> ExchangeView:
    receipt = report.receipt.as_dict()
    receipt["asked"], receipt["served"] = report.asked, shown(receipt["served"])
    for attempt in receipt["attempts"]:
        attempt.pop("message", None)
        attempt["model"] = shown(attempt["model"])
    return {
        "at": report.started_at + report.duration_seconds,
        "door": report.door,
        "caller": report.caller_id,
        "status": report.status,
        "job": report.job,
        "receipt": receipt,
    }
