"""The token bucket: never more than the rate allows, and the wait it tells is the wait it keeps."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from chomp_mcp.policy.rate_limit import Bucket, full, take

NOW = 1_795_000_000.0


def take_all(bucket, now, rps, burst):
    taken = 0
    while True:
        bucket, wait = take(bucket, now, rps, burst)
        if wait:
            return taken, bucket, wait
        taken += 1


def test_a_burst_passes_and_the_next_one_waits_for_its_token():
    taken, bucket, wait = take_all(full(NOW, 20), NOW, 10, 20)

    assert taken == 20
    assert 0.1 <= wait < 0.1001
    assert take(bucket, NOW + wait, 10, 20)[1] == 0.0


def test_an_idle_bucket_keeps_no_more_than_the_burst():
    _, empty, _ = take_all(full(NOW, 5), NOW, 10, 5)

    assert take_all(empty, NOW + 86_400, 10, 5)[0] == 5


def test_a_rate_of_zero_turns_the_limit_off():
    bucket = Bucket(0.0, NOW)

    assert take(bucket, NOW, 0, 20) == (bucket, 0.0)


def test_a_burst_of_zero_still_lets_one_pass():
    assert take_all(full(NOW, 0), NOW, 1, 0)[0] == 1


def test_a_clock_turned_back_takes_nothing_away_and_gives_nothing():
    bucket, _ = take(full(NOW, 5), NOW, 1, 5)

    taken, bucket, wait = take_all(bucket, NOW - 3600, 1, 5)

    assert taken == 4
    assert wait < 1.001
    assert take(bucket, NOW - 3600 + wait, 1, 5)[1] == 0.0


rates = st.floats(0.01, 1000)
gaps = st.lists(st.floats(0, 30), max_size=60)


@given(rates, st.integers(1, 50), gaps)
def test_no_more_pass_than_burst_plus_rate_times_time(rps, burst, gaps):
    bucket, now, passed = full(NOW, burst), NOW, 0
    for gap in gaps:
        now += gap
        bucket, wait = take(bucket, now, rps, burst)
        passed += wait == 0

    assert passed <= burst + (now - NOW) * rps + 1e-3


@given(rates, st.integers(1, 50), gaps)
def test_who_waits_as_told_gets_in(rps, burst, gaps):
    bucket, now = full(NOW, burst), NOW
    for gap in gaps:
        now += gap
        bucket, wait = take(bucket, now, rps, burst)
        if wait:
            now += wait
            bucket, wait = take(bucket, now, rps, burst)
            assert wait == 0.0
