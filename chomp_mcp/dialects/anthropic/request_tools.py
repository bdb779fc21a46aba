"""The tools of chat completions, and which may be used -> those of Messages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chomp_mcp.dialects.anthropic.blocks import marked
from chomp_mcp.dialects.anthropic.schemas import closed
from chomp_mcp.dialects.openai.allowed_tools import allowed

__all__ = ["tools_of"]

_CHOICES = {"auto": "auto", "required": "any", "none": "none"}
_FUNCTION = frozenset({"name", "description", "strict", "parameters", "cache_control"})


def tools_of(given: Mapping[str, Any], lost: set[str], moved: set[str]) -> dict[str, Any]:
    """`tools` and `tool_choice`; empty without tools. `lost` and `moved` as in the request."""
    listed = given.get("tools")
    tools = [_tool(tool, lost, moved) for tool in (listed if isinstance(listed, list) else ())]
    kept = [tool for tool in tools if tool]
    choice, names = _choice(given.get("tool_choice", "auto"))
    if names:
        kept = [tool for tool in kept if tool.get("name") in names]
    if not kept:
        return {}
    if given.get("parallel_tool_calls") is False and choice["type"] != "none":
        choice["disable_parallel_tool_use"] = True
    return {"tools": kept, "tool_choice": choice} if choice != {"type": "auto"} else {"tools": kept}


def _tool(tool: Any, lost: set[str], moved: set[str]) -> Mapping[str, Any]:
    """A function as Messages writes it; its own tools as they came. OpenAI's free-form ones have no place."""
    if not isinstance(tool, Mapping):
        return {}
    function = tool.get("function")
    if not isinstance(function, Mapping):
        if isinstance(tool.get("custom"), Mapping):
            lost.add("tools[].custom")
            return {}
        return tool
    lost.update(f"tools[].function.{name}" for name in function.keys() - _FUNCTION)
    kept = {name: function[name] for name in ("name", "description", "strict") if function.get(name) is not None}
    return marked({**kept, "input_schema": _schema(function, moved)}, {**function, **tool})


def _schema(function: Mapping[str, Any], moved: set[str]) -> dict[str, Any]:
    schema = function.get("parameters")
    if not isinstance(schema, Mapping) or not schema:
        return {"type": "object", "properties": {}}
    whole = {"type": "object", **schema}
    return closed(whole, moved) if function.get("strict") is True else whole


def _choice(wanted: Any) -> tuple[dict[str, Any], set[str]]:
    """The choice, and the names that it allows (empty: all).

    A word, `{"type": "function", "function": {"name"}}`, `{"type": "allowed_tools", …}`, or Messages' own form.
    """
    if isinstance(wanted, str):
        return {"type": _CHOICES.get(wanted, "auto")}, set()
    choice = wanted if isinstance(wanted, Mapping) else {}
    if found := allowed(choice):
        return {"type": _CHOICES[found[0]]}, found[1]
    function = choice.get("function")
    name = function.get("name") if isinstance(function, Mapping) else None
    if name:
        return {"type": "tool", "name": name}, set()
    return (dict(choice) if choice.get("type") in _OWN else {"type": "auto"}), set()


_OWN = ("auto", "any", "tool", "none")
