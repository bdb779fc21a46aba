"""JSON Schema as Messages takes it for structured outputs and strict tools.

Its rules (platform.claude.com, "Structured outputs", JSON Schema limitations): every object is closed, and there are no
bounds on numbers, lengths and counts. What is refused goes into the description, where the model still reads it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chomp_mcp import wire

_KEPT = frozenset({
    "$ref", "$defs", "definitions", "type", "properties", "required", "items", "enum", "const", "anyOf", "allOf",
    "title", "description", "default", "pattern", "$schema", "$id",
})  # fmt: skip
_FORMATS = ("date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid")
_BY_NAME = ("properties", "$defs", "definitions")
_LISTS = ("anyOf", "allOf")
_DEPTH = 64


def closed(schema: Mapping[str, Any], moved: set[str], depth: int = _DEPTH) -> dict[str, Any]:
    """The schema within the limits; the names of the keywords that became words are added to `moved`."""
    given = dict(schema)
    if "oneOf" in given and "anyOf" not in given:
        given["anyOf"] = given.pop("oneOf")
    kept: dict[str, Any] = {}
    words: dict[str, Any] = {}
    for name, value in given.items():
        if name == "additionalProperties":
            if value not in (False, None, True):
                words[name] = value
        elif name in _KEPT or (name == "format" and value in _FORMATS) or (name == "minItems" and value in (0, 1)):
            if name in _BY_NAME and isinstance(value, Mapping):
                kept[name] = {key: _one(each, moved, depth) for key, each in value.items()}
            elif name in _LISTS and isinstance(value, list):
                kept[name] = [_one(each, moved, depth) for each in value]
            else:
                kept[name] = _one(value, moved, depth) if name == "items" else value
        else:
            words[name] = value
    kind = kept.get("type")
    if kind == "object" or "properties" in kept or (isinstance(kind, list) and "object" in kind):
        kept["additionalProperties"] = False
    if words:
        moved.update(words)
        said = []
        for name, value in words.items():
            try:
                said.append(f"{name}: {wire.dumps(value).decode()}")
            except (TypeError, ValueError):  # nested deeper than JSON is written
                said.append(f"{name}: …")
        told = f"{{{', '.join(said)}}}"
        kept["description"] = "\n\n".join(filter(None, [str(kept.get("description") or ""), told]))
    return kept


def _one(value: Any, moved: set[str], depth: int) -> Any:
    # What is nested deeper goes as it is: it is the router's to refuse, and Python's stack has an end.
    return closed(value, moved, depth - 1) if depth and isinstance(value, Mapping) else value
