"""Budgets: nothing is spent above a limit, and no nano-dollar gets lost."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from chomp_mcp.policy.budget import Limits, left, nano, resets_on, room, usd, used_up

BOTH = Limits(day_nano=100, month_nano=1000)


@pytest.mark.parametrize(
    ("spent_day", "spent_month", "held", "amount", "limits", "window"),
    [
        pytest.param(0, 0, 0, 100, BOTH, None, id="exactly the limit is within it"),
        pytest.param(0, 0, 0, 101, BOTH, "day", id="one more is not"),
        pytest.param(60, 60, 40, 1, BOTH, "day", id="what others hold counts as spent"),
        pytest.param(0, 950, 0, 51, BOTH, "month", id="the month is its own limit"),
        pytest.param(100, 1000, 0, 1, BOTH, "month", id="the later reset is told"),
        pytest.param(900, 5000, 70, 0, BOTH, None, id="what is free passes an exhausted budget"),
        pytest.param(10**12, 10**12, 0, 10**9, Limits(), None, id="no limits, no refusal"),
        pytest.param(0, 0, 0, 1, Limits(month_nano=0), "month", id="only a month limit"),
    ],
)
def test_the_window_that_is_used_up(spent_day, spent_month, held, amount, limits, window):
    assert used_up(spent_day, spent_month, held, amount, limits) == window


amounts = st.integers(0, 10**9)


@given(amounts, amounts, amounts, st.integers(1, 10**9), st.none() | amounts, st.none() | amounts)
def test_what_is_allowed_never_exceeds_a_limit(day, month, held, amount, day_limit, month_limit):
    window = used_up(day, month, held, amount, Limits(day_limit, month_limit))

    fits = all(
        limit is None or spent + held + amount <= limit for spent, limit in ((day, day_limit), (month, month_limit))
    )
    assert (window is None) == fits


@pytest.mark.parametrize(
    ("dollars", "expected"),
    [("0", 0), ("1e-10", 1), ("1e-9", 1), ("1.1e-9", 2), ("50", 50 * 10**9), ("1234567.8", 1234567800 * 10**6)],
)
def test_dollars_become_nano_dollars_rounded_up(dollars, expected):
    assert nano(Decimal(dollars)) == expected


@given(st.integers(0, 10**15))
def test_nano_dollars_become_exact_dollars_and_come_back(amount):
    assert nano(usd(amount)) == amount


@given(st.lists(st.decimals(0, 10, places=12), max_size=30))
def test_many_small_calls_never_add_up_to_less_than_they_cost(costs):
    assert usd(sum(map(nano, costs))) >= sum(costs)


@pytest.mark.parametrize(
    ("window", "today", "resets"),
    [
        ("day", date(2026, 11, 22), date(2026, 11, 23)),
        ("month", date(2026, 11, 22), date(2026, 12, 1)),
        ("month", date(2026, 12, 31), date(2027, 1, 1)),
        ("day", date(2028, 2, 28), date(2028, 2, 29)),
        ("month", date(2028, 1, 31), date(2028, 2, 1)),
    ],
)
def test_a_window_resets_on_the_next_day_or_the_first_of_the_month(window, today, resets):
    assert resets_on(window, today) == resets


@given(st.dates())
def test_a_reset_lies_ahead_and_within_its_window(today):
    if today.year == date.max.year:
        return
    day, month = resets_on("day", today), resets_on("month", today)

    assert today < day <= month
    assert (month - today).days <= 31


@pytest.mark.parametrize(
    ("spent", "limits", "rest"),
    [((3, 7), Limits(10, 100), 7), ((3, 98), Limits(10, 100), 2), ((3, 7), Limits(), None), ((12, 7), Limits(10), -2)],
)
def test_what_is_left_is_what_the_nearer_limit_leaves(spent, limits, rest):
    assert left(*spent, limits) == rest


class BudgetMachine(RuleBasedStateMachine):
    """Reserve, settle, release and days that pass: the limits hold, and every nano-dollar is somewhere."""

    holds = Bundle("holds")

    def __init__(self):
        super().__init__()
        self.limits = Limits(day_nano=1000, month_nano=2500)
        self.day = self.month = 0
        self.held: dict[int, int] = {}
        self.next_id = 0
        self.paid = 0

    @rule(target=holds, amount=st.integers(0, 700))
    def reserve(self, amount):
        before = (self.day, self.month, sum(self.held.values()))
        window = used_up(*before, amount, self.limits)
        if window:
            spent, limit = {"day": (self.day, 1000), "month": (self.month, 2500)}[window]
            assert spent + before[2] + amount > limit, "refused though it fits"
            return None
        self.next_id += 1
        self.held[self.next_id] = amount
        return self.next_id

    @rule(hold=consumes(holds), share=st.floats(0, 1))
    def settle(self, hold, share):
        if hold is None:
            return
        cost = nano(usd(self.held.pop(hold)) * Decimal(share))
        self.day += cost
        self.month += cost
        self.paid += cost

    @rule(hold=consumes(holds))
    def release(self, hold):
        self.held.pop(hold, None)

    @rule()
    def a_day_passes(self):
        self.day = 0

    @invariant()
    def spent_and_held_stay_within_the_limits(self):
        held = sum(self.held.values())
        assert self.day + held <= 1000
        assert self.month + held <= 2500
        assert self.month == self.paid


TestBudgetMachine = BudgetMachine.TestCase


@pytest.mark.parametrize(
    ("spent", "held", "amount", "limits", "spare"),
    [
        ((0, 0), 0, 100, Limits(10_000, None), 100),
        ((0, 0), 0, 101, Limits(10_000, None), 0),
        ((5_000, 0), 2_000, 30, Limits(10_000, None), 30),
        ((0, 99_000), 0, 10, Limits(10_000, 100_000), 10),
        ((20_000, 0), 0, 1, Limits(10_000, None), 0),
        ((0, 0), 0, 1, Limits(), 1000),
    ],
)
def test_a_hundredth_of_what_is_left_may_be_held_in_advance_where_that_is_enough_for_a_call(
    spent, held, amount, limits, spare
):
    assert room(*spent, held, amount, limits) == spare
