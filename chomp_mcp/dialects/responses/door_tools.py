"""The tools of a Responses request, and the chat functions that stand for them.

Chat routers know functions only. A freeform custom tool (`apply_patch`) becomes a function with one text argument, and
a namespace's tool (`{"type": "namespace"}`, one per MCP server of Codex) a function of a joined name. `Tools` remembers
which function stands for what, so that a call finds its way back.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from chomp_mcp import wire
from chomp_mcp.dialects.values import as_mapping, as_objects, wrong
from chomp_mcp.errors import InvalidRequest

LONGEST_NAME = 64
"""What OpenAI and most routers take as a function's name: `[a-zA-Z0-9_-]{1,64}`."""
_FOREIGN = re.compile(r"[^a-zA-Z0-9_-]")
_INPUT = "input"
"""The one argument of a function that stands for a freeform tool."""


@dataclass(frozen=True, slots=True)
class Tool:
    """One tool as the client named it."""

    kind: str
    """`function` or `custom`."""
    name: str
    namespace: str = ""


@dataclass(frozen=True, slots=True)
class Call:
    """A call as the client must see it: `text` are the JSON arguments of a function, the input of a custom tool."""

    tool: Tool
    text: str


@dataclass(slots=True)
class Tools:
    """Chat function name <-> tool, and the chat `tools` themselves."""

    functions: list[dict[str, Any]] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    """Types of built-in tools that a chat router does not have."""
    _by_function: dict[str, Tool] = field(default_factory=dict)
    _by_tool: dict[tuple[str, str], str] = field(default_factory=dict)

    @classmethod
    def of(cls, tools: Any) -> Tools:
        """The tools of a body. `InvalidRequest` for one without a type or name."""
        made = cls()
        if tools is None:
            return made
        if not isinstance(tools, list):
            raise wrong("tools", " is not a list.", "Send a list of tool objects.")
        for place, tool in enumerate(tools):
            made._add(tool, f"tools[{place}]")
        return made

    def function_of(self, name: str, namespace: str = "") -> str:
        """The chat function that stands for a tool; a name of its own for one that is not among the tools."""
        found = self._by_tool.get((namespace, name))
        return found or self._name(Tool("function", name, namespace))

    def call(self, function: str, arguments: str) -> Call:
        """What the model's call of a function means to the client."""
        tool = self._by_function.get(function) or Tool("function", function)
        return Call(tool, freeform_input(arguments) if tool.kind == "custom" else arguments)

    def allowed(self, choice: Mapping[str, Any]) -> list[dict[str, Any]]:
        """The functions that `{"type": "allowed_tools", "tools": [...]}` leaves."""
        rows = as_objects(choice.get("tools"))
        names = {self.function_of(str(row.get("name")), str(row.get("namespace") or "")) for row in rows}
        return [function for function in self.functions if function["function"]["name"] in names]

    def _add(self, tool: Any, place: str, namespace: str = "", about: str = "") -> None:
        kind = tool.get("type") if isinstance(tool, Mapping) else None
        if not isinstance(kind, str):
            raise wrong(place, " has no type.", 'Send {"type": "function", "name": …}.')
        if kind == "namespace":
            inner, name = tool.get("tools"), tool.get("name")
            if not isinstance(inner, list) or not name:
                raise wrong(place, " is no namespace.", "A namespace has a name and tools.")
            about = str(tool.get("description") or "")
            for index, each in enumerate(inner):  # what it is about is told once, with the first of its tools
                self._add(each, f"{place}.tools[{index}]", str(name), about if index == 0 else "")
            return
        if kind not in {"function", "custom"}:
            self.left_out.append(kind)
            return
        # Chat completions nests a function's fields; some clients send that shape here, too.
        row = {**tool, **(nested if isinstance(nested := tool.get(kind), Mapping) else {})}
        name = row.get("name")
        if not isinstance(name, str) or not name:
            raise InvalidRequest(f"{place} has no name.", hint="Give every tool a name.", param=f"{place}.name")
        descriptions = [str(row["description"])] if row.get("description") else []
        if (namespace, name) in self._by_tool:
            hint = "Give every tool a name of its own."
            raise InvalidRequest(f"There are two tools named {name!r}.", hint=hint, param="tools")
        ours = self._name(Tool(kind, name, namespace))
        self._by_tool[namespace, name] = ours
        self._by_function[ours] = Tool(kind, name, namespace)
        function: dict[str, Any] = {"name": ours}
        if about:
            descriptions.insert(0, f"({namespace}: {about})")
        if kind == "custom":
            form = as_mapping(row.get("format"))
            if form.get("type") == "grammar":  # no chat router enforces it: it is said in words that a model follows
                syntax, grammar = form.get("syntax") or "", form.get("definition") or ""
                is_text = f"`{_INPUT}` is plain text, not JSON, that follows this"
                descriptions.append(f"{is_text} {syntax} grammar:\n{grammar}")
            text = {"type": "string", "description": "The whole input, as plain text."}
            function["parameters"] = {"type": "object", "properties": {_INPUT: text}, "required": [_INPUT]}
        else:
            function["parameters"] = row.get("parameters") or {"type": "object", "properties": {}}
            if row.get("strict") is not None:
                function["strict"] = row["strict"]
        if descriptions:
            function["description"] = "\n\n".join(descriptions)
        self.functions.append({"type": "function", "function": function})

    def _name(self, tool: Tool) -> str:
        """A name that chat routers take and that no other tool has here; the same in every turn of a conversation."""
        joined = f"{tool.namespace}__{tool.name}" if tool.namespace else tool.name
        plain = _FOREIGN.sub("_", joined)
        if plain == joined and len(plain) <= LONGEST_NAME and plain not in self._by_function:
            return plain
        mark = sha256(joined.encode("utf-8", "replace")).hexdigest()[:8]
        return f"{plain[: LONGEST_NAME - 9]}_{mark}"


def freeform_arguments(text: str) -> str:
    """The arguments of the function that stands for a freeform tool."""
    return wire.dumps({_INPUT: text}).decode()


def freeform_input(arguments: str) -> str:
    """A freeform tool's input from what the model wrote as arguments."""
    # Not every model keeps to the one argument: some write the text itself, some another name for it.
    try:
        value = wire.loads(arguments)
    except ValueError:
        return arguments
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        text = value.get(_INPUT) if len(value) > 1 else next(iter(value.values()), None)
        if isinstance(text, str):
            return text
    return arguments
