"""What a route costs: the router's own list, then genai-prices, then the snapshot, then unknown."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import anyio

from chomp_mcp.gateway.model_list import ModelList
from chomp_mcp.messages import Model, Route, Usage
from chomp_mcp.policy import pricing
from chomp_mcp.policy.pricing import Price
from chomp_mcp.routers import prices

__all__ = ["LIST_SECONDS", "MOST_PRICES", "Prices"]

LIST_SECONDS = 0.75
"""How long a call may wait for its price; without one it is sent all the same, and counted as unpriced."""
MOST_PRICES = 4096
"""Prices in memory; beyond that they are looked up again."""


class Prices:
    """What a route costs: the router's own list, then genai-prices, then the snapshot, then unknown."""

    def __init__(self, models: ModelList) -> None:
        self._models = models
        self._loading = anyio.Lock()
        self._known: dict[tuple[str, str, str], tuple[Model | None, Price | None]] = {}
        """Router id, model and key id -> the list's entry that the price was read from, and the price."""

    async def load(self, routes: Sequence[Route] = ()) -> None:
        """Have the prices of these routes at hand. The first call takes a third of a second, in a thread.

        A list that was not read yet is read in the background, and is there when the call ends. Only where nobody else
        knows the price is it waited for, for a moment: a budget must not leak, nor a free model be refused, because
        nobody had asked for that list yet.
        """
        if not prices.is_loaded():
            async with self._loading:
                if not prices.is_loaded():
                    await anyio.to_thread.run_sync(prices.load)
        unread = [
            route
            for route in routes
            if not (route.router.free or route.listed or self._models.has_read(route.router.id, route.key_id))
        ]
        unknown = [route for route in unread if self.of(route) is None]
        for route in unread:
            self._models.start(route.router.id, _keys_of(route))
        if unknown:
            await asyncio.gather(
                *(self._models.soon([route.router.id], _keys_of(route), LIST_SECONDS) for route in unknown)
            )

    def _listed(self, route: Route) -> Model | None:
        """What the router's list says of the model, however old: an old price is better than none."""
        return route.listed or self._models.peek(route.router.id, route.key_id, route.model)

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
            price = price or prices.genai_price(route.router.genai_prices, route.model)
            known = self._known[place] = listed, price or pricing.known(route.router, route.model)
        return known[1]

    def upper_estimate(self, route: Route, body: Mapping[str, Any]) -> Decimal | None:
        """The most this call may cost, for the reservation; None when the price is unknown."""
        listed = self._listed(route)
        price = self._price(route, listed)
        if price is None:
            return None
        return pricing.upper_estimate(price, body, listed.max_output if listed else None)

    def cost(self, route: Route, usage: Usage, reported: Decimal | None) -> Decimal | None:
        """What the call cost: what the router said, else the tokens at the route's price."""
        if reported is not None:
            return reported
        price = self.of(route)
        return pricing.cost(price, usage) if price else None


def _keys_of(route: Route) -> Mapping[str, tuple[tuple[str, str], ...]]:
    return {route.router.id: ((route.key, route.key_id),)}
