"""Mutations of what JSON or TOML holds: such inputs of a fuzzer come through the parser, to what is behind it."""

from __future__ import annotations

import copy
import json
import random
import tomllib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

__all__ = ["mutated"]

ODD: Sequence[Any] = (
    *(None, True, False, 0, -1, 1, 1.5, 1e308, 2**53, 10**30, "", " ", "\0", "\u2028", "\ud83d", "a" * 300),
    *([], {}, [None], [[]], [{}], {"": None}, {"type": "text", "text": "t"}, {"type": "x"}, "null", "{}", "data:,"),
)
"""Where something else is expected."""


def mutated(data: bytes, seed: int, seeds: Sequence[bytes], *, is_toml: bool = False) -> bytes:
    """The input with one to four of its values changed; names and values come from it, from `seeds` and from `ODD`."""
    rng = random.Random(seed)
    read: Callable[[bytes], Any] = _toml if is_toml else json.loads
    known = [read(each) for each in seeds]
    try:
        tree = read(data)
    except (ValueError, RecursionError):
        tree = None
    tree = copy.deepcopy(tree if isinstance(tree, dict) and tree else rng.choice(known))
    slots = [slot for each in known for slot in _slots(each)]
    names = [key for _, key in slots if isinstance(key, str)]
    for _ in range(rng.randint(1, 4)):
        inside = list(_slots(tree))
        if not inside:
            break
        node, key = rng.choice(inside)
        there, from_there = rng.choice(slots)
        match rng.randrange(6):
            case 0:
                node[key] = copy.deepcopy(rng.choice(ODD))
            case 1:
                node[key] = copy.deepcopy(there[from_there])
            case 2:
                del node[key]
            case 3 if isinstance(node, dict):
                node[rng.choice(names)] = node.pop(key)
            case 4 if isinstance(node, list):
                node.insert(key, copy.deepcopy(node[key]))
            case _:
                node[key] = rng.choice(([node[key]], {rng.choice(names): node[key]}, str(node[key])))
    return _as_toml(tree).encode("utf-8", "replace") if is_toml else json.dumps(tree).encode()


def _slots(tree: Any) -> Iterator[tuple[Any, Any]]:
    """Every place that holds a value: its object or array, and the name or index there."""
    for key in list(tree) if isinstance(tree, dict) else range(len(tree)) if isinstance(tree, list) else ():
        yield tree, key
        yield from _slots(tree[key])


def _toml(data: bytes) -> Any:
    return tomllib.loads(data.decode("utf-8", "replace"))


def _as_toml(value: Any, *, depth: int = 0) -> str:
    """Enough TOML for what comes out above: one inline table below the other; TOML has no null."""
    if isinstance(value, dict):
        pairs = [f"{_text(str(name))} = {_as_toml(each, depth=depth + 1)}" for name, each in value.items()]
        return "\n".join(pairs) if depth == 0 else f"{{ {', '.join(pairs)} }}"
    if isinstance(value, list):
        return f"[{', '.join(_as_toml(each, depth=depth + 1) for each in value)}]"
    if isinstance(value, (bool, int, float)):
        return json.dumps(value)
    return _text(str(value))


def _text(value: str) -> str:
    """JSON's escapes are TOML's, but for halves of an emoji, which it has not, and DEL, which it wants escaped."""
    text = value.encode("utf-8", "replace").decode()
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
