"""For random books, lists, health, quotas, needs and policies the plan is the one that the words demand.

The judge is tests/support/plan_reference.py. `CHOMP_TEST_PLANS=5000 pytest --timeout 0` makes it long.
"""

from __future__ import annotations

import os
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory

import anyio
from hypothesis import given, settings
from hypothesis import strategies as st

from chomp_mcp.errors import ChompError
from chomp_mcp.gateway.health import Health
from chomp_mcp.gateway.model_list import ModelList
from chomp_mcp.gateway.orders import Orders
from chomp_mcp.gateway.prices import Prices
from chomp_mcp.messages import ChatRequest, Failed, FailureKind, Group, Model, Plan, Route, Router
from chomp_mcp.policy.breaker import BreakerRules
from chomp_mcp.policy.quota import Reading
from chomp_mcp.policy.roster import Roster
from chomp_mcp.policy.routing import Book, lists_needed, plan, resolve
from chomp_mcp.routers.client import Client
from chomp_mcp.store.kv.sqlite import Sqlite
from chomp_mcp.telemetry.report import Observers
from tests.support.clock import Clock
from tests.support.plan_reference import Case, Facts, Listed, expected, first_ready, in_order

PLANS = int(os.environ.get("CHOMP_TEST_PLANS", "60"))
ROUTERS = ("groq", "zen", "lab")
MODELS = ("small", "large", "maker/small", "maker/large", "x/y/small", "alone")
NEEDS = ("tools", "vision", "json_schema")

needs = st.frozensets(st.sampled_from(NEEDS))
refs = st.one_of(
    st.sampled_from(["auto", *MODELS, "nobody"]),
    st.builds("{}/{}".format, st.sampled_from(ROUTERS), st.sampled_from(["auto", *MODELS, "new"])),
)
patterns = st.sampled_from(["*", "groq/*", "*/large", "*mall", "zen/maker/*", "l*/*", "lab/nothing*", "*/*/*"])
groups = st.lists(st.one_of(refs, patterns), min_size=1, max_size=4)


@st.composite
def listings(draw: st.DrawFn) -> tuple[Listed, ...]:
    ids = draw(st.lists(st.sampled_from(MODELS), unique=True, max_size=len(MODELS)))
    found = []
    for name in ids:
        can = draw(needs)
        context = draw(st.sampled_from([None, 1000, 2000]))
        found.append(Listed(name, can, draw(needs) - can, draw(st.booleans()), context))
    return tuple(found)


pairs = st.tuples(st.sampled_from(ROUTERS), st.sampled_from(MODELS))
cases = st.builds(
    Case,
    routers=st.just(ROUTERS),
    keys=st.fixed_dictionaries({name: st.integers(0, 2) for name in ROUTERS}),
    preferred=st.fixed_dictionaries(
        {name: st.lists(st.sampled_from(MODELS), unique=True, max_size=5).map(tuple) for name in ROUTERS}
    ),
    cannot=st.fixed_dictionaries({name: st.frozensets(st.sampled_from(NEEDS), max_size=1) for name in ROUTERS}),
    lists=st.fixed_dictionaries({name: st.none() | listings() for name in ROUTERS}),
    gone=st.frozensets(pairs, max_size=3),
    no_credit=st.frozensets(st.sampled_from(ROUTERS), max_size=1),
    refused=st.dictionaries(pairs, needs, max_size=2),
    provider=st.sampled_from(["auto", *ROUTERS]),
)


def book_of(case: Case) -> tuple[Book, dict[str, Roster]]:
    routers = {
        name: Router(
            name,
            name,
            f"https://{name}.test/v1",
            key_variable="KEY",
            models=case.preferred[name],
            cannot=tuple(case.cannot[name]),  # type: ignore[arg-type]  # of NEEDS
        )
        for name in case.routers
    }
    keys = {
        name: tuple((f"key-{name}-{n}", f"{n}") for n in range(count)) for name, count in case.keys.items() if count
    }
    lists = {
        name: Roster(
            Model(name, each.id, can=each.can, cannot=each.cannot, free=each.free, context_length=each.context)
            for each in listed
        )
        for name, listed in case.lists.items()
        if listed is not None
    }
    unable = {f"{router}/{model}": needed for (router, model), needed in case.refused.items()}
    book = Book(routers, keys, provider=case.provider, gone=case.gone, no_credit=case.no_credit, unable=unable)
    return book, lists


