"""Who cannot is not planned, and the unknown come after the known."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from chomp_mcp.errors import NotCapable
from chomp_mcp.messages import AUTO, NEEDS, Model, Router
from chomp_mcp.policy import routing
from chomp_mcp.policy.roster import Roster
from chomp_mcp.policy.routing import Book

IDS = ("a", "b", "c", "d")
flags = st.dictionaries(st.sampled_from(NEEDS), st.booleans())
models = st.lists(st.tuples(st.sampled_from(IDS), flags), max_size=4, unique_by=lambda each: each[0])
ROUTERS = {name: Router(name, name, "http://x", key_variable="K", models=("a", "b")) for name in ("one", "two")}
refusals = st.dictionaries(
    st.tuples(st.sampled_from(list(ROUTERS)), st.sampled_from(IDS)).map("/".join), st.sets(st.sampled_from(NEEDS))
)


def roster(router: str, rows: list[tuple[str, dict[str, bool]]]) -> Roster:
    def those(told: dict[str, bool], which: bool) -> frozenset[str]:
        return frozenset(need for need, can in told.items() if can is which)

    return Roster(Model(router, name, can=those(told, True), cannot=those(told, False)) for name, told in rows)


@given(models, models, refusals, st.frozensets(st.sampled_from(NEEDS)), st.sampled_from(["auto", "a", "one/c"]))
def test_nobody_who_cannot_is_planned_and_the_unknown_come_after_the_known(
    first: list[Any], second: list[Any], unable: dict[str, set[str]], needs: frozenset[str], ref: str
) -> None:
    its_list = {f"{router}/{name}": its for router, rows in (("one", first), ("two", second)) for name, its in rows}
    book = Book(ROUTERS, dict.fromkeys(ROUTERS, (("k", "k"),)), unable=unable)
    lists = {"one": roster("one", first), "two": roster("two", second)}
    target = routing.resolve(ref, AUTO, book, lists, needs)

    def can(name: str, need: str) -> bool | None:
        return False if need in unable.get(name, ()) else its_list.get(name, {}).get(need)

    def rank(name: str) -> int:
        answers = {can(name, need) for need in needs}
        return 2 if False in answers else 1 if None in answers else 0

    try:
        plain = [route.ref for route in routing.plan(replace(target, needs=frozenset()), book, lists).routes]
    except routing.UnknownModel:
        return
    try:
        plan = routing.plan(target, book, lists)
    except NotCapable as error:
        assert all(rank(each) == 2 for each in plain)
        if ref == AUTO:
            assert all(
                rank(each) == 2 for each in its_list if each.partition("/")[0] in {p.partition("/")[0] for p in plain}
            )
        told = str(error)
    else:
        told = ""
    if told:
        assert plain[0] in told
        return
    ranks = [rank(route.ref) for route in plan.routes]
    assert 2 not in ranks
    assert ranks == sorted(ranks)
    planned = [route.ref for route in plan.routes]
    assert {each for each in plain if rank(each) < 2} <= set(planned)
    for level in (0, 1):
        kept = [each for each in planned if rank(each) == level and each in plain]
        assert kept == [each for each in plain if rank(each) == level]
    dropped = [each for each in plain if rank(each) == 2]
    assert all(any(each in note for note in plan.notes) for each in dropped[:4])
