"""Fields deep inside a request body, named as `tools[].function.strict`."""

from __future__ import annotations

from typing import Any


def without(value: Any, path: tuple[str, ...]) -> tuple[Any, bool]:
    """The value without what the path names, and whether that was there; what is not touched is not copied.

    Args:
        value: JSON.
        path: its steps; one that ends in `[]` goes into each entry of a list.
    """
    step, rest = path[0], path[1:]
    name = step.removesuffix("[]")
    if not _has(value, path):
        return value, False
    if not rest:
        return {key: item for key, item in value.items() if key != name}, True
    inner = value[name]
    cut = without(inner, rest)[0] if name == step else [without(entry, rest)[0] for entry in inner]
    return {**value, name: cut}, True


def _has(value: Any, path: tuple[str, ...]) -> bool:
    """Whether there is what the path names: mostly there is not, and nothing has to be copied."""
    step, rest = path[0], path[1:]
    name = step.removesuffix("[]")
    if not isinstance(value, dict) or (inner := value.get(name)) is None:
        return False
    if not rest:
        return True
    if name == step:
        return _has(inner, rest)
    return isinstance(inner, list) and any(_has(entry, rest) for entry in inner)