def planned(case: Case, ref: str, needed: frozenset[str], group: list[str] | None) -> list[tuple[str, str, int]] | str:
    book, lists = book_of(case)
    if group is not None:
        book = Book(
            book.routers,
            book.keys,
            provider=book.provider,
            gone=book.gone,
            no_credit=book.no_credit,
            unable=book.unable,
            groups={"g": Group("g", tuple(group))},
        )
    try:
        target = resolve("g" if group is not None else ref, "auto", book, lists, needed)
        needed_lists = {name: lists[name] for name in lists_needed(target, book) if name in lists}
        found = plan(target, book, needed_lists)
    except ChompError as error:
        return type(error).__name__
    return [(route.router.id, route.model, int(route.key_id)) for route in found.routes]


@settings(max_examples=PLANS, deadline=None)
@given(cases, refs, needs)
def test_a_plan_for_a_ref_is_the_one_that_the_words_demand(case: Case, ref: str, needed: frozenset[str]) -> None:
    assert planned(case, ref, needed, None) == expected(case, ref, needed)


@settings(max_examples=PLANS, deadline=None)
@given(cases, groups, needs)
def test_a_plan_for_a_group_is_the_one_that_the_words_demand(
    case: Case, group: list[str], needed: frozenset[str]
) -> None:
    assert planned(case, "g", needed, group) == expected(case, "g", needed, group)


facts = st.builds(
    Facts,
    known=st.booleans(),
    usd=st.none() | st.sampled_from([Decimal(0), Decimal(1), Decimal(2)]),
    left=st.none() | st.sampled_from([0.0, 0.25, 1.0]),
    resets_in=st.none() | st.sampled_from([90.0, 4000.0, 90_000.0]),
    seconds=st.none() | st.sampled_from([0.1, 1.0, 3.0]),
    tokens_per_second=st.none() | st.sampled_from([50.0, 500.0]),
    rests=st.booleans(),
)
BODY = {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 100}


@settings(max_examples=PLANS // 3, deadline=None)
@given(st.sampled_from(["listed", "cost", "quota", "speed"]), st.lists(facts, min_size=1, max_size=6))
def test_the_order_and_who_is_asked_are_those_that_the_policy_demands(policy: str, each: list[Facts]) -> None:
    known = dict(enumerate(each))
    with TemporaryDirectory() as folder:
        order, ready = anyio.run(arranged, policy, known, Path(folder))
    assert order == in_order(policy, list(known), known, tokens=100)
    assert ready == first_ready(order, known)


async def arranged(policy: str, known: dict[int, Facts], folder: Path) -> tuple[list[int], int | None]:
    """The order of the routes, and the first that would be asked, with all facts in a real store."""
    clock, client = Clock(), Client(upstream_timeout=5)
    store = Sqlite(folder / "state.db", clock=clock)
    health = Health(store, BreakerRules(3, 60.0), clock=clock, observers=Observers([]))
    routes = [route_of(number, each) for number, each in known.items()]
    models = ModelList(store, client, {route.router.id: route.router for route in routes}, clock=clock)
    for route, each in zip(routes, known.values(), strict=True):
        if each.left is not None:
            resets = None if each.resets_in is None else clock() + each.resets_in
            await health.learned(route, [Reading("requests", "day", 100, int(each.left * 100), resets)])
        if each.seconds is not None:
            await health.speeds.measured(route, each.seconds, stream=True)
            if each.tokens_per_second:
                await health.speeds.generated(route, 100, 100 / each.tokens_per_second)
        if each.rests:
            await health.failed(route, Failed(FailureKind.RATE_LIMITED, "", retry_after=3600))
    group = Group("g", ("*",), policy)  # type: ignore[arg-type]  # one of ORDERS
    given_plan = Plan("g", tuple(routes), needs=frozenset({"tools"}), group=group, free_choice=True)
    try:
        found = await Orders(Prices(models), health, clock).arranged(given_plan, ChatRequest(BODY))
        ready = [await health.standing(route, mind_quota=True) is None for route in found.routes]
    finally:
        await client.close()
        await store.close()
    order = [int(route.model) for route in found.routes]
    return order, next((number for number, is_ready in zip(order, ready, strict=True) if is_ready), None)


def route_of(number: int, each: Facts) -> Route:
    """A call has 100 tokens out, so that the price of an answer is the price of a million, over ten thousand."""
    price = None if each.usd is None else each.usd
    model = Model(
        f"r{number}",
        str(number),
        price_in=Decimal(0) if price is not None else None,
        price_out=price,
        free=price == 0,
        can=frozenset({"tools"} if each.known else ()),
    )
    return Route(Router(f"r{number}", "r", "https://r.test/v1", key_variable="K"), str(number), "k", "k", model)
