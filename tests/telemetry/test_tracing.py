from __future__ import annotations

import contextvars
import subprocess
import sys

import pytest
from opentelemetry import trace as api
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from chomp_mcp.messages import Attempt
from chomp_mcp.telemetry.tracing import Tracing


class Clock:
    """Nanoseconds that pass only when told."""

    def __init__(self):
        self.now = 1_000_000_000

    def __call__(self):
        return self.now

    def forward(self, seconds):
        self.now += int(seconds * 1e9)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def exporter():
    return InMemorySpanExporter()


@pytest.fixture
def provider(exporter):
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return provider


@pytest.fixture
def tracing(provider, clock):
    return Tracing(provider, clock_ns=clock)


def spans(exporter):
    return {span.name: span for span in exporter.get_finished_spans()}


def received(headers):
    """The span that a router with OpenTelemetry would take for its parent."""
    return api.get_current_span(TraceContextTextMapPropagator().extract(headers)).get_span_context()


def test_an_exchange_is_a_chat_span_in_the_words_of_the_conventions(tracing, exporter, make_report):
    body = {"messages": [], "temperature": 0.2, "max_tokens": 100}
    with tracing.exchange("groq/auto", door="mcp", stream=True, body=body) as trace:
        trace.attempt("groq", "openai/gpt-oss-120b")
        trace.settle(make_report())
    span = spans(exporter)["chat groq/auto"]
    assert span.kind is SpanKind.CLIENT
    assert span.status.status_code is StatusCode.UNSET
    assert dict(span.attributes) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "groq",
        "gen_ai.request.model": "groq/auto",
        "gen_ai.request.stream": True,
        "gen_ai.request.temperature": 0.2,
        "gen_ai.request.max_tokens": 100,
        "gen_ai.response.model": "openai/gpt-oss-120b",
        "gen_ai.response.time_to_first_chunk": 0.05,
        "gen_ai.usage.input_tokens": 100,
        "gen_ai.usage.output_tokens": 20,
        "gen_ai.usage.cache_read.input_tokens": 10,
        "chomp.door": "mcp",
        "chomp.attempts": 1,
        "chomp.cost_usd": 0.0025,
        "chomp.price": "known",
        "chomp.job": False,
    }


def test_of_the_body_a_span_shows_figures_and_never_text(tracing, exporter):
    body = {
        "messages": [{"role": "user", "content": "secret"}],
        "temperature": 0.2,
        "max_completion_tokens": 100,
        "n": 2,
        "stop": ["secret"],
        "seed": "secret",
        "top_p": True,
        "top_k": None,
    }
    with tracing.exchange("auto", body=body):
        pass
    attributes = spans(exporter)["chat auto"].attributes
    shown = {name: value for name, value in attributes.items() if name.startswith("gen_ai.request.")}
    assert shown == {
        "gen_ai.request.model": "auto",
        "gen_ai.request.stream": False,
        "gen_ai.request.temperature": 0.2,
        "gen_ai.request.max_tokens": 100,
        "gen_ai.request.choice.count": 2,
    }


def test_every_attempt_is_a_child_with_its_outcome_and_its_own_time(tracing, exporter, clock, make_report):
    tries = (Attempt("groq", "a", "rate_limited", 429, 100), Attempt("zen", "b", "ok", 200, 2000))
    with tracing.exchange("auto") as trace:
        trace.attempt("groq", "a")
        clock.forward(0.5)
        trace.attempt("zen", "b")
        clock.forward(3)
        trace.settle(make_report(served="zen/b", attempts=tries))
    chat, first, second = (spans(exporter)[name] for name in ("chat auto", "attempt groq", "attempt zen"))
    assert [child.parent.span_id for child in (first, second)] == [chat.context.span_id] * 2
    assert (first.end_time - first.start_time, second.start_time - first.start_time) == (100_000_000, 500_000_000)
    assert (second.end_time - second.start_time, chat.end_time - chat.start_time) == (2_000_000_000, 3_500_000_000)
    assert dict(first.attributes) == {
        "gen_ai.provider.name": "groq",
        "gen_ai.request.model": "a",
        "chomp.outcome": "rate_limited",
        "http.response.status_code": 429,
        "error.type": "rate_limited",
    }
    assert (first.status.status_code, second.status.status_code) == (StatusCode.ERROR, StatusCode.UNSET)


def test_one_trace_leads_from_the_mcp_call_to_the_upstream(tracing, provider, exporter, make_report):
    headers = {"Accept": "text/event-stream"}
    with (
        provider.get_tracer("mcp").start_as_current_span("tools/call ask", kind=SpanKind.SERVER) as call,
        tracing.exchange("groq/auto", door="mcp") as trace,
    ):
        trace.attempt("groq", "openai/gpt-oss-120b")
        trace.inject(headers)
        trace.settle(make_report())
    chat, attempt = spans(exporter)["chat groq/auto"], spans(exporter)["attempt groq"]
    assert chat.parent.span_id == call.get_span_context().span_id
    arrived = received(headers)
    assert (arrived.trace_id, arrived.span_id) == (call.get_span_context().trace_id, attempt.context.span_id)
    assert arrived.trace_flags.sampled
    assert headers.keys() == {"Accept", "traceparent"}


def test_each_attempt_hands_on_its_own_traceparent(tracing):
    seen = []
    with tracing.exchange("auto") as trace:
        for router in ("groq", "zen"):
            headers = {}
            trace.attempt(router, "m")
            trace.inject(headers)
            seen.append(headers["traceparent"].split("-"))
    assert seen[0][1] == seen[1][1]
    assert seen[0][2] != seen[1][2]


