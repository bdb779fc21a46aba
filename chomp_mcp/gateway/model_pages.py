"""The models that a caller can use, of all lists together: filtered, a page at a time or whole."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from chomp_mcp.errors import InvalidRequest, NotAllowed
from chomp_mcp.gateway.book import Books
from chomp_mcp.gateway.inabilities import Inabilities
from chomp_mcp.gateway.model_list import ModelList
from chomp_mcp.messages import AUTO, Caller, Model, Router
from chomp_mcp.policy import capability, routing
from chomp_mcp.policy.book import Book, listed_routers

MOST_MODELS = 1000
"""The largest page."""
MOST_DIGITS = 9


@dataclass(frozen=True, slots=True)
class ModelPage:
    """Some of the models; `next_cursor` is empty on the last page, `errors` names the routers that failed."""

    models: tuple[Model, ...]
    next_cursor: str
    errors: Mapping[str, str]
    known_by: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Ref -> need -> how it is known that the model can or cannot: list, catalog or refusal."""
    groups: tuple[Model, ...] = ()
    """The user's groups, on the first page of all routers: their names, without a router."""
    unknown: int = 0
    """Models that fit, but for `needs` of which nobody knows whether they can."""


@dataclass(frozen=True, slots=True)
class ModelPages:
    """Every door's answer to "which models are there?"."""

    routers: Mapping[str, Router]
    books: Books
    models: ModelList
    inabilities: Inabilities

    async def of(
        self,
        caller: Caller,
        router: str,
        *,
        query: str,
        free_only: bool,
        needs: Iterable[str],
        limit: int | None,
        cursor: str,
    ) -> ModelPage:
        """See `Chomp.list_models`."""
        needed = capability.checked_needs(needs)
        book = await self.books.of(caller)
        named = router != AUTO and routing.named_router(router, self.routers, filter(book.shows, self.routers)).id
        wanted = (named,) if named else tuple(filter(book.shows, listed_routers(book)))
        if cursor and not (cursor.isascii() and cursor.isdigit() and len(cursor) <= MOST_DIGITS):
            why = "That cursor is not one of ours."
            raise InvalidRequest(why, hint="Give next_cursor as you got it.", param="cursor")
        if limit is not None and limit < 1:
            raise InvalidRequest("limit is below 1.", hint=f"Give 1 to {MOST_MODELS}.", param="limit")
        start = int(cursor or 0)
        if router != AUTO and router in book.closed:
            raise NotAllowed(f"{self.routers[router].name} is the owner's.", hint="Leave it out for those you can use.")
        lists = await self.models.of(wanted, book.keys)
        if router != AUTO and lists[router].error and not book.usable(self.routers[router]):
            raise routing.no_key(self.routers[router])
        words = query.lower().split()
        models = [
            model
            for known in lists.values()
            for model in book.shown(known.models)
            if (model.free or not free_only) and all(word in f"{model.ref} {model.name}".lower() for word in words)
        ]
        unable = await self.inabilities.known()
        unknown = 0
        if needed:
            verdicts = [(m, capability.is_able(needed, self.routers[m.router], m.id, m, unable)) for m in models]
            models = [model for model, can in verdicts if can]
            unknown = sum(can is None for _, can in verdicts)
        end = len(models) if limit is None else start + min(limit, MOST_MODELS)
        # An Ollama that does not run is no error for somebody who asked for everything.
        errors = {
            listed: known.error or known.trouble
            for listed, known in lists.items()
            if (known.error or known.trouble) and (router != AUTO or self.routers[listed].joins_auto != "reachable")
        }
        shown = [capability.seen_with(model, self.routers[model.router], unable) for model in models[start:end]]
        return ModelPage(
            tuple(model for model, _ in shown),
            str(end) if end < len(models) else "",
            errors,
            {model.ref: known for model, known in shown if known},
            self._groups(words, needed, book) if router == AUTO and not free_only and not start else (),
            unknown,
        )

    def _groups(self, words: Iterable[str], needed: frozenset[str], book: Book) -> tuple[Model, ...]:
        shown = []
        for group in self.books.groups.values():
            if needed <= group.needs and all(word in group.name.lower() for word in words):
                # Of its members those that serve this caller.
                theirs = [ref for ref in group.models if ref.partition("/")[0] not in book.closed]
                if allowed := [ref for ref in theirs if book.grant.allows(group.name, ref)]:
                    shown.append(Model("", group.name, f"{', '.join(allowed)} ({group.order})", can=group.needs))
        return tuple(shown)
