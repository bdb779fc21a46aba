"""The tools of chat completions, and which may be used -> those of Messages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chomp_mcp.dialects.anthropic.blocks import marked
from chomp_mcp.dialects.anthropic.schemas import closed
from chomp_mcp.dialects.openai.allowed_tools import allowed
from chomp_mcp.dialects.values import as_list, as_mapping

__all__ = ["tools_of"]

_CHOICES = {"auto": "auto", "required": "any", "none": "none"}
_FUNCTION = frozenset({"name", "description", "strict", "parameters", "cache_control"})


def tools_of(given: Mapping[str, Any], lost: set[str], moved: set[str]) -> dict[str, Any]:
    """`tools` and `tool_choice`; empty without tools. `lost` and `moved` as in the request."""
    tools = [_tool(tool, lost, moved) for tool in as_list(given.get("tools"))]
    kept = [tool for tool in tools if tool]
    choice, names = _choice(given.get("tool_choice", "auto"))
    if names:
        kept = [tool for tool in kept if str(tool.get("name")) in names]
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
    parameters = as_mapping(function.get("parameters"))
    schema = {"type": "object", **(parameters or {"properties": {}})}  # Messages insists on a type
    if parameters and function.get("strict") is True:
        schema = closed(schema, moved)
    return marked({**kept, "input_schema": schema}, {**function, **tool})


def _choice(wanted: Any) -> tuple[dict[str, Any], set[str]]:
    """The choice, and the names that it allows (empty: all).

    A word, `{"type": "function", "function": {"name"}}`, `{"type": "allowed_tools", …}`, or Messages' own form.
    """
    if isinstance(wanted, str):
        return {"type": _CHOICES.get(wanted, "auto")}, set()
    choice = as_mapping(wanted)
    if found := allowed(choice):
        return {"type": _CHOICES[found[0]]}, found[1]
    if name := as_mapping(choice.get("function")).get("name"):
        return {"type": "tool", "name": name}, set()
    return (dict(choice) if choice.get("type") in _OWN else {"type": "auto"}), set()


_OWN = ("auto", "any", "tool", "none")
