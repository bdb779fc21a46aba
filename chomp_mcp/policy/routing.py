"""Where to: what a model ref means, and the ordered tries that follow from it. The one place that decides it.

In three steps, so that a door never waits for a list it does not need: `resolve` reads the ref, `lists_needed` names
the routers whose model lists matter, `plan` lays out the routes. A named router is a promise: only refs that left a
choice get routes on more than one router.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from fnmatch import fnmatchcase
from itertools import islice

from chomp_mcp.errors import InvalidRequest, NoRouterKey, NotAllowed, UnknownModel
from chomp_mcp.messages import AUTO, Group, Plan, Route, Router
from chomp_mcp.policy import capability, key_shape
from chomp_mcp.policy.able import MOST_PER_ROUTER, able_first, alive
from chomp_mcp.policy.book import (
    UNKNOWN,
    Book,
    Lists,
    Pair,
    Target,
    auto_order,
    listed_routers,
    named_in_settings,
    only_when_named,
    probed,
)
from chomp_mcp.policy.groups import is_pattern, matching, pattern_routers
from chomp_mcp.policy.secrets import quoted

MOST_COMPARED = 2000
"""Names that a wrong one is compared with: more would hold up everybody else."""
MOST_ROUTERS = 32
"""Routers that `auto` looks at, and tries for a bare name: nobody waits for more, and each costs every request time."""

MOST_IN_GROUP = 256
"""Models of a group among which its order chooses: a pattern may match ten thousand."""

MAX_REF = 512
"""Characters of a ref; the longest ids of today's models stay under 100."""


def resolve(
    model: str, router: str, book: Book, lists: Lists | None = None, needs: frozenset[str] = frozenset()
) -> Target:
    """Read a ref and a `router` field. `lists` may hold what is known already; nothing is fetched for it.

    `InvalidRequest`: an unknown router, a prefix that contradicts the `router` field, or what can be no name.
    """
    model, router = _checked(model, "model") or AUTO, _checked(router, "router") or AUTO
    asked = model if router == AUTO else f"{router}/{model.removeprefix(f'{router}/')}"
    if router == AUTO:
        is_default = model == AUTO
        model = book.default_model if is_default else model
        if group := book.groups.get(model):
            return Target(asked, AUTO, "", needs | group.needs, is_default, group)
        return Target(asked, *_split(model, book), needs, is_default)
    named_router(router, book.routers, filter(book.shows, book.routers))
    prefix, _, rest = model.partition("/")
    listed = (lists or {}).get(router)
    if prefix == router and rest:
        model = _split(model, book)[1]
    elif contradiction_to_check(model, router, book) and listed is not None and model not in listed:
        why = f"router={router!r} contradicts the model {model[:200]!r}, and {router} lists no model of that name."
        hint = f"Leave the router out to ask {prefix}, or name a model of {router}."
        raise InvalidRequest(why, hint=hint, param="router")
    return Target(asked, router, model, needs)


def _checked(ref: str, param: str) -> str:
    """Without the spaces around it. What no router could have meant is not sent to one, nor written to the store."""
    ref = ref.strip()
    if len(ref) > MAX_REF or not ref.isprintable():
        why = f"has more than {MAX_REF} characters" if len(ref) > MAX_REF else "has characters that no name has"
        raise InvalidRequest(f"The {param} {ref[:80]!r} {why}.", hint="Call list_models to see the names.", param=param)
    return ref


def named_router(router: str, routers: Mapping[str, Router], shown: Iterable[str] | None = None) -> Router:
    """The router of that id, or `InvalidRequest` with the closest ids of those that the caller may see; mostly all."""
    if router in routers:
        return routers[router]
    known = [*(routers if shown is None else shown)]
    close = close_to(router[:MAX_REF], known)
    hint = f"Did you mean {' or '.join(close)}?" if close else f"Known: {', '.join(known)}."
    raise InvalidRequest(f"There is no router {quoted(router)}.", hint=hint, param="router")


