"""What the words demand of a plan, as simply as they can be put: the judge of `policy.routing` and of the orders.

Written from the documents (docs/models.md), not from the code: lists are searched from end to end, nothing is kept.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

__all__ = ["Case", "Listed", "expected", "first_ready", "in_order"]

Pair = tuple[str, str]
PER_ROUTER, PER_NAME, PER_GROUP, TRIES = 3, 32, 256, 32


@dataclass(frozen=True)
class Listed:
    """A model on a router's list."""

    id: str
    can: frozenset[str] = frozenset()
    cannot: frozenset[str] = frozenset()
    free: bool = False
    context: int | None = None


@dataclass(frozen=True)
class Case:
    """What is there: routers in the order of the catalog, their keys, what they prefer, cannot and list."""

    routers: tuple[str, ...]
    keys: Mapping[str, int]
    preferred: Mapping[str, tuple[str, ...]]
    cannot: Mapping[str, frozenset[str]]
    lists: Mapping[str, tuple[Listed, ...] | None]
    gone: frozenset[Pair] = frozenset()
    no_credit: frozenset[str] = frozenset()
    refused: Mapping[Pair, frozenset[str]] = field(default_factory=dict)
    provider: str = "auto"

    def order(self) -> list[str]:
        """Who joins `auto`: the provider of the settings, then the catalog's order, of those with a key."""
        keyed = [router for router in self.routers if self.keys.get(router)]
        first = [self.provider] if self.provider in keyed else []
        return first + [router for router in keyed if router not in first]

    def listed(self, router: str, model: str) -> Listed | None:
        return next((each for each in self.lists.get(router) or () if each.id == model), None)

    def verdict(self, pair: Pair, needs: frozenset[str]) -> bool | None:
        """Can it do all of that? What it refused counts first, then the row, then the list."""
        router, model = pair
        listed, verdicts = self.listed(router, model), []
        for need in needs:
            if need in self.refused.get(pair, ()) or need in self.cannot[router]:
                verdicts.append(False)
            elif listed and (need in listed.can or need in listed.cannot):
                verdicts.append(need in listed.can)
            else:
                verdicts.append(None)
        return False if False in verdicts else None if None in verdicts else True


def expected(
    case: Case, ref: str, needs: frozenset[str], group: Sequence[str] | None = None
) -> list[tuple[str, str, int]] | str:
    """Router, model and number of the key of each try; or the name of the error."""
    pairs = _of_group(case, group) if group is not None else _of_ref(case, ref)
    if isinstance(pairs, str):
        return pairs
    unique = list(dict.fromkeys(pairs))
    if needs:
        is_ours = group is None and ref.rpartition("/")[2] == "auto"
        unique = _able(case, unique, needs, chooses=is_ours)
        if not unique:
            return "NotCapable"
    return [(router, model, key) for router, model in unique for key in range(case.keys[router])]


def _able(case: Case, pairs: list[Pair], needs: frozenset[str], *, chooses: bool) -> list[Pair]:
    """Known to do it, then unknown. Where we choose the model and no favourite can, others of the router's list may."""
    verdicts = {pair: case.verdict(pair, needs) for pair in pairs}
    if chooses:
        lacking = [
            router
            for router in dict.fromkeys(r for r, _ in pairs)
            if not any(verdicts[p] for p in pairs if p[0] == router)
        ]
        for router in lacking:
            others = [
                (router, each.id)
                for each in (
                    _free_and_large(case, router) if router in case.no_credit else case.lists.get(router) or ()
                )
                if (router, each.id) not in case.gone
            ]
            judged = {pair: case.verdict(pair, needs) for pair in others}
            found = [pair for pair in others if judged[pair]]
            if not found and not any(verdicts[pair] is None for pair in pairs if pair[0] == router):
                found = [pair for pair in others if judged[pair] is None]
            verdicts |= {pair: judged[pair] for pair in found[:PER_ROUTER]}
    return [p for p, can in verdicts.items() if can] + [p for p, can in verdicts.items() if can is None]


def _free_and_large(case: Case, router: str) -> list[Listed]:
    free = [each for each in case.lists.get(router) or () if each.free]
    return sorted(free, key=lambda each: -(each.context or 0))


def _favourites(case: Case, router: str) -> list[Pair]:
    listed = case.lists.get(router)
    if router in case.no_credit and listed:
        ids = [each.id for each in _free_and_large(case, router)]
    else:
        ids = [m for m in case.preferred[router] if listed is None or case.listed(router, m)]
        ids = [m for m in ids if (router, m) not in case.gone] or [each.id for each in listed or ()]
    return [(router, model) for model in ids if (router, model) not in case.gone][:PER_ROUTER]


