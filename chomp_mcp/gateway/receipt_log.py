"""Keeps the receipts of the newest exchanges, and their texts where the owner says so: for `logs` and the home page."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, NotRequired, TypedDict

from chomp_mcp.errors import StoreError
from chomp_mcp.messages import OWNER, Caller, ReceiptView, text_of
from chomp_mcp.policy.secrets import masked
from chomp_mcp.store.bodies import Bodies, Body
from chomp_mcp.store.kv.protocol import KV
from chomp_mcp.store.receipts import CHUNK, Receipts
from chomp_mcp.store.sealing import Sealed
from chomp_mcp.telemetry.report import SHOWN_CALLER, Report, Transition, shown

WRITE_SECONDS = 1.0
MOST_CHARACTERS = 4000
"""Of a prompt the last ones are kept, of an answer the first."""


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
    body: NotRequired[Body]
    """What was asked and answered, where CHOMP_KEEP_BODIES says so and it was asked for."""


class ReceiptLog:
    """An observer: taking a report is an append; at most once in `WRITE_SECONDS` the newest go to the store together.

    Of more than `CHUNK` in that time the newest are kept. What the store refuses is lost: it costs nobody an answer.
    """

    def __init__(self, kv: KV, sealed: Sealed | None, *, clock: Callable[[], float]) -> None:
        """`sealed` seals the texts; None where those are not kept."""
        self._receipts = Receipts(kv)
        self._bodies = Bodies(kv, sealed) if sealed else None
        self._clock = clock
        self._fresh: deque[tuple[Report, Body | None]] = deque(maxlen=CHUNK)
        self._said: Body | None = None
        self._on_their_way: list[tuple[Report, Body | None]] = []
        self._one_writes = asyncio.Lock()
        self._writer: asyncio.Task[None] | None = None

    @property
    def keeps_bodies(self) -> bool:
        return self._bodies is not None

    def said(self, request: Mapping[str, Any], answer: str, status: str) -> None:
        """The texts of the exchange that is reported next. What was refused for a secret in it is not kept."""
        messages = request.get("messages") or request.get("contents") or request.get("input")
        listed = [each for each in messages if isinstance(each, Mapping)] if isinstance(messages, list) else []
        lines: list[str] = []  # of what was asked the end is kept, a line for each message
        for message in reversed(listed):
            lines.insert(0, f"{message.get('role')}: {text_of(message.get('content') or message.get('parts')) or '…'}")
            if sum(map(len, lines)) > MOST_CHARACTERS:
                break
        text = "\n".join(lines) if listed else str(request.get("input") or request.get("prompt") or "")
        end = masked(text[-2 * MOST_CHARACTERS :])
        if len(text) > MOST_CHARACTERS:
            end = f"…{end[-MOST_CHARACTERS:]}"
        near = masked(answer[: 2 * MOST_CHARACTERS])  # before the cut: half a key looks like none
        begin = near if len(answer) <= MOST_CHARACTERS else f"{near[:MOST_CHARACTERS]}…"
        self._said = {"prompt": "" if status == "secret_found" else end, "answer": begin}

    def exchange(self, report: Report) -> None:
        self._fresh.append((report, self._said))
        self._said = None
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write_soon())

    def transition(self, transition: Transition) -> None:
        """Breakers are told by `status`."""

    async def recent(self, limit: int, caller: Caller = OWNER, *, bodies: bool = False) -> list[ExchangeView]:
        """The newest exchanges first: everybody's for the owner; with their texts, where those are kept."""
        stored = await self._receipts.recent()
        unwritten = (*self._on_their_way, *self._fresh)
        fresh: list[Any] = [({**_view(report), "body": body} if body else _view(report)) for report, body in unwritten]
        known: dict[Any, Any] = {(row["at"], row["caller"]): row for row in (*stored, *fresh)}  # some are in both
        seen = [row for (_, whose), row in known.items() if caller.is_owner or whose == caller.id[:SHOWN_CALLER]]
        rows = sorted(seen, key=lambda row: row["at"], reverse=True)[:limit]
        names = [row["body"] for row in rows if isinstance(row.get("body"), str)] if bodies and self._bodies else []
        found = await self._bodies.of(names) if self._bodies and names else {}
        told: list[Any] = [{name: value for name, value in row.items() if name != "body"} for row in rows]
        for view, row in zip(told, rows, strict=True):
            body = row.get("body")  # their name in the store, or the texts that are still to be written
            body = found.get(body) if isinstance(body, str) else body
            if body and bodies and self.keeps_bodies:
                view["body"] = body
        return told

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
        async with self._one_writes:
            self._on_their_way += self._fresh
            self._fresh.clear()
            if not self._on_their_way:
                return
            with contextlib.suppress(StoreError):
                rows: list[Mapping[str, Any]] = []
                for report, body in self._on_their_way:
                    name = await self._bodies.add(report.caller_id, body) if self._bodies and body else ""
                    rows.append({**_view(report), "body": name} if name else _view(report))
                await self._receipts.add(rows, self._clock())
            self._on_their_way.clear()

    async def forget(self, caller_id: str) -> None:
        """The texts of this caller are gone; of receipts only the caller's first characters are known."""
        await self._write()
        if self._bodies:
            await self._bodies.forget(caller_id[:SHOWN_CALLER])


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
