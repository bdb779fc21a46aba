"""What a caller is told when no route answered."""

from __future__ import annotations

import pytest

from chomp_mcp.errors import (
    NoRouteAvailable,
    NotCapable,
    PromptTooLong,
    UpstreamFailed,
    UpstreamRefused,
    UpstreamTimeout,
)
from chomp_mcp.gateway.exhausted import exhausted
from chomp_mcp.gateway.health import Rest
from chomp_mcp.messages import Failed, FailureKind, Route, Router

NOW = 1_000.0
GROQ = Route(Router("groq", "Groq", "http://groq", key_variable="K"), "m")
ZEN = Route(Router("zen", "Zen", "http://zen", key_variable="K"), "m")
OLLAMA = Route(Router("ollama", "Ollama", "http://me:pass@box", joins_auto="reachable"), "m")


def failed(kind, status=None, **more):
    return Failed(kind, f"{kind} it is", status, **more)


@pytest.mark.parametrize(
    ("kind", "status", "error", "told"),
    [
        (FailureKind.CALLER_FAULT, 422, UpstreamRefused, 422),
        (FailureKind.BAD_KEY, 401, UpstreamRefused, 401),
        (FailureKind.QUOTA, 402, UpstreamRefused, 402),
        (FailureKind.RATE_LIMITED, None, UpstreamRefused, 429),
        (FailureKind.NO_SUCH_MODEL, 200, UpstreamRefused, 404),
        (FailureKind.TOO_LONG, 400, PromptTooLong, 400),
        (FailureKind.TIMEOUT, None, UpstreamTimeout, 504),
        (FailureKind.TRANSIENT, 503, UpstreamFailed, 502),
        (FailureKind.LOCAL, None, NoRouteAvailable, 503),
    ],
)
def test_the_routers_own_refusal_keeps_its_status_and_other_failures_have_ours(kind, status, error, told):
    found = exhausted([(GROQ, failed(kind, status))], [], NOW)
    assert (type(found), found.status) == (error, told)
    assert found.hint
    assert "groq/m" in found.message


def test_of_different_failures_the_last_decides_only_where_it_is_about_the_request():
    busy, wrong = (GROQ, failed(FailureKind.RATE_LIMITED, 429)), (ZEN, failed(FailureKind.CALLER_FAULT, 400))
    assert type(exhausted([busy, wrong], [], NOW)) is UpstreamRefused
    assert type(exhausted([wrong, busy], [], NOW)) is UpstreamFailed


def test_when_to_come_back_is_the_soonest_that_any_router_told():
    routes = [(GROQ, 60.0), (ZEN, 7.0)]
    told = exhausted([(r, failed(FailureKind.RATE_LIMITED, 429, retry_after=s)) for r, s in routes], [], NOW)
    assert told.retry_after == 7.0
    assert "7 s" in told.hint


def test_what_was_not_tried_says_what_rests_and_until_when():
    rests = [(GROQ, Rest(NOW + 90, FailureKind.RATE_LIMITED)), (ZEN, Rest(NOW + 30, FailureKind.QUOTA))]
    told = exhausted([], rests, NOW)
    assert (type(told), told.status, told.retry_after) == (NoRouteAvailable, 429, 30.0)
    assert "groq/m rests" in told.message
    assert (told.status, told.envelope()["error"]["type"]) == (429, "rate_limit_error")
    refused = exhausted([], [(GROQ, Rest(NOW + 90, FailureKind.BAD_KEY))], NOW)
    assert (type(refused), refused.status) == (UpstreamRefused, 401)
    assert "keys add groq" in refused.hint


def test_a_request_that_no_router_can_be_sent_says_why_each_cannot():
    failures = [
        (GROQ, Failed(FailureKind.NOT_TAKEN, "Groq has no x.")),
        (ZEN, Failed(FailureKind.NOT_TAKEN, "Nor Zen.")),
    ]
    told = exhausted(failures, [(GROQ, Rest(NOW + 90, FailureKind.QUOTA))], NOW)
    assert (type(told), told.message) == (NotCapable, "Groq has no x. Nor Zen.")


def test_a_program_that_does_not_run_is_told_as_that_without_its_password():
    told = exhausted([(OLLAMA, failed(FailureKind.TRANSIENT))], [], NOW)
    assert "Ollama is not running" in told.message
    assert "pass" not in told.message
