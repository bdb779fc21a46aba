"""An answer on its way: its deltas, or the whole, and the receipt."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from decimal import Decimal

from chomp_mcp.dialects import Decoder, dialect
from chomp_mcp.dialects.openai import functions
from chomp_mcp.dialects.openai.collect import Folder
from chomp_mcp.errors import UpstreamError, UpstreamFailed
from chomp_mcp.gateway.answer import Answer
from chomp_mcp.gateway.attempts import Attempts
from chomp_mcp.gateway.bill import Bill, counted
from chomp_mcp.gateway.prices import Prices
from chomp_mcp.messages import ChatRequest, Completion, Delta, Receipt, Route, Usage
from chomp_mcp.routers.response import Unreachable


class Reply:
    """An answer on its way: iterate its deltas, or await the whole."""

    def __init__(
        self,
        attempts: Attempts,
        answer: Answer,
        request: ChatRequest,
        *,
        prices: Prices,
        clock: Callable[[], float],
        started: float,
        secure: Callable[[], Awaitable[None]],
        keeps_text: bool = False,
    ) -> None:
        """`secure` is awaited before the answer's end goes out: from then on its cost outlives this process.

        `keeps_text`: somebody reads `said` afterwards, which costs a stream the parsing of its frames.
        """
        self._kept = _KeptText(answer.route) if keeps_text else None
        self.failure: UpstreamError | None = None
        """What broke the answer after its first delta."""
        self.first_token_seconds = clock() - started if request.stream else None
        self._attempts = attempts
        self._answer = answer
        self._request = request
        self._prices = prices
        self._clock = clock
        self._started = started
        self.was_left = False
        """The caller did not wait for the end."""
        self._ended_at: float | None = None
        self._is_broken = False
        self._final: Receipt | None = None
        self._secure = secure
        self.bill = _NO_BILL
        """What it costs; there once the answer has ended and its receipt was asked for."""
        self._characters = 0
        self._finish_reason: str | None = None
        self._is_legacy = functions.is_legacy(request.said)

    @property
    def route(self) -> Route:
        return self._answer.route

    async def __aiter__(self) -> AsyncIterator[Delta]:
        async for batch in self.batches():
            for delta in batch:
                yield delta

    async def batches(self) -> AsyncIterator[list[Delta]]:
        """The deltas, those of one read together; `UpstreamFailed` in the middle, from where nobody else may go on."""
        try:
            async for batch in self._answer.batches():
                self._characters += sum([len(delta.plain) or delta.characters for delta in batch])
                if self._answer.is_finished and self._finish_reason is None:  # it stands in one of the last deltas
                    self._finish_reason = next((why for delta in reversed(batch) if (why := delta.finish_reason)), None)
                if self._kept is not None:
                    self._kept.add(batch)
                yield functions.as_function_calls(batch) if self._is_legacy else batch
        except Unreachable as error:
            await self._end(str(error))
        else:
            await self._end(self._answer.broken)
        if self.failure is not None:
            raise self.failure

    async def completion(self) -> Completion:
        """The whole answer; a stream is added up."""
        if self._answer.completion is not None:
            self._finish_reason = self._answer.completion.finish_reason
            await self._end("")
            completion = self._answer.completion
            return functions.as_function_call(completion) if self._is_legacy else completion
        folder = Folder()
        async for batch in self.batches():
            folder.add(batch)
        return Completion(folder.body(), self._answer.usage, self._answer.cost_usd)

    @property
    def said(self) -> str:
        """The answer's text as far as it came; empty where nobody wanted it kept."""
        if self._kept is None:
            return ""
        return self._answer.completion.text if self._answer.completion else self._kept.text

    def receipt(self) -> Receipt:
        """Who answered and what was tried; usage and cost are there once the answer has ended."""
        if self._ended_at is None:
            return self._receipt(Usage(), None, self._clock())
        if self._final is None:
            is_whole = not self.was_left and self.failure is None and not self._is_broken
            usage = counted(self._answer, self._request, self._characters, is_whole=is_whole)
            self.bill = Bill.of(self._prices, self._request, self._attempts.record.charges, (self._answer, usage))
            self._final = self._receipt(usage, self.bill.cost_usd, self._ended_at)
        return self._final

    def _receipt(self, usage: Usage, cost: Decimal | None, now: float) -> Receipt:
        plan, notes = self._attempts.plan, self._attempts.record.notes
        sentences = [*plan.notes, *notes, *self.bill.notes]
        if self._finish_reason in _ENDINGS:
            sentences.append(_ENDINGS[self._finish_reason])
        return Receipt(
            asked=plan.asked,
            served=self.route.ref,
            attempts=tuple(self._attempts.record.done),
            usage=usage,
            cost_usd=cost,
            latency_ms=max(0, round((now - self._started) * 1000)),
            notes=tuple(dict.fromkeys(sentences)) if sentences else (),
            sticky=None if plan.kept is None else plan.kept is self.route,
        )

    def end(self) -> None:
        """The exchange is over. A caller that left before the answer's end hung up, which is nobody's failure."""
        self._answer.close()
        if self._ended_at is None:
            self._ended_at = self._clock()
            self.was_left = True
            self._attempts.abandon(self._answer)

    async def _end(self, broken: str) -> None:
        if self._ended_at is not None:
            return
        self._ended_at = self._clock()
        self._is_broken = bool(broken)
        await self._attempts.finish(self._answer, broken)
        await self._secure()
        if broken:
            self.failure = UpstreamFailed(broken, hint="The answer is incomplete: ask again.", receipt=self.receipt())


class _KeptText:
    """What an answer said, for the owner who keeps that: also of a stream that went through unread."""

    def __init__(self, route: Route) -> None:
        self._route = route
        self._folder = Folder()
        self._reader: Decoder | None = None

    def add(self, batch: Iterable[Delta]) -> None:
        for delta in batch:
            if not delta.raw:
                self._folder.add((delta,))
                continue
            # Nobody has parsed such a frame.
            if self._reader is None:
                self._reader = dialect(self._route.router.dialect).decoder()
            self._folder.add(self._reader.feed(delta.raw))

    @property
    def text(self) -> str:
        return Completion(self._folder.body()).text


_NO_BILL = Bill()
_ENDINGS = {
    "length": "stopped at the token limit: raise max_tokens for the rest",
    "content_filter": "cut by the router's content filter",
}
"""What a caller must know of an answer that is complete for the router only, by its finish reason."""
