"""The tools of chat completions, and which may be used -> those of Messages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chomp_mcp.dialects.anthropic.blocks import marked
from chomp_mcp.dialects.anthropic.schemas import closed
from chomp_mcp.dialects.openai.allowed_tools import allowed
from chomp_mcp.dialects.values import as_mapping, as_objects

_CHOICES = {"auto": "auto", "required": "any", "none": "none"}
_FUNCTION = frozenset({"name", "description", "strict", "parameters", "cache_control"})


def tools_of(given: Mapping[str, Any], lost: set[str], moved: set[str]) -> dict[str, Any]:
    """`tools` and `tool_choice`; empty without tools. `lost` and `moved` as in the request."""
    kept: list[Mapping[str, Any]] = []
    for tool in as_objects(given.get("tools")):
        function = tool.get("function")
        if isinstance(function, Mapping):
            lost.update(f"tools[].function.{name}" for name in function.keys() - _FUNCTION)
            names = ("name", "description", "strict")
            made = {name: function[name] for name in names if function.get(name) is not None}
            parameters = as_mapping(function.get("parameters"))
            schema = {"type": "object", **(parameters or {"properties": {}})}  # Messages insists on a type
            if parameters and function.get("strict") is True:
                schema = closed(schema, moved)
            kept.append(marked({**made, "input_schema": schema}, {**function, **tool}))
        elif isinstance(tool.get("custom"), Mapping):  # OpenAI's free-form tools have no place
            lost.add("tools[].custom")
        elif tool:  # one of Messages' own, as it came
            kept.append(tool)
    # A word, `{"type": "function", "function": {"name"}}`, `{"type": "allowed_tools", …}`, or Messages' own form.
    wanted = given.get("tool_choice", "auto")
    choice: dict[str, Any] = {"type": "auto"}
    if isinstance(wanted, str):
        choice["type"] = _CHOICES.get(wanted, "auto")
    elif found := allowed(as_mapping(wanted)):
        choice["type"] = _CHOICES[found[0]]
        kept = [tool for tool in kept if not found[1] or str(tool.get("name")) in found[1]]
    elif name := as_mapping(as_mapping(wanted).get("function")).get("name"):
        choice |= {"type": "tool", "name": name}
    elif as_mapping(wanted).get("type") in _OWN:
        choice = dict(wanted)
    if not kept:
        return {}
    if given.get("parallel_tool_calls") is False and choice["type"] != "none":
        choice["disable_parallel_tool_use"] = True
    return {"tools": kept, "tool_choice": choice} if choice != {"type": "auto"} else {"tools": kept}


_OWN = ("auto", "any", "tool", "none")
