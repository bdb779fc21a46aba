"""OpenTelemetry: a `gen_ai` span per exchange, one below it per attempt, and `traceparent` for the router.

Only the API package is used; who wants spans exported sets an SDK up (`opentelemetry-instrument`, or in code). Without
one, nothing is recorded, and a trace that the caller brought along is handed on to the router as it is.

```
with tracing.exchange("groq/auto", door="mcp", body={}) as trace:          below the current span
    trace.attempt("groq", "openai/gpt-oss-120b")                           before each call
    trace.inject(headers)                                                  adds traceparent
    trace.settle(report)                                                   ends all, once
```
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any, Final, Self

from chomp_mcp.telemetry.report import HIDDEN, NO_FAILURES, Report, shown

if TYPE_CHECKING:
    from opentelemetry.trace import Span, SpanContext, Tracer, TracerProvider


_SCOPE: Final = "chomp_mcp"

_FACTS: Final[Mapping[str, str]] = {
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "max_tokens": "max_tokens",
    "max_completion_tokens": "max_tokens",
    "seed": "seed",
    "frequency_penalty": "frequency_penalty",
    "presence_penalty": "presence_penalty",
    "n": "choice.count",
}
"""Field of a chat-completions body -> the end of its name `gen_ai.request.*`. Figures only: `stop` would be text."""

_NO_BODY: Final[Mapping[str, Any]] = {}


class Tracing:
    """Makes traces with the given provider; the default is the process's own, from when the program sets one."""

    def __init__(self, provider: TracerProvider | None = None, *, clock_ns: Callable[[], int] = time.time_ns) -> None:
        self._provider = provider
        self._clock_ns = clock_ns
        self._tracer: Tracer | None = None
        self._api: Any = None
        """Its modules, once they are needed: an import that has been made takes its time again."""

    def exchange(
        self, asked: str, *, door: str = "", stream: bool = False, body: Mapping[str, Any] = _NO_BODY
    ) -> Trace:
        """The trace of an exchange that starts now, below the current span."""
        # Somebody imported the API, or the environment names a provider; else importing it (40 ms) would be in vain.
        is_known = "opentelemetry.trace" in sys.modules or "OTEL_PYTHON_TRACER_PROVIDER" in os.environ
        if self._provider is None and not is_known:
            return _UNTRACED
        if self._tracer is None:
            if self._api is None:
                from opentelemetry import context, trace

                self._api = context, trace
            context, trace = self._api
            # While no provider is set, the API's stand-in looks for it, and gives a tracer that is a stand-in too.
            self._provider = self._provider or trace.get_tracer_provider()
            found = self._provider.get_tracer(_SCOPE)
            if not isinstance(found, (trace.ProxyTracer, trace.NoOpTracer)):
                self._tracer = found
        if self._tracer is None:
            if not context.get_current():  # nobody has put a span there
                return _UNTRACED
            span = trace.get_current_span().get_span_context()
            return Trace(_traceparent(span)) if span.is_valid else _UNTRACED
        attributes = {
            "gen_ai.operation.name": "chat",
            "gen_ai.request.model": shown(asked or "auto"),
            "gen_ai.request.stream": stream,
            "chomp.door": door,
        }
        # Of the body its figures alone: words would be the caller's.
        for field, name in _FACTS.items():
            if isinstance(body.get(field), int | float) and not isinstance(body[field], bool):
                attributes[f"gen_ai.request.{name}"] = body[field]
        return _Spans(self._tracer, self._clock_ns, attributes)


class Trace:
    """The spans of one exchange; with no SDK there are none, and the caller's own trace is handed on.

    It never becomes the current span: the block may be left in another task.
    """

    __slots__ = ("_traceparent",)

    def __init__(self, traceparent: str = "") -> None:
        self._traceparent = traceparent

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        """What was not settled ends here."""

    def attempt(self, router: str, model: str) -> None:
        """A call to a router begins; `inject` and its outcome in the report belong to it."""

    def inject(self, headers: MutableMapping[str, str]) -> None:
        """Add `traceparent`, and only that: baggage and tracestate are the caller's, not for strangers."""
        if self._traceparent:
            headers["traceparent"] = self._traceparent

    def settle(self, report: Report) -> None:
        """End the spans with what the report says."""


