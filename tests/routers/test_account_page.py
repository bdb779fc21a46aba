"""What a key has left by the router's own word, whatever it writes there."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chomp_mcp.messages import Router
from chomp_mcp.policy.quota import Reading
from chomp_mcp.routers.account_page import Credit, credit, page_of

AT = 1_789_300_800.0
MIDNIGHT = 1_789_344_000.0
"""UTC."""
ODD = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9) | st.lists(st.integers(), max_size=2)
)


@pytest.mark.parametrize(
    ("told", "free_only", "remaining"),
    [
        ({"limit_remaining": 4.2, "is_free_tier": False}, False, "4.2"),
        ({"limit_remaining": None, "is_free_tier": True}, True, None),
        ({"limit_remaining": 0}, True, "0"),
        ({"limit_remaining": -0.5}, True, "-0.5"),
        ({"limit_remaining": "lots"}, False, None),
        ({"limit_remaining": True}, False, None),
        ({"limit_remaining": "NaN"}, False, None),
        ({}, False, None),
    ],
)
def test_what_is_left_and_whether_only_free_models_are(told, free_only, remaining):
    assert credit(told, AT) == Credit(free_only, remaining)


def test_calls_of_free_models_count_until_midnight_utc():
    told = credit({"free_model_daily_requests": {"limit": 50, "remaining": 8}}, AT)
    assert told.readings == (Reading("requests", "day", 50, 8, MIDNIGHT, "key"),)


@given(st.dictionaries(st.sampled_from(["limit_remaining", "is_free_tier", "free_model_daily_requests"]), ODD))
def test_no_page_makes_the_reader_raise(told):
    assert isinstance(credit(told, AT), Credit)


def test_the_page_is_asked_for_with_the_key():
    request = page_of(Router("lab", "Lab", "http://lab/v1", key_info="/key"), "k-1")
    assert (request.url, request.headers["authorization"]) == ("http://lab/v1/key", "Bearer k-1")
