"""Fields deep inside a request body, named as `tools[].function.strict`."""

from __future__ import annotations

from typing import Any

__all__ = ["without"]


def without(value: Any, path: tuple[str, ...]) -> tuple[Any, bool]:
    """The value without what the path names, and whether that was there; what is not touched is not copied.

    Args:
        value: JSON.
        path: its steps; one that ends in `[]` goes into each entry of a list.
    """
    step, rest = path[0], path[1:]
    name = step.removesuffix("[]")
    if not isinstance(value, dict) or value.get(name) is None:
        return value, False
    if not rest:
        return {key: item for key, item in value.items() if key != name}, True
    inner = value[name]
    if name == step:
        inner, found = without(inner, rest)
    elif isinstance(inner, list):
        entries = [without(entry, rest) for entry in inner]
        inner, found = [entry for entry, _ in entries], any(was_there for _, was_there in entries)
    else:
        found = False
    return ({**value, name: inner}, True) if found else (value, False)
