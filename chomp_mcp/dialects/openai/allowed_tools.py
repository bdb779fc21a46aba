"""`tool_choice: {"type": "allowed_tools"}` for routers that do not know it: only the allowed tools are shown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chomp_mcp.dialects.values import as_list, as_text


def allowed(choice: Any) -> tuple[str, set[str]] | None:
    """The mode (`auto` or `required`) and the names that a choice allows; None for every other kind of choice."""
    if not isinstance(choice, Mapping) or choice.get("type") != "allowed_tools":
        return None
    inner = choice.get("allowed_tools")  # where chat completions nests them; Responses does not
    place = inner if isinstance(inner, Mapping) else choice
    names = {name for tool in as_list(place.get("tools")) if (name := name_of(tool))}
    return ("required" if place.get("mode") == "required" else "auto"), names


def name_of(tool: Any) -> str:
    """The name of a function, written in either form; empty for anything else."""
    function = tool.get("function", tool) if isinstance(tool, Mapping) else {}
    name = function.get("name") if isinstance(function, Mapping) else None
    return as_text(name)