def _of_ref(case: Case, ref: str) -> list[Pair] | str:
    router, slash, model = ref.partition("/")
    if slash and router in case.routers:
        if not case.keys.get(router):
            return "NoRouterKey"
        return (_favourites(case, router) or "UnknownModel") if model == "auto" else [(router, model)]
    if ref == "auto":
        columns = [_favourites(case, each) for each in case.order()]
        return [col[rank] for rank in range(PER_ROUTER) for col in columns if rank < len(col)] or "UnknownModel"
    exact = [(each, ref) for each in case.order() if case.listed(each, ref)]
    tails = [
        (each, m.id)
        for each in case.order()
        for m in case.lists.get(each) or ()
        if "/" in m.id and m.id.rpartition("/")[2] == ref
    ]
    pairs = exact + tails
    return ([p for p in pairs if p not in case.gone] or pairs)[:PER_NAME] or "UnknownModel"


def _of_group(case: Case, refs: Sequence[str]) -> list[Pair] | str:
    """Its refs in their order; what stands for nothing is passed over, unless all do."""
    found: list[Pair] = []
    errors = []
    for ref in refs:
        pairs = _of_pattern(case, ref) if "*" in ref else _of_ref(case, ref)
        if isinstance(pairs, str):
            errors.append(pairs)
        else:
            found += pairs
    if not found:
        return "NoRouterKey" if set(errors) == {"NoRouterKey"} else "UnknownModel"
    unique = list(dict.fromkeys(found))
    return ([pair for pair in unique if pair not in case.gone] or unique)[:PER_GROUP]


def _of_pattern(case: Case, pattern: str) -> list[Pair] | str:
    prefix, slash, rest = pattern.partition("/")
    routers = [each for each in case.order() if not slash or _like(prefix, each)]
    pairs = []
    for router in routers:
        for each in case.lists.get(router) or ():
            names = [each.id] if slash else [each.id, each.id.rpartition("/")[2]]
            if any(_like(rest if slash else prefix, name) for name in names) and (router, each.id) not in case.gone:
                pairs.append((router, each.id))
    return pairs[:PER_GROUP] or "UnknownModel"


def _like(pattern: str, name: str) -> bool:
    return re.fullmatch(".*".join(re.escape(part) for part in pattern.split("*")), name, re.DOTALL) is not None


@dataclass(frozen=True)
class Facts:
    """Of one route: what a call costs, what is left of the quota, and when that ends, and how quick it is."""

    known: bool = True
    """That it can do what is needed."""
    usd: Decimal | None = None
    left: float | None = None
    """From 0 to 1; None: nobody knows."""
    resets_in: float | None = None
    seconds: float | None = None
    tokens_per_second: float | None = None
    rests: bool = False


def in_order(policy: str, routes: Sequence[int], facts: Mapping[int, Facts], tokens: int) -> list[int]:
    """The routes in the order of the policy; of equals the first stays first."""

    def better(a: Facts, b: Facts) -> bool:
        """Whether `a` must stand before `b`."""
        if policy != "listed" and a.known != b.known:  # a list is in that order already
            return a.known
        return _BETTER[policy](a, b, tokens)

    found: list[int] = []
    for route in routes:  # insertion: before the first that it beats
        place = next((at for at, other in enumerate(found) if better(facts[route], facts[other])), len(found))
        found.insert(place, route)
    return found[:TRIES]


def _cheaper(a: Facts, b: Facts, _tokens: int) -> bool:
    """The cheaper; an unknown price comes last."""
    return a.usd is not None and (b.usd is None or a.usd < b.usd)


def _expires_first(a: Facts, b: Facts, _tokens: int) -> bool:
    """Something left, then unknown, then used up; of what is left that which ends sooner, then where more is left."""

    def standing(each: Facts) -> int:
        return 1 if each.left is None else 0 if each.left else 2

    if standing(a) != standing(b):
        return standing(a) < standing(b)
    if a.left is None or b.left is None:
        return False
    ends = [float("inf") if each.resets_in is None else each.resets_in // 60 for each in (a, b)]
    return ends[0] < ends[1] if ends[0] != ends[1] else a.left > b.left


def _quicker(a: Facts, b: Facts, tokens: int) -> bool:
    """Never measured first, once; then who is soonest at the end of the answer."""
    if a.seconds is None or b.seconds is None:
        return a.seconds is None and b.seconds is not None
    return _end(a, tokens) < _end(b, tokens)


def _end(each: Facts, tokens: int) -> float:
    return (each.seconds or 0) + (tokens / each.tokens_per_second if each.tokens_per_second else 0)


_BETTER: Mapping[str, Callable[[Facts, Facts, int], bool]] = {
    "listed": lambda _a, _b, _tokens: False,
    "cost": _cheaper,
    "quota": _expires_first,
    "speed": _quicker,
}


def first_ready(routes: Sequence[int], facts: Mapping[int, Facts]) -> int | None:
    """Who is asked: the first that does not rest, and whose quota is not used up until a time that is known."""

    def is_used_up(each: Facts) -> bool:
        return each.left == 0 and each.resets_in is not None

    return next((route for route in routes if not facts[route].rests and not is_used_up(facts[route])), None)