@pytest.mark.parametrize(("status", "code"), [("upstream_timeout", StatusCode.ERROR), ("hung_up", StatusCode.UNSET)])
def test_an_error_marks_the_span_and_a_caller_who_hung_up_does_not(tracing, exporter, make_report, status, code):
    with tracing.exchange("auto") as trace:
        trace.settle(make_report(status=status))
    span = spans(exporter)["chat auto"]
    assert span.status.status_code is code
    assert span.attributes.get("error.type") == (status if code is StatusCode.ERROR else None)


def test_nothing_of_what_was_said_reaches_a_span(tracing, exporter, make_report):
    failed = Attempt("groq", "m", "caller_fault", 400, 3, message="cannot read 'my diary'")
    with tracing.exchange("auto") as trace:
        trace.attempt("groq", "m")
        trace.settle(make_report(status="upstream_error", served="", attempts=(failed,)))
    assert "diary" not in "".join(span.to_json() for span in exporter.get_finished_spans())


def test_a_span_shows_only_what_an_exporter_can_send(tracing, exporter):
    with tracing.exchange("\ud83d" + "x" * 300) as trace:
        trace.attempt("groq", "\ud83d")
    assert spans(exporter).keys() == {"attempt groq", "chat ?" + "x" * 199}
    assert spans(exporter)["attempt groq"].attributes["gen_ai.request.model"] == "?"


def test_an_exchange_that_raises_before_it_settles_still_ends_its_spans(tracing, exporter):
    with pytest.raises(KeyError), tracing.exchange("auto") as trace:
        trace.attempt("groq", "m")
        raise KeyError("my diary")
    assert spans(exporter).keys() == {"attempt groq", "chat auto"}
    assert spans(exporter)["chat auto"].attributes["error.type"] == "KeyError"
    assert "diary" not in spans(exporter)["chat auto"].to_json()


def test_settling_twice_counts_once(tracing, exporter, make_report):
    with tracing.exchange("auto") as trace:
        trace.settle(make_report())
        trace.settle(make_report(status="upstream_error"))
    assert spans(exporter)["chat auto"].status.status_code is StatusCode.UNSET


def test_an_exchange_may_be_left_in_another_context_than_it_was_entered_in(tracing, exporter, make_report):
    trace = contextvars.copy_context().run(tracing.exchange("auto").__enter__)
    contextvars.copy_context().run(trace.settle, make_report())
    contextvars.copy_context().run(trace.__exit__, None, None, None)
    assert spans(exporter).keys() == {"chat auto"}
    assert not api.get_current_span().get_span_context().is_valid


def test_an_attempt_that_the_receipt_does_not_tell_of_ends_with_the_exchange(tracing, exporter, clock, make_report):
    with tracing.exchange("auto") as trace:
        trace.attempt("groq", "m")
        clock.forward(1)
        trace.settle(make_report(attempts=()))
    assert spans(exporter)["attempt groq"].end_time == clock.now


def test_a_trace_that_is_not_sampled_is_handed_on_as_such(make_report):
    headers = {}
    with Tracing(TracerProvider(sampler=ALWAYS_OFF, shutdown_on_exit=False)).exchange("auto") as trace:
        trace.attempt("groq", "m")
        trace.inject(headers)
        trace.settle(make_report())
    assert received(headers).is_valid
    assert not received(headers).trace_flags.sampled


def test_an_sdk_that_is_switched_off_sends_nothing(monkeypatch, make_report):
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    headers = {}
    with Tracing(TracerProvider(shutdown_on_exit=False)).exchange("auto") as trace:
        trace.attempt("groq", "m")
        trace.inject(headers)
        trace.settle(make_report())
    assert headers == {}


def test_without_an_sdk_nothing_is_recorded_and_nothing_sent(make_report):
    headers = {}
    with Tracing().exchange("auto") as trace:
        trace.attempt("groq", "m")
        trace.inject(headers)
        trace.settle(make_report())
    assert headers == {}


def test_without_an_sdk_the_callers_trace_is_handed_on_as_it_is(make_report):
    context = api.SpanContext(0xABC, 0xDEF, is_remote=True, trace_flags=api.TraceFlags(1))
    headers = {}
    with api.use_span(api.NonRecordingSpan(context)), Tracing().exchange("auto") as trace:
        trace.attempt("groq", "m")
        trace.inject(headers)
        trace.settle(make_report())
    assert headers == {"traceparent": f"00-{0xABC:032x}-{0xDEF:016x}-01"}


def test_a_process_that_never_asked_for_tracing_never_imports_opentelemetry():
    script = """
import sys
from chomp_mcp.telemetry.tracing import Tracing
with Tracing().exchange("auto") as trace:
    trace.attempt("groq", "m")
    trace.inject({})
sys.exit(any(name.startswith("opentelemetry") for name in sys.modules))
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=30)


def test_a_provider_that_the_program_sets_later_is_found():
    script = """
from chomp_mcp.telemetry.tracing import Tracing
tracing = Tracing()
with tracing.exchange("before"):
    pass
from opentelemetry import trace
with tracing.exchange("still before"):
    pass
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
exporter, provider = InMemorySpanExporter(), TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(exporter))
trace.set_tracer_provider(provider)
with tracing.exchange("after"):
    pass
print([span.name for span in exporter.get_finished_spans()])
"""
    run = subprocess.run([sys.executable, "-c", script], check=True, timeout=30, capture_output=True, text=True)
    assert run.stdout == "['chat after']\n"
