"""The breaker: never stuck, one probe, and a success forgets."""

from __future__ import annotations

import json
from dataclasses import asdict

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from chomp_mcp.policy.breaker import (
    CLOSED,
    PROBE_RESETS,
    BreakerRules,
    BreakerState,
    after_failure,
    after_release,
    after_success,
    allows,
    open_until,
)

RULES = BreakerRules(threshold=3, reset_seconds=60.0)
NOW = 1_795_000_000.0


def opened(at=NOW):
    state = CLOSED
    for _ in range(RULES.threshold):
        state = after_failure(state, at, RULES)
    return state


def test_it_opens_at_the_threshold_and_not_before():
    state = CLOSED
    for _ in range(RULES.threshold - 1):
        state = after_failure(state, NOW, RULES)
        assert state.state == "closed"
        assert allows(state, NOW, RULES)[0]

    state = after_failure(state, NOW, RULES)

    assert state.state == "open"
    assert not allows(state, NOW, RULES)[0]


def test_a_success_between_failures_forgets_them():
    state = CLOSED
    for _ in range(10):
        state = after_failure(after_failure(state, NOW, RULES), NOW, RULES)
        state = after_success(state)

    assert state == CLOSED


def test_an_open_breaker_says_no_until_the_reset_and_then_lets_one_probe_pass():
    state = opened()

    assert not allows(state, NOW + 59.9, RULES)[0]
    passed, probing = allows(state, NOW + 60, RULES)
    assert passed
    assert probing.state == "half_open"
    assert not allows(probing, NOW + 60, RULES)[0]
    assert not allows(probing, NOW + 100, RULES)[0]


def test_a_probe_that_succeeds_closes_it():
    _, probing = allows(opened(), NOW + 60, RULES)

    assert after_success(probing) == CLOSED


def test_a_probe_that_fails_opens_it_for_another_reset():
    _, probing = allows(opened(), NOW + 60, RULES)

    again = after_failure(probing, NOW + 61, RULES)

    assert again.state == "open"
    assert open_until(again, RULES) == NOW + 61 + 60
    assert allows(again, NOW + 61 + 60, RULES)[0]


def test_a_probe_that_never_reports_back_frees_its_place():
    _, probing = allows(opened(), NOW + 60, RULES)
    silent_until = NOW + 60 + PROBE_RESETS * RULES.reset_seconds

    assert not allows(probing, silent_until - 0.1, RULES)[0]
    passed, next_probe = allows(probing, silent_until, RULES)
    assert passed
    assert not allows(next_probe, silent_until, RULES)[0]


def test_a_probe_that_ends_without_a_verdict_frees_its_place_at_once():
    _, probing = allows(opened(), NOW + 60, RULES)

    released = after_release(probing)

    assert released.state == "half_open"
    assert allows(released, NOW + 61, RULES)[0]


@pytest.mark.parametrize("state", [CLOSED, opened(), BreakerState(failures=2)])
def test_a_release_changes_nothing_but_a_probe(state):
    assert after_release(state) is state


def test_late_failures_do_not_push_the_reset_of_an_open_breaker_away():
    state = opened()

    for late in range(50):
        state = after_failure(state, NOW + late, RULES)

    assert allows(state, NOW + 60, RULES)[0]


@pytest.mark.parametrize("jump", [-61.0, -3600.0, -86_400.0 * 365])
def test_a_clock_turned_back_cannot_keep_it_open(jump):
    _, probing = allows(opened(), NOW + 60, RULES)

    assert allows(opened(), NOW + jump, RULES)[0]
    assert allows(probing, NOW + 60 + jump, RULES)[0]


def test_nothing_is_written_where_nothing_changed():
    busy = BreakerState(failures=2)

    assert allows(busy, NOW, RULES)[1] is busy
    assert allows(opened(), NOW, RULES)[1] == opened()
    assert after_success(CLOSED) is CLOSED
    other_but_equal = BreakerState()
    assert after_success(other_but_equal) is other_but_equal


@pytest.mark.parametrize(
    "garbage",
    [
        None,
        {},
        {"state": "ajar"},
        {"state": ["open"]},
        {"state": "open", "failures": "many"},
        {"state": "open", "opened_at": None},
        {"state": "open", "failures": float("inf")},
    ],
)
def test_what_cannot_be_read_is_a_closed_breaker(garbage):
    assert BreakerState.from_value(garbage) == CLOSED


@given(
    st.builds(
        BreakerState,
        state=st.sampled_from(["closed", "open", "half_open"]),
        failures=st.integers(0, 1000),
        opened_at=st.floats(0, 1e11),
        probe_until=st.floats(0, 1e11),
    )
)
def test_a_state_survives_the_store(state):
    assert BreakerState.from_value(json.loads(json.dumps(asdict(state)))) == state


def test_open_until_says_when_the_next_probe_may_pass():
    _, probing = allows(opened(), NOW + 60, RULES)

    assert open_until(CLOSED, RULES) is None
    assert open_until(opened(), RULES) == NOW + 60
    assert open_until(probing, RULES) == NOW + 60 + PROBE_RESETS * 60


class BreakerMachine(RuleBasedStateMachine):
    """Any history of requests, verdicts, silences and passing time, against a model that only counts."""

    def __init__(self):
        super().__init__()
        self.now = NOW
        self.state = CLOSED
        self.failures_in_a_row = 0
        self.probe_sent_at: float | None = None

    @rule(seconds=st.floats(0.01, 200))
    def time_passes(self, seconds):
        self.now += seconds

    @rule()
    def somebody_asks(self):
        before = self.state
        passed, self.state = allows(before, self.now, RULES)
        if before.state == "closed":
            assert passed
            return
        if passed:
            probe_is_out = self.probe_sent_at is not None
            assert not probe_is_out or self.now - self.probe_sent_at >= PROBE_RESETS * RULES.reset_seconds - 1e-6
            self.probe_sent_at = self.now
            assert not allows(self.state, self.now, RULES)[0], "a second probe passed"

    @precondition(lambda self: self.state.state == "closed" or self.probe_sent_at is not None)
    @rule()
    def the_answer_is_good(self):
        self.state = after_success(self.state)
        self.failures_in_a_row = 0
        self.probe_sent_at = None
        assert self.state == CLOSED

    @rule()
    def the_answer_is_a_failure(self):
        was_open = self.state.state == "open"
        self.state = after_failure(self.state, self.now, RULES)
        if not was_open:
            self.failures_in_a_row += 1
            self.probe_sent_at = None

    @precondition(lambda self: self.probe_sent_at is not None)
    @rule()
    def the_caller_hangs_up(self):
        self.state = after_release(self.state)
        self.probe_sent_at = None

    @precondition(lambda self: self.probe_sent_at is not None)
    @rule()
    def the_process_is_killed_and_the_state_read_again(self):
        self.state = BreakerState.from_value(asdict(self.state))

    @invariant()
    def it_is_closed_exactly_while_the_failures_in_a_row_are_few(self):
        assert (self.state.state == "closed") == (self.failures_in_a_row < RULES.threshold)

    @invariant()
    def it_is_never_stuck(self):
        quiet = self.now + PROBE_RESETS * RULES.reset_seconds
        assert allows(self.state, quiet + 0.001, RULES)[0]
        if self.state.state == "open":
            assert allows(self.state, self.now + RULES.reset_seconds, RULES)[0]


TestBreakerMachine = BreakerMachine.TestCase
