"""What routing knows about one caller, what the caller meant, and which routers `auto` may use, in which order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from chomp_mcp.messages import AUTO, Group, Model, Router
from chomp_mcp.policy.capability import Unable
from chomp_mcp.policy.grants import UNLIMITED, Grant
from chomp_mcp.policy.roster import Roster

UNKNOWN = Roster()
"""The list that nobody knows."""
Pair = tuple[str, str]
"""Router and model."""


@dataclass(frozen=True, slots=True)
class Book:
    """What routing knows about one caller, now."""

    routers: Mapping[str, Router]
    """In catalog order, the user's own rows last."""
    keys: Mapping[str, tuple[tuple[str, str], ...]] = field(default_factory=dict, repr=False)
    """Router id -> (key, key id), in the order to try."""
    provider: str = AUTO
    fallbacks: tuple[str, ...] = ()
    default_model: str = AUTO
    closed: frozenset[str] = frozenset()
    """Keyless routers that are the owner's, and not this caller's to use."""
    grant: Grant = UNLIMITED
    """What the caller's token may."""
    groups: Mapping[str, Group] = field(default_factory=dict)
    reachable: frozenset[str] = frozenset()
    """Keyless routers that answered."""
    no_credit: frozenset[str] = frozenset()
    """Routers whose key pays for free models only."""
    gone: frozenset[tuple[str, str]] = frozenset()
    """(router, model) pairs that the router has said it no longer serves."""
    unable: Unable = field(default_factory=dict)
    """What models have refused of what requests needed."""
    version: int = 0
    """Of all books that were made, which this is of: plans that were made of another are old."""

    def key_ids(self, router: str) -> tuple[str, ...]:
        """The ids of the caller's keys; one empty one for a router that needs none."""
        return tuple(key_id for _, key_id in self.keys.get(router, ())) or ("",)

    def usable(self, router: Router) -> bool:
        """A call can be made at all."""
        if router.url_lacks:
            return False
        return bool(self.keys.get(router.id)) if router.needs_key else router.id not in self.closed

    def shows(self, router: str) -> bool:
        """Its name is told to this caller: it may use some of its models, by their names or in a group."""
        if router in self.closed:
            return False
        ours = [group for group in self.groups.values() if self.grant.models and self.grant.allows(group.name, "")]
        refs = (ref for group in ours for ref in group.models)
        return self.grant.may_reach(router) or any(ref.partition("/")[0] in {router, "*"} for ref in refs)

    def shown(self, models: Iterable[Model]) -> Iterator[Model]:
        """Those that it may ask for by their names."""
        return (model for model in models if model.router not in self.closed and self.grant.allows("", model.ref))

    def usable_routers(self) -> tuple[Router, ...]:
        """Those of `routers`, which may be a thousand, that the caller can call: mostly a few."""
        return tuple(router for router in self.routers.values() if self.usable(router))


@dataclass(frozen=True, slots=True)
class Target:
    """What the caller meant: `router` and `model` are ids, or `auto`."""

    asked: str
    router: str
    model: str
    needs: frozenset[str] = frozenset()
    """What the request must have: who is known to lack it is left out."""
    is_default: bool = False
    """The caller named nothing: the gateway's default model, with the fallbacks of the settings behind it."""
    group: Group | None = None
    """What the ref names, where it is a group; `model` is empty then."""
    embeds: bool = False
    """Vectors are asked for: models that make them have names, too."""


class Lists(Protocol):
    """Router id -> its live list; None: not known now. A dict is one."""

    def get(self, router: str, /) -> Roster | None: ...


def auto_order(book: Book) -> tuple[str, ...]:
    """Routers that `auto` may use, best first: LLM_PROVIDER, LLM_FALLBACKS, catalog order; mock when nothing else."""
    named = [name for name in named_in_settings(book) if book.usable(book.routers[name])]
    joined = [
        router.id
        for router in book.usable_routers()
        if router.joins_auto == "keyed" or (router.joins_auto == "reachable" and router.id in book.reachable)
    ]
    order = tuple(dict.fromkeys([*named, *joined]))
    return order or tuple(router.id for router in book.usable_routers() if router.joins_auto == "last")


def named_in_settings(book: Book) -> Iterator[str]:
    """The routers of LLM_PROVIDER and LLM_FALLBACKS."""
    for ref in (book.provider, *book.fallbacks):
        router = ref.partition("/")[0]
        if router in book.routers:
            yield router


def only_when_named(book: Book) -> list[str]:
    """Routers that the caller can use, and that `auto` never takes."""
    return [router.id for router in book.usable_routers() if router.joins_auto == "never"]


def listed_routers(book: Book) -> tuple[str, ...]:
    """All whose models the caller can ask for."""
    return tuple(dict.fromkeys([*auto_order(book), *probed(book), *only_when_named(book)]))


def probed(book: Book) -> list[str]:
    """Programs on this machine, which join when they run."""
    return [router.id for router in book.usable_routers() if router.joins_auto == "reachable"]
