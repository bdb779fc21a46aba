"""What a router said: an answer, or none."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from chomp_mcp.dialects import Decoder, Speech
from chomp_mcp.dialects.openai.answer import NOTHING_SAID
from chomp_mcp.dialects.openai.collect import Folder
from chomp_mcp.dialects.openai.shapes import as_chunks
from chomp_mcp.messages import Completion, Delta, ErrorObject, Failed, FailureKind, Route, Usage
from chomp_mcp.policy.secrets import sent_secrets, without
from chomp_mcp.routers.failures import judge_error
from chomp_mcp.routers.response import Response

TRAILER_SECONDS = 0.25
"""How long to listen after `[DONE]`: Zen tells the cost there."""
MOST_SILENT_DELTAS = 20_000
"""Before the first that says something; they are kept for the client of a stream, at a kilobyte each."""
PIECE_BYTES = 64 * 1024
"""Of a body of events between two turns of the event loop."""


@dataclass(slots=True)
class Answer:
    """A route that answers: a whole completion, or a stream whose first real delta is in."""

    route: Route
    completion: Completion | None = None
    first: list[Delta] = field(default_factory=list)
    response: Response | None = None
    """None: all of the answer is in `first` already."""
    decoder: Decoder | None = None

    async def batches(self) -> AsyncIterator[list[Delta]]:
        """The deltas as they come in, those of one read together. `Unreachable` when the stream breaks."""
        if self.completion is not None:  # asked for whole, for the router refuses to stream such a request
            yield as_chunks(self.completion.body)
            return
        if self.first:
            yield self.first
        response, decoder = self.response, self.decoder
        if response is None or decoder is None:
            return
        chunks = response.iter_bytes()
        while decoder.error is None and (chunk := await _next(chunks, decoder)) is not None:
            if deltas := decoder.feed(chunk):
                if any(delta.is_real for delta in deltas):
                    response.prolong()
                yield deltas
        if decoder.error is None and (deltas := decoder.close()):
            yield deltas

    @property
    def usage(self) -> Usage | None:
        """What the router counted, as far as it has said so."""
        source = self.completion or self.decoder
        return source.usage if source else None

    @property
    def cost_usd(self) -> Decimal | None:
        """What the router says it cost."""
        source = self.completion or self.decoder
        return source.cost_usd if source else None

    @property
    def is_finished(self) -> bool:
        """The router has said why it ended."""
        return self.completion is not None or (self.decoder is not None and self.decoder.finished)

    @property
    def broken(self) -> str:
        """Why the stream ended before the answer did; empty for a complete answer."""
        if self.completion or self.decoder is None:
            return ""
        if self.decoder.error is not None:
            said = judged(self.decoder.error, now=0.0).message  # its words alone, which need no clock
            return str(without(said, sent_secrets(self.route.router, self.route.key)))
        return "" if self.decoder.finished else f"{self.route.ref} stopped in the middle of the answer."

    def close(self) -> None:
        if self.response is not None:
            self.response.close()


async def _next(chunks: AsyncIterator[bytes], decoder: Decoder) -> bytes | None:
    """The next bytes, None at the end; after `[DONE]` only what comes at once."""
    if not decoder.done:
        return await anext(chunks, None)
    try:
        async with asyncio.timeout(TRAILER_SECONDS):
            return await anext(chunks, None)
    except TimeoutError:
        return None


def is_answer(deltas: Iterable[Delta], decoder: Decoder) -> bool:
    """Something is said, called or refused in them, or the router told why nothing is."""
    return any(delta.is_real for delta in deltas) or decoder.is_mute


def nothing_said(decoder: Decoder) -> Failed:
    """It failed, and may cost something all the same."""
    message = NOTHING_SAID if decoder.finished else "The router stopped before it said anything."
    return Failed(FailureKind.TRANSIENT, message, usage=decoder.usage, cost_usd=decoder.cost_usd)


async def whole(speak: Speech, headers: Mapping[str, str], body: bytes) -> Completion | Failed | ErrorObject:
    """An answer that was asked for whole; some routers stream all the same, and it is added up here."""
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in _STREAMED and not body.lstrip(b"\xef\xbb\xbf\r\n ").startswith(_EVENTS):
        return speak.decode(body)
    decoder, folder = speak.decoder(), Folder()
    is_said, silent = False, 0
    # A packed body holds millions of frames: others want their turn between them, and each is added up at once, for a
    # delta takes twenty times the bytes of its frame.
    for start in range(0, len(body), PIECE_BYTES):
        deltas = decoder.feed(body[start : start + PIECE_BYTES])
        folder.add(deltas)
        is_said, silent = is_said or is_answer(deltas, decoder), silent + len(deltas)
        if not is_said and silent > MOST_SILENT_DELTAS:
            return nothing_said(decoder)
        if start:
            await asyncio.sleep(0)
    deltas = decoder.close()
    if decoder.error is not None:
        return decoder.error
    folder.add(deltas)
    if not (is_said or is_answer(deltas, decoder)):
        return nothing_said(decoder)
    if not decoder.finished:
        return Failed(FailureKind.TRANSIENT, "The router stopped in the middle of the answer.")
    return Completion(folder.body(), decoder.usage, decoder.cost_usd)


_STREAMED = frozenset({"text/event-stream", "application/x-ndjson"})
_EVENTS = (b"data:", b"event:", b"id:", b":")


def judged(failure: Failed | ErrorObject, now: float) -> Failed:
    """What an answer that is none means; `now` is epoch seconds, for errors that name a moment."""
    return judge_error(failure.error, failure.status, now) if isinstance(failure, ErrorObject) else failure
