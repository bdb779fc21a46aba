"""What a route costs: the router's own list, then genai-prices, then the snapshot, then unknown."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any, NamedTuple

import anyio

from chomp_mcp.gateway.model_list import ModelList
from chomp_mcp.messages import Model, Route, Usage
from chomp_mcp.policy import estimate, pricing
from chomp_mcp.policy.book import Book
from chomp_mcp.policy.pricing import Price
from chomp_mcp.routers import prices

LIST_SECONDS = 0.75
"""How long a call may wait for its price; without one it is sent all the same, and counted as unpriced."""
MOST_PRICES = 4096
"""Prices in memory; beyond that they are looked up again."""


class Prices:
    """What a route costs: the router's own list, then genai-prices, then the snapshot, then unknown."""

    def __init__(self, models: ModelList) -> None:
        self._models = models
        self._loading = anyio.Lock()
        self._is_loaded = False
        self._known: dict[tuple[str, str, str], tuple[Model | None, Price | None]] = {}
        """Router id, model and key id -> the list's entry that the price was read from, and the price."""

    async def load(self, routes: Sequence[Route] = ()) -> None:
        """Have the prices of these routes at hand. The first call takes a third of a second, in a thread."""
        if not self._is_loaded:
            async with self._loading:
                await anyio.to_thread.run_sync(prices.load)  # once, whoever comes
            self._is_loaded = True
        known = self._models.has_read
        unread = [r for r in routes if not (r.router.free or r.listed or known(r.router.id, r.key_id))]
        # A list that was not read yet is read in the background, and is there when the call ends. Only where nobody
        # else knows the price is it waited for, for a moment: a budget must not leak, nor a free model be refused,
        # because nobody had asked for that list yet.
        unknown = [route for route in unread if self.of(route) is None]
        for route in unread:
            self._models.start(route.router.id, _keys_of(route))
        if unknown:
            await asyncio.gather(*(self._models.soon([r.router.id], _keys_of(r), LIST_SECONDS) for r in unknown))

    def _listed(self, route: Route) -> Model | None:
        """What the router's list says of the model, however old: an old price is better than none."""
        if route.listed:
            return route.listed
        router, key_id, model = route.router.id, route.key_id, route.model
        if found := self._models.peek(router, key_id, model):
            return found
        # A variant that is not on it (`x/y:nitro`) is priced as the model that it is a variant of.
        base = pricing.base_id(model)
        return None if base == model else self._models.peek(router, key_id, base)

    def of(self, route: Route) -> Price | None:
        """USD per million tokens; None: nobody knows, which is never taken for free."""
        return self._price(route, self._listed(route))

    def _price(self, route: Route, listed: Model | None) -> Price | None:
        """Looked up once for each entry of a list: a list that is read anew has other entries."""
        place = route.router.id, route.model, route.key_id
        known = self._known.get(place)
        if known is None or known[0] is not listed:
            if len(self._known) >= MOST_PRICES:
                self._known.clear()
            price = pricing.FREE if route.router.free else pricing.from_model(listed) if listed else None
            for model in dict.fromkeys((route.model, pricing.base_id(route.model))):
                price = price or prices.genai_price(route.router.genai_prices, model)
                price = price or pricing.known(route.router, model) or pricing.public(route.router, model)
            known = self._known[place] = listed, price
        return known[1]

    async def filled(self, models: Iterable[Model], book: Book) -> list[Model]:
        """The models with the prices that a receipt would reckon with, where their list tells none."""
        await self.load()
        found = []
        for model in models:
            price = None
            if not model.free and model.price_in is None:
                key, key_id = next(iter(book.keys.get(model.router, ())), ("", ""))
                price = self._price(Route(book.routers[model.router], model.id, key, key_id, model), model)
            found.append(replace(model, price_in=price.input, price_out=price.output) if price else model)
        return found

    def estimate(self, route: Route, body: Mapping[str, Any], most_input: int) -> Estimate:
        """What this call may cost, for the reservation; `most_input` is the body's, by policy/estimate.py."""
        listed = self._listed(route)
        price = self._price(route, listed)
        max_output = listed.max_output if listed else None
        most = estimate.most_usage(body, max_output, most_input)
        asked = estimate.asked_output(body, max_output)
        output = min(most.output_tokens, estimate.LIKELY_OUTPUT_TOKENS)
        likely = Usage(most.input_tokens * 3 // 4, output, service_tier=most.service_tier)
        if price is None:
            # At the most of an unknown price and limit, fifty calls to a server of one's own would hold a day's budget;
            # a router with an account page sells what it serves.
            is_sold = bool(asked or route.router.key_info)
            held = pricing.cost(pricing.ASSUMED, most if is_sold else likely)
            return Estimate(held, _LEAST, Decimal(0), is_known=False)
        held, probable = pricing.cost(price, most), pricing.cost(price, likely)
        return Estimate(held, held if asked else min(held, probable), probable)

    def likely_usage(self, route: Route, body: Mapping[str, Any]) -> Usage:
        """What a call counts whose answer nobody waited for; routers bill it all the same."""
        listed = self._listed(route)
        return estimate.likely_usage(body, listed.max_output if listed else None)

    def cost(self, route: Route, usage: Usage, reported: Decimal | None) -> tuple[Decimal | None, str]:
        """What the router said that it cost, else the tokens at the route's price; and a note where that is odd."""
        price = self.of(route)
        if reported is None:
            return (pricing.cost(price, usage) if price else None), ""
        # A cost that cannot be is not booked as it was told: it would use up the budget of a month.
        believed = pricing.believable(reported, price, usage)
        if believed == reported:
            return reported, ""
        known = pricing.cost(price, usage) if price else believed
        return known, f"{route.router.id} says that this cost ${reported:f}, which cannot be: ${known:f} is booked"


_LEAST = Decimal("1e-9")


class Estimate(NamedTuple):
    """What a call may cost in USD before it is made."""

    most: Decimal
    least: Decimal
    """What must be left of the budget for it; less than `most` where the caller set no limit to the answer."""
    likely: Decimal
    """What is booked where nobody sees its end; 0 where the price is unknown."""
    is_known: bool = True

    @property
    def is_free(self) -> bool:
        return self.is_known and self.most == 0


def _keys_of(route: Route) -> Mapping[str, tuple[tuple[str, str], ...]]:
    return {route.router.id: ((route.key, route.key_id),)}
