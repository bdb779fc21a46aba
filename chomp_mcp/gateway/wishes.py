"""Which wishes a model has refused: so that each is refused once, and not with every request."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from chomp_mcp.messages import ChatRequest, Failed, FailureKind, Route
from chomp_mcp.policy import wishes

MOST_MODELS = 2_000
"""Models in memory; those that were asked longest ago go first."""


class Wishes:
    """In memory, for a refusal costs one quick call: another process learns it by itself."""

    def __init__(self) -> None:
        self._refused: OrderedDict[str, dict[str, Any]] = OrderedDict()
        """Ref -> field -> the value that was refused, the smallest of a number."""

    def fitted(self, route: Route, request: ChatRequest) -> ChatRequest:
        """The request without the wishes that this model has refused."""
        known = self._refused and self._refused.get(route.ref)
        if not known or request.is_native_to(route):
            return request
        self._refused.move_to_end(route.ref)
        names = []
        for name in request.wishes:
            if name in known and name in request.body:
                value, refused = request.body[name], known[name]
                # The same, or a number as large.
                is_number = isinstance(value, int) and isinstance(refused, int)
                if value >= refused if is_number else value == refused:
                    names.append(name)
        return request.without(names) if names else request

    def after(self, failed: Failed, route: Route, request: ChatRequest) -> ChatRequest | None:
        """The request without the wish that was refused just now; None where nothing can be left out."""
        if request.is_native_to(route):
            return None
        name = wishes.refused(failed, [name for name in request.wishes if name in request.body])
        if not name:
            return None
        if failed.kind is not FailureKind.TOO_LONG:  # then it is this prompt that leaves no room for it
            self._refused.setdefault(route.ref, {})[name] = request.body[name]
            self._refused.move_to_end(route.ref)
            if len(self._refused) > MOST_MODELS:
                self._refused.popitem(last=False)
        return request.without([name])
