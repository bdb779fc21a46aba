"""The orders of a group, against their words."""

from __future__ import annotations

from decimal import Decimal
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from chomp_mcp.messages import Model, Route, Router
from chomp_mcp.policy import order
from chomp_mcp.policy.quota import Reading

NOW = 1_000_000.0
ROUTER = Router("r", "R", "http://x")
costs = st.none() | st.decimals(0, 10, places=4)
left = st.builds(
    Reading,
    st.just("requests"),
    st.sampled_from(["minute", "hour", "day"]),
    st.integers(1, 100),
    st.none() | st.integers(0, 100),
    st.none() | st.floats(NOW - 7200, NOW + 90_000),
)


def routes(count: int) -> list[Route]:
    return [Route(ROUTER, str(i)) for i in range(count)]


@given(st.lists(costs, min_size=1, max_size=8))
def test_the_cheapest_comes_first_the_unknown_last_and_equals_as_listed(known: list[Decimal | None]) -> None:
    got = order.ranked(routes(len(known)), frozenset(), lambda route: order.by_cost(known[int(route.model)]))
    wanted = sorted((price, i) for i, price in enumerate(known) if price is not None)
    assert [int(r.model) for r in got] == [i for _, i in wanted] + [i for i, p in enumerate(known) if p is None]


@given(st.lists(st.lists(left, max_size=3), min_size=1, max_size=6))
def test_what_expires_first_is_used_first_and_what_is_used_up_last(known: list[list[Reading]]) -> None:
    got = order.ranked(routes(len(known)), frozenset(), lambda route: order.by_quota(known[int(route.model)], NOW))

    def live(index: int) -> list[Reading]:
        return [r for r in known[index] if r.remaining is not None and (r.resets_at or NOW + 1) > NOW]

    kinds = []
    for route in got:
        told = live(int(route.model))
        kinds.append(1 if not told else 2 if any(r.remaining == 0 for r in told) else 0)
    assert kinds == sorted(kinds)
    usable = [live(int(route.model)) for route, kind in zip(got, kinds, strict=True) if kind == 0]
    single = [told[0] for told in usable if len(told) == 1]
    minutes = [float("inf") if r.resets_at is None else r.resets_at // 60 for r in single]
    assert minutes == sorted(minutes)
    for one, two in pairwise(single):
        if one.resets_at == two.resets_at:
            assert min(1, (one.remaining or 0) / (one.limit or 1)) >= min(1, (two.remaining or 0) / (two.limit or 1))


@given(st.lists(st.none() | st.floats(0, 60), min_size=1, max_size=8))
def test_the_quickest_comes_first_once_each_was_measured(known: list[float | None]) -> None:
    got = order.ranked(routes(len(known)), frozenset(), lambda route: order.by_speed(known[int(route.model)]))
    figures = [known[int(route.model)] for route in got]
    measured = [figure for figure in figures if figure is not None]
    assert figures == [None] * (len(figures) - len(measured)) + sorted(measured)


def test_a_spread_gives_each_its_share_and_nothing_to_what_is_used_up() -> None:
    """A hundred equally spaced chances: three quarters left are asked three times as often as one quarter."""
    first = 0
    for i in range(100):
        for j in range(100):
            one, two = order.by_spread(0.75, (i + 0.5) / 100), order.by_spread(0.25, (j + 0.5) / 100)
            first += one < two
    assert 7300 <= first <= 7700
    assert order.by_spread(0.0, 0.5) > order.by_spread(0.01, 0.0)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 3)), min_size=1, max_size=8))
def test_whatever_the_order_the_known_come_before_the_unknown(known: list[tuple[bool, int]]) -> None:
    needs = frozenset({"vision"})
    tries = [
        Route(ROUTER, str(i), listed=Model("r", str(i), can=needs if can else frozenset()))
        for i, (can, _) in enumerate(known)
    ]
    got = order.ranked(tries, needs, lambda route: (known[int(route.model)][1],))
    assert [int(r.model) for r in got] == sorted(range(len(known)), key=lambda i: (not known[i][0], known[i][1], i))
