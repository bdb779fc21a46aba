"""A tool's arguments as hosts and models send them, made into what its schema says; a model's typo stays one."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from chomp_mcp import wire
from chomp_mcp.doors.mcp.incoming import is_empty

HOSTS_OWN = frozenset({
    # n8n's agents, to every tool (n8n #22787, #37308)
    "action", "chatInput", "sessionId", "toolCallId", "tool",
    # Cursor and others, to tools that take nothing
    "random_string",
})  # fmt: skip
"""What hosts add themselves, and no model can leave out."""


def fitted(given: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments that are not empty, each of the type that `schema` (the tool's inputSchema) gives it.

    Numbers become text where text is due (LM Studio turns all numeric text into numbers: lmstudio #1626), one text a
    list, JSON in a text an object or a list. What cannot be meant stays as it came, for the validation to name.
    """
    known = schema.get("properties", {})
    required = schema.get("required", ())
    if not known:
        return {}
    fits: dict[str, Any] = {}
    for name, value in given.items():
        fit = value
        kind = known[name].get("type") if name in known else None
        if kind == "string":
            fit = _text(value)
        elif name in known and is_empty(value):
            fit = None
        elif kind in {"object", "array"}:
            if isinstance(value, str):
                with suppress(ValueError):
                    fit = wire.loads(value)
            if kind == "array" and not isinstance(fit, list | dict):
                fit = [_text(fit)]
        is_told = fit is not None or name in required
        if is_told and (name in known or name not in HOSTS_OWN):
            fits[name] = fit
    return fits


def _text(value: Any) -> Any:
    if value is None or isinstance(value, str):
        return value
    if value in ([], {}) and not isinstance(value, bool):
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, bool | list | dict) else wire.dumps(value).decode()
