"""Tools of a Messages body -> functions of chat completions."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from chomp_mcp.dialects.values import wrong

_WORDS = {"auto": "auto", "any": "required", "none": "none"}
_EMPTY_SCHEMA: Mapping[str, Any] = {"type": "object", "properties": {}}
_SEARCH = "tool_search_tool"
"""Anthropic's own search for deferred tools; the type begins with it."""


class Tools:
    """`fields` are `tools`, `tool_choice` and `parallel_tool_calls`; `notes` say which tools cannot go.

    A deferred tool goes once the history refers to it (`tool_reference`), as Anthropic would show it to the model then.
    Where Anthropic's own search was to find it, which nobody else has, it goes at once.
    """

    def __init__(self, body: Mapping[str, Any], referenced: Collection[str]) -> None:
        self.notes: list[str] = []
        self.fields: dict[str, Any] = {}
        given = body.get("tools") or []
        if not isinstance(given, list) or not all(isinstance(tool, Mapping) for tool in given):
            raise wrong("tools", " is not a list of tools.", 'Send [{"name", "input_schema"}, …].')
        waits = not any(str(tool.get("type", "")).startswith(_SEARCH) for tool in given)
        deferred = {str(t.get("name")) for t in given if t.get("defer_loading") and waits} - set(referenced)
        functions = [
            function
            for index, tool in enumerate(given)
            if str(tool.get("name")) not in deferred and (function := self._function(tool, index))
        ]
        if deferred:
            self.notes.append(f"{len(deferred)} deferred tools wait until a tool_reference names them")
        if not functions:  # routers refuse a choice without tools
            return
        self.fields["tools"] = functions
        if (choice := body.get("tool_choice")) is None:
            return
        kind = choice.get("type") if isinstance(choice, Mapping) else None
        if kind not in (*_WORDS, "tool"):
            raise wrong("tool_choice", " is none of auto, any, tool and none.", 'Send {"type": "auto"}.')
        if kind != "tool":
            self.fields["tool_choice"] = _WORDS[kind]
        elif (name := str(choice.get("name"))) in {function["function"]["name"] for function in functions}:
            self.fields["tool_choice"] = {"type": "function", "function": {"name": name}}
        else:  # left out or deferred: chat completions refuses a choice that is not among the tools
            self.notes.append(f"tool_choice names {name[:100]}, which is not sent: auto")
            self.fields["tool_choice"] = "auto"
        if choice.get("disable_parallel_tool_use"):
            self.fields["parallel_tool_calls"] = False

    def _function(self, tool: Mapping[str, Any], index: int) -> dict[str, Any] | None:
        """None for a tool that only Anthropic runs or knows the schema of."""
        name, schema = tool.get("name"), tool.get("input_schema")
        kind = tool.get("type") or "custom"
        if kind != "custom":
            self.notes.append(f"the tool {kind} is Anthropic's own: left out")
            return None
        if not isinstance(name, str) or not name:
            raise wrong(f"tools.{index}.name", ": a tool needs a name.", "Name it.")
        if schema is not None and not isinstance(schema, Mapping):
            raise wrong(f"tools.{index}.input_schema", " is not an object.", "Send a JSON schema.")
        callers = tool.get("allowed_callers")
        if isinstance(callers, list) and callers and "direct" not in callers:
            self.notes.append(f"the tool {name} may only be called by Anthropic's code execution: left out")
            return None
        function = {"name": name, "parameters": schema or _EMPTY_SCHEMA}
        function |= {field: tool[field] for field in ("description", "strict") if tool.get(field) is not None}
        if tool.get("input_examples"):
            self.notes.append("input_examples of tools have no place in chat completions: left out")
        marks = {"cache_control": tool["cache_control"]} if tool.get("cache_control") else {}
        return {"type": "function", "function": function, **marks}
