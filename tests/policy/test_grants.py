"""What a token may: read, kept, and held against a plan and a budget."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chomp_mcp.errors import InvalidRequest, NotAllowed
from chomp_mcp.messages import Plan, Route, Router
from chomp_mcp.policy.budget import Limits
from chomp_mcp.policy.grants import DOORS, UNLIMITED, Grant, checked, of_record, permitted, within

NOW = 1_800_000_000.0
GROQ, ZEN = (Router(name, name, f"http://{name}", key_variable="K") for name in ("groq", "zen"))
PLAN = Plan("auto", (Route(GROQ, "large"), Route(ZEN, "small")))
money = st.none() | st.decimals(0, 1000, places=4)


@given(
    st.builds(
        Grant,
        name=st.text(min_size=1, max_size=9),
        models=st.lists(st.sampled_from(["groq/*", "coding", "auto"])).map(tuple),
        doors=st.lists(st.sampled_from(DOORS)).map(tuple),
        daily=money,
        monthly=money,
        rps=st.none() | st.floats(0.001, 100),
        expires_at=st.none() | st.floats(1, 4e9),
        lends=st.booleans(),
    )
)
def test_a_grant_comes_back_from_the_store_as_it_went_in(grant):
    assert of_record({"grant": grant.as_record()}) == grant


@pytest.mark.parametrize("record", [None, {}, {"keys": {}}])
def test_a_token_of_which_nothing_is_known_is_limited_by_nothing(record):
    assert of_record(record) is UNLIMITED
    assert permitted(PLAN, UNLIMITED) is PLAN
    limits = Limits(5, None)
    assert within(limits, UNLIMITED) is limits


@pytest.mark.parametrize(
    ("models", "left"),
    [(("groq/*",), ["groq/large"]), (("zen/small", "groq/l*"), ["groq/large", "zen/small"]), (("auto",), None)],
)
def test_a_plan_keeps_the_routes_that_a_pattern_allows(models, left):
    kept = permitted(PLAN, Grant("a", models))
    assert [route.ref for route in kept.routes] == (left or ["groq/large", "zen/small"])


def test_where_no_route_is_left_the_error_says_what_is_allowed():
    with pytest.raises(NotAllowed, match=r"may not use auto.*openai/\*"):
        permitted(PLAN, Grant("a", ("openai/*",)))


@given(*[st.none() | st.integers(0, 10**6)] * 4)
def test_the_narrower_budget_holds(day, month, own_day, own_month):
    daily, monthly = (None if nano is None else Decimal(nano).scaleb(-9) for nano in (own_day, own_month))
    told = within(Limits(day, month), Grant("a", daily=daily, monthly=monthly))
    for found, pair in ((told.day_nano, (day, own_day)), (told.month_nano, (month, own_month))):
        assert found == min((nano for nano in pair if nano is not None), default=None)


def test_what_the_owner_says_is_read():
    told = {"name": " ci ", "models": "groq/*, coding", "doors": ["mcp"], "daily": "1.50", "rps": 2, "expires": "12h"}
    grant = checked(told, NOW, lends=True)
    assert grant == Grant("ci", ("groq/*", "coding"), ("mcp",), Decimal("1.50"), None, 2.0, NOW + 43_200, lends=True)
    assert not grant.has_ended(NOW + 43_199)
    assert grant.has_ended(NOW + 43_200)
    assert grant.names_router("groq")
    assert not grant.names_router("coding")
    assert checked({"name": "a", "expires": "2027-01-31"}, NOW, lends=False).expires_at == 1_801_353_600


@pytest.mark.parametrize(
    ("told", "param"),
    [
        ({}, "name"),
        ({"name": "a\x1b[31m"}, "name"),
        ({"name": "a" * 65}, "name"),
        ({"models": [""]}, "models"),
        ({"models": ["x"] * 101}, "models"),
        ({"doors": ["ssh"]}, "doors"),
        ({"daily": "lots"}, "daily"),
        ({"daily": True}, "daily"),
        ({"monthly": -1}, "monthly"),
        ({"rps": 0}, "rps"),
        ({"expires": "yesterday"}, "expires"),
        ({"expires": "2020-01-01"}, "expires"),
        ({"expires": 5}, "expires"),
    ],
)
def test_what_cannot_be_meant_is_named_by_its_field(told, param):
    with pytest.raises(InvalidRequest) as wrong:
        checked({"name": "a", **told} if told else told, NOW, lends=False)
    assert wrong.value.param == param