def owner_of_key(given: str, routers: Iterable[Router]) -> Router | None:
    """The router whose keys begin like this one, quotes and `NAME=` around it left aside."""
    keys = key_shape.cleaned_keys(given)
    return next((r for r in routers if r.key_prefix and any(key.startswith(r.key_prefix) for key in keys)), None)


def _split(model: str, book: Book) -> tuple[str, str]:
    """A ref without a `router` field: strip the prefix if it names a router."""
    prefix, slash, rest = model.partition("/")
    if not slash or prefix not in book.routers:
        return AUTO, model
    if not rest:
        why = f"{model!r} names no model."
        raise InvalidRequest(why, hint=f"Write {prefix}/auto, or {prefix}/<model>.", param="model")
    # The prefix may be a part of the model's id. The router's row alone tells, so that a ref means the same at all
    # times: whatever list happens to be known, `groq/compound` must not be `compound` once and `groq/compound` later.
    router = book.routers[prefix]
    is_own = model in router.models or ("/" not in rest and any(fnmatchcase(rest, each) for each in router.own_prefix))
    return prefix, model if is_own and rest != AUTO else rest


def contradiction_to_check(model: str, router: str, book: Book) -> bool:
    """Whether only the named router's list can tell if the prefix contradicts the field."""
    prefix, _, rest = model.strip().partition("/")
    are_two = rest and router not in {AUTO, prefix} and router in book.routers and prefix in book.routers
    is_own = are_two and model.strip() in book.routers[router].models
    return bool(are_two) and not is_own and book.usable(book.routers[prefix])


def lists_needed(target: Target, book: Book) -> tuple[str, ...]:
    """The routers whose lists decide this target; none for a named router and a named model without needs."""
    if target.router != AUTO:
        return (target.router,) if target.model == AUTO or target.needs else ()
    if target.group is None and target.model == AUTO:
        return tuple(dict.fromkeys([*auto_order(book)[:MOST_ROUTERS], *probed(book)]))
    if target.group is None:
        return listed_routers(book)
    needed: list[str] = []
    for ref in target.group.models:
        if is_pattern(ref):
            needed += pattern_routers(ref, book)
            continue
        router, model = _split(ref, book)
        if router == AUTO:
            needed += lists_needed(Target(ref, router, model), book)
        elif book.usable(book.routers[router]):
            needed.append(router)
    return tuple(dict.fromkeys(needed))


def plan(target: Target, book: Book, lists: Lists) -> Plan:
    """The ordered tries.

    Raises:
        NoRouterKey: the named router needs a key and has none.
        UnknownModel: no router that the caller can use has such a model.
        NotCapable: none that it could be can do what the request needs.
    """
    routes = _pairs(target, book, lists)
    why: dict[str, str] = {}
    if target.needs:
        routes, why = able_first(routes, target, book, lists)
    # Each try once per key, the keys of a router and model side by side: failover goes to "the next key" by that.
    tries = tuple(
        Route(book.routers[router].serving(model), model, key, key_id, (lists.get(router) or UNKNOWN).get(model))
        for router, model in dict.fromkeys(routes)
        for key, key_id in book.keys.get(router) or (("", ""),)
    )
    first, notes = book.routers[routes[0][0]], []
    skipped = [m for r, m in sorted(book.gone) if r == first.id and m in first.models and (r, m) not in routes]
    if AUTO in {target.model, target.router} and skipped:
        notes.append(f"{first.id} no longer serves {', '.join(skipped)}")
    if target.is_default and AUTO not in {target.model, book.default_model}:
        notes.append(f"default model {book.default_model}")
    if why:
        notes.append(f"left out: {capability.left_out(why)}")
    if target.router == target.model == AUTO and first.joins_auto == "last" and first.id not in named_in_settings(book):
        # A mock that nobody named says why it answers, in the place of what its row says.
        lack = "no router that auto may choose has a key" if any(book.keys.values()) else "no router key is registered"
        noted = replace(tries[0].router, note=f"the built-in mock answered: {lack}")
        tries = tuple(replace(route, router=noted) if route.router.id == first.id else route for route in tries)
    free = target.is_default or AUTO in {target.router, target.model}
    return Plan(target.asked, tries, tuple(notes), needs=target.needs, group=target.group, free_choice=free)


