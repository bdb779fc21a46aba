"""How long a router says to wait, wherever it says so."""

from __future__ import annotations

import pytest

from chomp_mcp import wire
from chomp_mcp.routers.failures import judge, judge_error
from tests.routers.test_failures import GROQ_TPM

NOW = 1_795_000_000.0


def openai(message="", type_="invalid_request_error", code=None, param=None):
    return {"error": {"message": message, "type": type_, "param": param, "code": code}}


def openrouter(code, message="", **metadata):
    return {"error": {"code": code, "message": message, "metadata": metadata}, "user_id": "user_1"}


GROQ_TPD = GROQ_TPM.replace("minute (TPM)", "day (TPD)").replace("5.289s", "2m59.56s")


@pytest.mark.parametrize(
    ("status", "headers", "body", "seconds"),
    [
        (429, {"retry-after": "7"}, b"", 7),
        (429, {"retry-after-ms": "1500"}, b"", 1.5),
        (503, {"retry-after": "2"}, b"", 2),
        (429, {"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "7.66s"}, b"", 7.66),
        (429, {}, openai(GROQ_TPM), 5.289),
        (429, {}, openai(GROQ_TPD), 179.56),
        (429, {}, openai("Please retry after 20 seconds."), 20),
        (429, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1795003600000"}, b"", 3600),
        (
            429,
            {},
            openrouter(
                429,
                "Rate limit exceeded: free-models-per-day",
                headers={"X-RateLimit-Limit": "50", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1795003600000"},
            ),
            3600,
        ),
        (429, {}, openrouter(429, "x", retry_after_seconds=12), 12),
        (429, {"retry-after": "30, 30"}, b"", 30),
        (429, {"retry-after": "3456000"}, b"", 31 * 86_400),
        (429, {"retry-after-ms": "-5", "retry-after": "4"}, b"", 4),
        (429, {"retry-after": "2 minutes"}, b"", 120),
        (429, {"retry-after": "Thu, 31 Dec 2099 23:59:59 GMT"}, b"", 31 * 86_400),
        (429, {}, openai("Please try again in 2 minutes."), 120),
        (429, {}, openai("Please wait 1 hour and 5 minutes before the next request"), 3900),
        (429, {}, openai("Your limit resets in 3h20m."), 12_000),
        (429, {}, openai("Try again in an hour."), 3600),
        (429, {}, openai("Limit 3 per 1 minute. Try again later."), None),
        (429, {}, [{"error": {"message": "x", "details": [{"@type": "RetryInfo", "retryDelay": "34.07s"}]}}], 34.07),
        (429, {}, {"error": {"message": "x", "retry_after": 9}}, 9),
        (429, {}, {"error": {"message": "x", "retry_after": "1m30s"}}, 90),
        (429, {}, {"message": "You are being rate limited.", "code": 0, "retry_after": 0.65}, 0.65),
        (429, {}, {"error": {"message": "x"}, "retry_after": 11}, 11),
        (429, {}, {"error": {"message": "x", "resets_at": NOW + 77}}, 77),
        (429, {}, {"error": {"message": "x", "retry_after": -3}}, None),
        (429, {}, b"", None),
        (429, {"retry-after": "soon"}, b"", None),
        (401, {"retry-after": "7"}, b"", None),
    ],
)
def test_the_wait_is_found_wherever_the_router_told_it(status, headers, body, seconds):
    failed = judge(status, headers, body if isinstance(body, bytes) else wire.dumps(body), NOW)
    assert failed.retry_after == (None if seconds is None else pytest.approx(seconds, abs=1e-3))


def test_a_moment_read_without_a_clock_is_no_wait():
    headers = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1795003600000"}
    assert judge_error(openrouter(429, "x", headers=headers)["error"], None, 0.0).retry_after is None
