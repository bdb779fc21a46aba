"""The failure table: every row of the design, and what a plan makes of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chomp_mcp.messages import Failed, FailureKind, Model, Route, Router
from chomp_mcp.policy.failover import ACTIONS, GONE_SECONDS, rest_seconds, retry_wait, suitable

NOW = 1_795_000_000.0
Kind = FailureKind


def route(router, model="m", key="k1", context=None):
    listed = Model(router, model, context_length=context) if context else None
    return Route(Router(router, router, "http://x"), model, key, f"id-{key}", listed)


GROQ_1 = route("groq", key="k1", context=8_000)
GROQ_2 = route("groq", key="k2", context=8_000)
GROQ_OTHER = route("groq", model="other", key="k1", context=32_000)
ZEN = route("zen", context=128_000)
OLLAMA = route("ollama", key="")
PLAN = (GROQ_1, GROQ_2, GROQ_OTHER, ZEN, OLLAMA)


@pytest.mark.parametrize(
    ("kind", "retry_same", "next_", "counts", "rest"),
    [
        (Kind.TRANSIENT, True, "route", True, ""),
        (Kind.TIMEOUT, False, "route", True, ""),
        (Kind.RATE_LIMITED, False, "key", False, "retry_after"),
        (Kind.QUOTA, False, "key", False, "reset_or_hour"),
        (Kind.BAD_KEY, False, "key", False, "key_refused"),
        (Kind.REFUSED_HERE, False, "key", False, "model_refused"),
        (Kind.NO_SUCH_MODEL, False, "if_free_choice", False, "model_gone"),
        (Kind.TOO_LONG, False, "larger", False, ""),
        (Kind.CALLER_FAULT, False, "stop", False, ""),
        (Kind.CUT, False, "stop", True, ""),
        (Kind.HUNG_UP, False, "stop", False, ""),
    ],
)
def test_the_row_of_the_design(kind, retry_same, next_, counts, rest):
    action = ACTIONS[kind]

    assert (action.retry_same, action.next, action.counts_for_breaker, action.rest) == (
        retry_same,
        next_,
        counts,
        rest,
    )


def test_every_kind_has_a_row():
    assert set(ACTIONS) == set(FailureKind)


def next_index(routes, index, kind, free_choice):
    return next(suitable(routes, index, kind, free_choice), None)


@pytest.mark.parametrize(
    ("kind", "free_choice", "expected"),
    [
        pytest.param(Kind.TRANSIENT, False, GROQ_OTHER, id="transient: not the key's fault, so no other key of it"),
        pytest.param(Kind.TIMEOUT, True, GROQ_OTHER, id="timeout: likewise"),
        pytest.param(Kind.RATE_LIMITED, False, GROQ_2, id="rate limited: the next key"),
        pytest.param(Kind.QUOTA, False, GROQ_2, id="quota: the next key"),
        pytest.param(Kind.BAD_KEY, False, GROQ_2, id="bad key: the next key"),
        pytest.param(Kind.REFUSED_HERE, False, GROQ_2, id="refused here: another key has another account"),
        pytest.param(Kind.NO_SUCH_MODEL, True, GROQ_OTHER, id="no such model: another one if there was a choice"),
        pytest.param(Kind.NO_SUCH_MODEL, False, None, id="no such model: a named one is a promise"),
        pytest.param(Kind.TOO_LONG, False, GROQ_OTHER, id="too long: the next larger context"),
        pytest.param(Kind.CALLER_FAULT, True, None, id="caller's fault: the same everywhere"),
        pytest.param(Kind.CUT, True, None, id="cut: never again after the first delta"),
        pytest.param(Kind.HUNG_UP, True, None, id="hung up: nobody is waiting"),
    ],
)
def test_where_it_goes_on_from_the_first_route(kind, free_choice, expected):
    index = next_index(PLAN, 0, kind, free_choice)

    assert (None if index is None else PLAN[index]) == expected


def test_after_the_last_key_comes_the_next_route():
    assert next_index(PLAN, 1, Kind.RATE_LIMITED, False) == 2


def test_the_very_same_route_is_never_the_next():
    assert next_index((GROQ_1, GROQ_1, ZEN), 0, Kind.RATE_LIMITED, True) == 2


def test_a_named_model_with_one_key_has_nowhere_to_go():
    for kind in FailureKind:
        assert next_index((GROQ_1,), 0, kind, False) is None


@pytest.mark.parametrize(
    ("failed", "other", "goes"),
    [
        pytest.param(GROQ_1, ZEN, True, id="larger"),
        pytest.param(ZEN, GROQ_1, False, id="smaller"),
        pytest.param(ZEN, route("fireworks", context=128_000), False, id="equal"),
        pytest.param(GROQ_1, OLLAMA, False, id="unknown"),
        pytest.param(OLLAMA, ZEN, True, id="known after unknown"),
        pytest.param(OLLAMA, route("cursor"), False, id="both unknown"),
    ],
)
def test_what_was_too_long_goes_only_to_a_larger_context(failed, other, goes):
    assert (next_index((failed, other), 0, Kind.TOO_LONG, True) == 1) is goes


routes = st.builds(
    route,
    st.sampled_from(["groq", "zen", "cerebras"]),
    st.sampled_from(["m", "n"]),
    st.sampled_from(["k1", "k2"]),
    st.sampled_from([None, 8_000, 128_000]),
)


@given(st.lists(routes, min_size=1, max_size=8), st.sampled_from(list(FailureKind)), st.booleans(), st.data())
def test_a_plan_always_moves_forward_and_ends(plan, kind, free_choice, data):
    index = data.draw(st.integers(0, len(plan) - 1))
    tries = 0
    while (following := next_index(plan, index, kind, free_choice)) is not None:
        assert index < following < len(plan)
        index, tries = following, tries + 1
    assert tries < len(plan)


DAY = 86_400.0


@pytest.mark.parametrize(
    ("kind", "told", "seconds"),
    [
        pytest.param(Kind.RATE_LIMITED, 7.5, 7.5, id="what it told"),
        pytest.param(Kind.RATE_LIMITED, 0.02, 1.0, id="no storm after a sub-second Retry-After"),
        pytest.param(Kind.RATE_LIMITED, -5.0, 1.0, id="a reset in the past"),
        pytest.param(Kind.RATE_LIMITED, 3e7, DAY, id="no key frozen for a year"),
        pytest.param(Kind.RATE_LIMITED, None, 60.0, id="a minute when it said nothing"),
        pytest.param(Kind.QUOTA, 5 * 3600.0, 5 * 3600.0, id="the reset of a daily cap is not shortened"),
        pytest.param(Kind.QUOTA, None, 3600.0, id="an hour when it said nothing"),
        pytest.param(Kind.QUOTA, 30 * DAY, DAY, id="a monthly cap is looked at once a day"),
        pytest.param(Kind.BAD_KEY, None, 60.0, id="a key is tried once more"),
        pytest.param(Kind.BAD_KEY, 1.0, 60.0, id="a Retry-After does not mend a key"),
        pytest.param(Kind.REFUSED_HERE, None, 60.0, id="a refusal without a reason"),
        pytest.param(Kind.NO_SUCH_MODEL, None, GONE_SECONDS, id="a gone model"),
        pytest.param(Kind.NO_SUCH_MODEL, 1.0, GONE_SECONDS, id="a Retry-After does not bring a model back"),
    ],
)
def test_how_long_it_rests(kind, told, seconds):
    assert rest_seconds(Failed(kind, "no", retry_after=told)) == seconds


def test_a_key_that_is_refused_again_after_its_first_rest_is_set_aside_for_a_day():
    assert rest_seconds(Failed(Kind.BAD_KEY, "no"), refused_before=True) == DAY


def test_a_refusal_with_a_reason_rests_the_model_for_minutes():
    assert rest_seconds(Failed(Kind.REFUSED_HERE, "no", why="region")) == 300.0


@pytest.mark.parametrize("kind", [kind for kind in FailureKind if not ACTIONS[kind].rest])
def test_the_other_failures_let_nothing_rest(kind):
    assert rest_seconds(Failed(kind, "no", retry_after=30.0)) is None


@pytest.mark.parametrize(
    ("told", "jitter", "wait"),
    [(None, 0.0, 0.1), (None, 1.0, 0.5), (0.0, 0.25, 0.2), (0.2, 0.0, 0.2), (2.0, 1.0, 2.0), (2.1, 0.0, None)],
)
def test_a_transient_failure_is_retried_once_after_a_short_wait_or_not_at_all(told, jitter, wait):
    assert retry_wait(Failed(Kind.TRANSIENT, "no", retry_after=told), jitter) == wait


@pytest.mark.parametrize("kind", [kind for kind in FailureKind if kind is not Kind.TRANSIENT])
def test_no_other_failure_is_retried_on_the_same_route(kind):
    assert retry_wait(Failed(kind, "no"), 0.5) is None


@given(st.sampled_from(list(FailureKind)), st.none() | st.floats(-1e9, 1e12), st.floats(0, 1))
def test_waits_are_short_and_rests_sane_whatever_a_router_says(kind, told, jitter):
    failed = Failed(kind, "no", retry_after=told)

    wait, rest = retry_wait(failed, jitter), rest_seconds(failed)

    assert wait is None or 0.1 <= wait <= 2.0
    assert rest is None or 1 <= rest <= DAY