def _pairs(target: Target, book: Book, lists: Lists) -> list[Pair]:
    """What the ref means, whatever the request needs."""
    if target.group is not None:
        return _of_group(target.group, book, lists)
    if target.router != AUTO:
        router = book.routers[target.router]
        if router.id in book.closed:
            message = f"{router.name} is the owner's."
            raise NotAllowed(message, hint="The owner shares it with shared = true in its row.")
        if not book.usable(router):
            # For `openai/gpt-oss-120b` and its like: the keyed router that has that very id.
            full = f"{router.id}/{target.model}"
            owners = [r for r in auto_order(book) if full in (lists.get(r) or UNKNOWN)]
            raise no_key(router, f"{owners[0]} serves {full}: ask for {owners[0]}/{full}." if owners else "")
        routes = [(router.id, target.model)]
        if target.model == AUTO:
            routes = [(router.id, model) for model in _preferred(router, book, lists)]
            if not routes:
                why = f"{router.name} lists no model that could be chosen."
                raise UnknownModel(why, hint=f"Name one: {router.id}/<model>.")
    elif target.model == AUTO:
        # Every router's best first, then every router's second best.
        columns = [_column(router, book, lists) for router in auto_order(book)[:MOST_ROUTERS]]
        routes = [pair for rank in range(MOST_PER_ROUTER) for column in columns for pair in column[rank : rank + 1]]
        if not routes:
            raise UnknownModel("No router has a model to offer now.", hint="Call list_models to see why.")
    else:
        routes = _by_name(target, book, lists)
    if target.is_default and target.model != AUTO:
        # LLM_FALLBACKS stand behind a default model: a router's name for its best model.
        for ref in book.fallbacks:
            name, _, model = ref.partition("/")
            if name in book.routers and book.usable(book.routers[name]):
                routes += [(name, model)] if model else _column(name, book, lists)[:1]
    return routes


def _of_group(group: Group, book: Book, lists: Lists) -> list[Pair]:
    """What its refs and patterns stand for now; those that stand for nothing are passed over, unless all do."""
    found: list[Pair] = []
    missing: list[UnknownModel | NoRouterKey | NotAllowed] = []
    for ref in group.models:
        try:
            if is_pattern(ref):
                pairs = list(islice(matching(ref, book, lists), MOST_IN_GROUP))
                if not pairs:
                    raise UnknownModel(f"{ref} matches no listed model.")  # noqa: TRY301 - as a ref that is not there
            else:
                pairs = _pairs(Target(ref, *_split(ref, book)), book, lists)
        except (UnknownModel, NoRouterKey, NotAllowed) as lacking:
            missing.append(lacking)
        else:
            found += pairs
    if not found:
        told = " ".join(dict.fromkeys(each.message for each in missing))
        message = f"Nothing of the group {group.name} can be asked: {told}"
        if all(isinstance(each, NoRouterKey) for each in missing):
            raise NoRouterKey(message, router=getattr(missing[0], "router", ""), hint=missing[0].hint)
        raise UnknownModel(message, hint="Call list_models to see what there is, and correct the group in config.toml.")
    unique = list(dict.fromkeys(found))
    return ([pair for pair in unique if pair not in book.gone] or unique)[:MOST_IN_GROUP]


def no_key(router: Router, instead: str = "") -> NoRouterKey:
    """The error for a router without a key: how to give one, and what would work without."""
    if router.url_lacks:
        hint = f"Set {router.url_lacks}, a part of its address, and {router.key_variable}. {instead}"
        return NoRouterKey(f"{router.url_lacks} is not set.", router=router.id, hint=hint.strip())
    hint = f"Run `chomp-mcp keys add {router.id}`, set {router.key_variable}, or call register_keys. {instead}"
    return NoRouterKey(f"There is no key for {router.name}.", router=router.id, hint=hint.strip())


