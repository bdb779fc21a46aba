"""`[groups.*]` of config.toml: read and checked at start, and what each group stands for now."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from chomp_mcp.errors import InvalidSetting
from chomp_mcp.messages import NEEDS, ORDERS, Group, Router
from chomp_mcp.policy.book import UNKNOWN, Book, Lists, Pair, listed_routers

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_FIELDS = ("models", "order", "needs", "sticky", "hedge")


def checked_groups(rows: Any, routers: Mapping[str, Router]) -> dict[str, Group]:
    """Name -> group, with other groups among the models resolved; `InvalidSetting` names what is wrong."""
    if not isinstance(rows, Mapping):
        raise InvalidSetting("[groups] in config.toml is not a table.", hint="Write groups as [groups.<name>].")
    for name in rows:
        if not _NAME.fullmatch(name) or name in routers:
            why = "is a router's id" if name in routers else "may hold only letters, digits, ., - and _"
            raise InvalidSetting(f"[groups.{name}] in config.toml: the name {why}.", hint="Choose another name.")
    groups = {name: _checked(name, row, routers) for name, row in rows.items()}
    return {name: replace(group, models=tuple(_flat(group, groups, (name,)))) for name, group in groups.items()}


def _checked(name: str, row: Any, routers: Mapping[str, Router]) -> Group:
    if not isinstance(row, Mapping):
        raise InvalidSetting(f"groups.{name} in config.toml is not a table.", hint=f"Write [groups.{name}].")
    unknown = [field for field in row if field not in _FIELDS]
    if unknown:
        message = f"[groups.{name}] in config.toml has an unknown field {unknown[0]!r}."
        raise InvalidSetting(message, hint=f"Known: {', '.join(_FIELDS)}.")
    models, order, needs = row.get("models"), row.get("order", "listed"), row.get("needs", [])
    if not _are_texts(models) or not models:
        raise _wrong(name, "models", 'must be a list of model refs, such as ["groq/auto", "openrouter/*:free"]')
    for ref in models:
        prefix, slash, rest = ref.partition("/")
        if not ref or ref.split() != [ref] or not ref.isprintable() or (slash and not (prefix and rest)):
            raise _wrong(name, "models", f"holds {ref!r}, which is no model ref")
        if is_pattern(ref) and slash and not any(_glob(prefix).fullmatch(router) for router in routers):
            why = f"matches nothing: there is no router {prefix!r} (known: {', '.join(routers)})"
            raise _wrong(name, "models", f"holds {ref!r}, which {why}")
    if order not in ORDERS:
        raise _wrong(name, "order", f"must be one of {', '.join(ORDERS)}")
    if not _are_texts(needs) or not set(needs) <= set(NEEDS):
        raise _wrong(name, "needs", f"must be a list of {', '.join(NEEDS)}")
    for flag in ("sticky", "hedge"):
        if not isinstance(row.get(flag, False), bool):
            raise _wrong(name, flag, "must be true or false")
    return Group(name, tuple(models), order, frozenset(needs), row.get("sticky", True), row.get("hedge", False))


def _wrong(name: str, field: str, reason: str) -> InvalidSetting:
    return InvalidSetting(f"[groups.{name}] in config.toml: {field} {reason}.", hint=f"Correct or remove {field}.")


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


def _flat(group: Group, groups: Mapping[str, Group], path: tuple[str, ...]) -> Iterator[str]:
    for ref in group.models:
        if ref in path:
            why = f"[groups.{path[0]}] in config.toml names itself: {' -> '.join((*path, ref))}."
            raise InvalidSetting(why, hint=f"Take {ref} out of its models.")
        if ref in groups:
            yield from _flat(groups[ref], groups, (*path, ref))
        else:
            yield ref


def is_pattern(ref: str) -> bool:
    """`*` stands for anything; the mock's names hold a `?`."""
    return "*" in ref


def _glob(pattern: str) -> re.Pattern[str]:
    return re.compile(".*".join(map(re.escape, pattern.split("*"))), re.DOTALL)


def pattern_routers(pattern: str, book: Book) -> list[str]:
    """The routers that the caller can call and the pattern may mean."""
    prefix, slash, _ = pattern.partition("/")
    if not slash:
        return list(listed_routers(book))
    wanted = _glob(prefix)
    if is_pattern(prefix):
        return [router for router in listed_routers(book) if wanted.fullmatch(router)]
    return [prefix] if prefix in book.routers and book.usable(book.routers[prefix]) else []


def matching(pattern: str, book: Book, lists: Lists) -> Iterable[Pair]:
    """What is listed and matches, in the order of the routers and of their lists; without what is gone.

    Without a slash the pattern is for a model's id, or its last segment, on any router.
    """
    prefix, slash, rest = pattern.partition("/")
    wanted = _glob(rest if slash else prefix)
    for router in pattern_routers(pattern, book):
        for model in lists.get(router) or UNKNOWN:
            names = (model.id,) if slash else (model.id, model.id.rpartition("/")[2])
            if any(map(wanted.fullmatch, names)) and (router, model.id) not in book.gone:
                yield router, model.id