_UNTRACED: Final = Trace()


def _traceparent(context: SpanContext) -> str:
    """W3C trace context, version 00."""
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"


class _Spans(Trace):
    """An SDK listens. Attempts stay open until the report tells how they ended; their end is set back to its time."""

    __slots__ = ("_attempts", "_clock_ns", "_ended", "_span", "_tracer")

    def __init__(self, tracer: Tracer, clock_ns: Callable[[], int], asked: Mapping[str, Any]) -> None:
        from opentelemetry.trace import SpanKind

        super().__init__()
        self._tracer = tracer
        self._clock_ns = clock_ns
        self._attempts: list[tuple[int, Span]] = []
        self._ended = False
        self._span = tracer.start_span(
            f"chat {asked['gen_ai.request.model']}", kind=SpanKind.CLIENT, start_time=clock_ns(), attributes=asked
        )

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        if not self._ended:
            self._end(type(error).__qualname__ if error else "")

    def attempt(self, router: str, model: str) -> None:
        from opentelemetry.trace import SpanKind, set_span_in_context

        started = self._clock_ns()
        span = self._tracer.start_span(
            f"attempt {router}",
            context=set_span_in_context(self._span),
            kind=SpanKind.CLIENT,
            start_time=started,
            # No gen_ai.operation.name and no usage here: backends add them up, and the exchange has them already.
            attributes={"gen_ai.provider.name": router, "gen_ai.request.model": shown(model)},
        )
        self._attempts.append((started, span))

    def inject(self, headers: MutableMapping[str, str]) -> None:
        context = (self._attempts[-1][1] if self._attempts else self._span).get_span_context()
        if context.is_valid:
            headers["traceparent"] = _traceparent(context)

    def settle(self, report: Report) -> None:
        if self._ended:
            return
        if self._span.is_recording():
            receipt = report.receipt
            router, model = report.served
            # The names of OpenTelemetry's GenAI conventions; what they have no word for is `chomp.…`.
            attributes: dict[str, Any] = {
                "gen_ai.provider.name": router,
                "gen_ai.response.model": shown(model) if receipt.served else "",
                "gen_ai.usage.input_tokens": receipt.usage.input_tokens,
                "gen_ai.usage.output_tokens": receipt.usage.output_tokens,
                "gen_ai.usage.cache_read.input_tokens": receipt.usage.cached_tokens,
                "gen_ai.response.time_to_first_chunk": report.first_token_seconds,
                "chomp.attempts": len(receipt.attempts),
                "chomp.cost_usd": None if receipt.cost_usd is None else float(receipt.cost_usd),
                "chomp.price": report.price,
                "chomp.job": report.job,
            }
            known = {name: value for name, value in attributes.items() if value is not None and value != ""}
            self._span.set_attributes(known)
            if report.asked == HIDDEN:
                self._span.update_name(f"chat {HIDDEN}")
                for span in (self._span, *(each for _, each in self._attempts)):
                    span.set_attribute("gen_ai.request.model", HIDDEN)
            for (started, span), attempt in zip(self._attempts, receipt.attempts, strict=False):
                span.set_attribute("chomp.outcome", attempt.outcome)
                if attempt.status is not None:
                    span.set_attribute("http.response.status_code", attempt.status)
                if attempt.outcome not in NO_FAILURES:
                    _mark(span, attempt.outcome)
                span.end(started + attempt.ms * 1_000_000)
        self._end(report.status if report.failed else "")

    def _end(self, error_type: str) -> None:
        self._ended = True
        now = self._clock_ns()
        for _, span in self._attempts:
            if span.is_recording():
                span.end(now)
        if error_type:
            _mark(self._span, error_type)
        self._span.end(now)


def _mark(span: Span, error_type: str) -> None:
    """An error, by its word alone: a description could repeat what the caller wrote."""
    from opentelemetry.trace import Status, StatusCode

    span.set_attribute("error.type", error_type)
    span.set_status(Status(StatusCode.ERROR))