def _column(router: str, book: Book, lists: Lists) -> list[Pair]:
    """One router's candidates: what the settings name on it, then its preference list."""
    named = [rest for ref in book.fallbacks for prefix, _, rest in [ref.partition("/")] if prefix == router and rest]
    models = [model for model in named if (router, model) not in book.gone]
    preferred = _preferred(book.routers[router], book, lists)
    return [(router, model) for model in dict.fromkeys([*models, *preferred])]


def _preferred(router: Router, book: Book, lists: Lists) -> list[str]:
    """The preference list as far as it is live; else the first that the router lists."""
    listed = lists.get(router.id)
    if router.id in book.no_credit and listed:
        return alive(router, listed.free_and_large, book)
    wanted = alive(router, (model for model in router.models if listed is None or model in listed), book)
    return wanted or alive(router, (model.id for model in listed or ()), book)


def _by_name(target: Target, book: Book, lists: Lists) -> list[Pair]:
    """A bare name: exact ids first, then ids whose last segment is that name, each in the `auto` order."""
    order = auto_order(book)
    known = {router: lists.get(router) or UNKNOWN for router in order}
    if target.embeds:
        known = {router: roster.with_embedders for router, roster in known.items()}
    # The mock's names carry arguments (`lorem?tokens=200`), which no list can hold.
    bare = target.model.partition("?")[0]
    mocks = {r for r in order if book.routers[r].dialect == "mock" and bare in book.routers[r].models}
    exact = [(router, target.model) for router in order if target.model in known[router] or router in mocks]
    tail = [(router, model) for router in order for model in known[router].called(target.model)]
    if routes := [*exact, *tail]:
        # A name left no choice but among routers: where all of them said that it is gone, they are asked again.
        return ([pair for pair in routes if pair not in book.gone] or routes)[:MOST_ROUTERS]
    if (itself := target.model.strip().lower()) in book.routers:
        hint = f"Ask for {itself}/auto, or for one of its models, as in {itself}/<model>."
        raise UnknownModel(f"{itself} is a router, not a model.", hint=hint, did_you_mean=(f"{itself}/auto",))
    # From here on only what the caller may see is named.
    found = (lists.get(router) or UNKNOWN for router in only_when_named(book))
    close = tuple(m.ref for m in book.shown(filter(None, (roster.get(target.model) for roster in found))))
    close = close or close_to(target.model, (m.ref for router in order for m in book.shown(known[router])))
    prefix, slash, rest = target.model.partition("/")
    if slash and (meant := close_to(prefix, filter(book.shows, book.routers))):
        close = (f"{meant[0]}/{rest}", *close)[:3] if rest == AUTO else close or (f"{meant[0]}/{rest}",)
    hint = "Call list_models to see what there is, or register a key for a router that has it."
    if close:
        hint = f"Did you mean {' or '.join(close)}?"
    elif unread := [router for router in order if lists.get(router) is None and book.shows(router)]:
        hint = f"The lists of {', '.join(unread)} could not be read: name the router, as in {unread[0]}/<model>."
    why = f"No router that auto may choose lists the model {target.model[:200]!r}."
    raise UnknownModel(why, hint=hint, did_you_mean=close)


def close_to(name: str, known: Iterable[str]) -> tuple[str, ...]:
    """Up to three known names that look like this one, by their whole or by their last segment."""
    candidates = list(islice(known, MOST_COMPARED))
    lowered = name.lower()
    close = difflib.get_close_matches(lowered, [c.lower() for c in candidates], n=3, cutoff=0.6)
    by_tail = {candidate.rpartition("/")[2].lower(): candidate for candidate in reversed(candidates)}
    tails = difflib.get_close_matches(lowered.rpartition("/")[2], list(by_tail), n=3, cutoff=0.6)
    whole = {candidate.lower(): candidate for candidate in reversed(candidates)}
    return tuple(dict.fromkeys([*(whole[c] for c in close), *(by_tail[t] for t in tails)]))[:3]
