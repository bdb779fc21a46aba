"""Values of parsed JSON that somebody else wrote, in the shape that is looked for; one of any other shape is empty.

A field of the wrong type counts as one that is not there: no router and no client may break a request with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chomp_mcp.errors import InvalidRequest

OURS = frozenset({"model", "router", "stream", "stream_options", "chomp"})
"""Fields of a chat request that each dialect writes itself, or that speak to the gateway."""


def as_mapping(value: Any) -> Mapping[str, Any]:
    """An object, or an empty one."""
    # The abstract class is asked last: that costs five times as much, and this runs for the frames of a stream.
    if isinstance(value, dict):
        return value
    return value if value is not None and isinstance(value, Mapping) else {}


def as_list(value: Any) -> list[Any]:
    """An array, or an empty one."""
    return value if isinstance(value, list) else []


def as_objects(value: Any) -> list[Any]:
    """The objects of an array; whatever else stands in it is passed over."""
    return [each for each in value if isinstance(each, (dict, Mapping))] if isinstance(value, list) else []


def as_text(value: Any) -> str:
    """A text, or an empty one."""
    return value if isinstance(value, str) else ""


def as_index(value: Any, otherwise: int = 0) -> int:
    """A place in a list, or `otherwise`."""
    return value if isinstance(value, int) else otherwise


def wrong(place: str, what: str, hint: str = "Correct it.") -> InvalidRequest:
    """The error of a body that cannot be read; `what` goes on behind the name of the place."""
    return InvalidRequest(place + what, hint=hint, param=place)
