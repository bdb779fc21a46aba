"""What is read of an error body, and what of it goes on."""

from __future__ import annotations

import pytest

from chomp_mcp import wire
from chomp_mcp.messages import FailureKind
from chomp_mcp.routers.envelopes import MAX_DEPTH
from chomp_mcp.routers.failures import judge

NOW = 1_795_000_000.0


def nested(depth: int) -> str:
    return "[" * depth + "]" * depth


@pytest.mark.parametrize(
    "body",
    [
        '{"error":{"message":"no","x":%s}}',
        '{"error":{"message":%s}}',
        '{"error":{"message":"no","code":%s}}',
        '{"error":{"message":"no","metadata":{"raw":%s}}}',
        '{"error":%s}',
        '{"detail":[{"msg":%s}]}',
        "%s",
        '{"message":"half an emoji: \\ud83d","x":%s}',
    ],
)
@pytest.mark.parametrize("depth", [MAX_DEPTH * 2, 900, 5_000])
def test_an_error_body_of_any_depth_is_judged_by_its_status(body, depth):
    failed = judge(400, {}, (body % nested(depth)).encode(), NOW)
    assert failed.kind is FailureKind.CALLER_FAULT
    assert wire.dumps(failed.body)


@pytest.mark.parametrize("code", ["9" * 5_000, 10**30, "4040", -404])
def test_a_code_that_is_no_status_is_none(code):
    assert judge(200, {}, wire.dumps({"error": {"message": "no", "code": code}}), NOW).status is None


def test_a_wait_beyond_all_figures_is_no_wait():
    body = b'{"error":{"message":"\\ud83d","metadata":{"retry_after_seconds":1%s}}}' % (b"0" * 400)
    assert judge(429, {}, body, NOW).retry_after is None
