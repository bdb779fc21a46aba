"""Who of a plan can do what the request needs: the known first, the unknown behind them, the others named."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice

from chomp_mcp.errors import NotCapable
from chomp_mcp.messages import AUTO, Model, Router
from chomp_mcp.policy import capability
from chomp_mcp.policy.book import UNKNOWN, Book, Lists, Pair, Target, listed_routers

MOST_PER_ROUTER = 3
"""Models of one router's preference list that a plan holds in reserve."""

MOST_NAMED = 2
"""Models that an error names which could do it."""
_NOBODY = "No known model of your keys can; add a key that has one."


def able_first(routes: list[Pair], target: Target, book: Book, lists: Lists) -> tuple[list[Pair], dict[str, str]]:
    """Those that can, then those of which nobody knows, each in their order; and why the others are left out."""
    verdicts = {pair: _is_able(pair, target, book, lists) for pair in dict.fromkeys(routes)}
    able = [pair for pair, can in verdicts.items() if can]
    if target.model == AUTO:
        # The choice is ours: where none of a router's favourites is known to do it, others of it may.
        lacking = dict.fromkeys(router for router, _ in verdicts if router not in {each for each, _ in able})
        verdicts.update(pair for router in lacking for pair in _others(router, target, book, lists, verdicts).items())
        able = [pair for pair, can in verdicts.items() if can]
    left = [*able, *(pair for pair, can in verdicts.items() if can is None and pair not in able)]
    unable = [pair for pair, can in verdicts.items() if can is False]
    why = {"/".join(pair): capability.reasons(target.needs, *_known(pair, book, lists), book.unable) for pair in unable}
    if not left:
        # Who could do it: on the same routers first, by the preference lists, then by the order of the lists.
        could: list[Pair] = []
        for router in dict.fromkeys([*(router for router, _ in routes), *listed_routers(book)]):
            liked = [(router, model) for model in book.routers[router].models]
            could += [pair for pair in liked if _is_able(pair, target, book, lists)][:1]
            could += [pair for pair, can in _others(router, target, book, lists, {}).items() if can][:1]
            if len(could) >= MOST_NAMED:
                break
        nearest = [f"{router}/{model}" for router, model in dict.fromkeys(could)][:MOST_NAMED]
        hint = f"Ask for {' or '.join(nearest)}." if nearest else _NOBODY
        raise NotCapable(f"No model of the plan can do this: {capability.left_out(why)}.", hint=hint)
    return left, why


def _known(pair: Pair, book: Book, lists: Lists) -> tuple[Router, str, Model | None]:
    router, model = pair
    return book.routers[router], model, (lists.get(router) or UNKNOWN).get(model)


def _is_able(pair: Pair, target: Target, book: Book, lists: Lists) -> bool | None:
    return capability.is_able(target.needs, *_known(pair, book, lists), book.unable)


def _others(
    router: str, target: Target, book: Book, lists: Lists, tried: Mapping[Pair, bool | None]
) -> dict[Pair, bool | None]:
    """Models of the router's list that are known to do it; where there are none at all, those of which nobody knows."""
    listed = lists.get(router) or UNKNOWN
    # Its key may pay for no others than free ones.
    models = listed.free_and_large if router in book.no_credit else (model.id for model in listed)
    verdicts = {model: _is_able((router, model), target, book, lists) for model in models}
    wanted: list[bool | None] = [True]
    if not any(can is None for (its, _), can in tried.items() if its == router):
        wanted.append(None)
    for verdict in wanted:
        found = alive(book.routers[router], (model for model, can in verdicts.items() if can is verdict), book)
        if found:
            return {(router, model): verdict for model in found}
    return {}


def alive(router: Router, models: Iterable[str], book: Book) -> list[str]:
    """The first few that are not gone."""
    return list(islice((model for model in models if (router.id, model) not in book.gone), MOST_PER_ROUTER))
