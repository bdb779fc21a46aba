"""A generateContent body (ai.google.dev) -> a chat-completions body, and what has no place in one."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Mapping
from typing import Any

from chomp_mcp import wire
from chomp_mcp.dialects.gemini.contents import MODES, SAMPLING
from chomp_mcp.dialects.openai.shapes import call
from chomp_mcp.dialects.values import as_list, as_mapping, as_objects, wrong

# Without `candidateCount`: this door tells one candidate, and says so where more were asked for.
_CONFIG = {theirs: ours for ours, theirs in SAMPLING.items()} | {
    "maxOutputTokens": "max_tokens",
    "stopSequences": "stop",
}
_CHOICES = {theirs: ours for ours, theirs in MODES.items()}
_READ = frozenset({"contents", "systemInstruction", "system_instruction", "tools", "toolConfig", "generationConfig"})
_SCHEMAS = frozenset({"responseMimeType", "responseSchema", "responseJsonSchema", "thinkingConfig"})
_Part = dict[str, Any]


def chat_of(body: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The chat-completions body without its envelope, and the notes on what is not in it.

    Raises:
        InvalidRequest: a field of the wrong shape; `param` names it.
    """
    history = _History()
    if system := body.get("systemInstruction") or body.get("system_instruction"):
        history.add(system if isinstance(system, Mapping) else {"parts": [{"text": str(system)}]}, "system")
    contents = body.get("contents")
    if not isinstance(contents, list) or not contents or not all(isinstance(each, Mapping) for each in contents):
        hint = 'Send "contents": [{"role": "user", "parts": [{"text": "…"}]}].'
        raise wrong("contents", " is not a list with at least one content.", hint)
    for content in contents:
        history.add(content, "assistant" if content.get("role") == "model" else "user")
    chat: dict[str, Any] = {"messages": history.messages}
    notes = history.notes + [f"{name} has no place in chat completions: left out" for name in body if name not in _READ]
    config = as_mapping(body.get("generationConfig"))
    chat |= {ours: config[theirs] for theirs, ours in _CONFIG.items() if config.get(theirs) is not None}
    schema = config.get("responseJsonSchema") or _lowered(config.get("responseSchema"))
    if isinstance(schema, Mapping) and schema:
        chat["response_format"] = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}
    elif config.get("responseMimeType") == "application/json":
        chat["response_format"] = {"type": "json_object"}
    unknown = [name for name in config if name not in _CONFIG and name not in _SCHEMAS]
    notes += [f"generationConfig.{name} has no place in chat completions: left out" for name in unknown]
    return {**chat, **_tools(body, notes)}, tuple(dict.fromkeys(notes))


class _History:
    """Contents as messages; calls without an id get one by their place, results take those of their name in turn."""

    def __init__(self) -> None:
        self.messages: list[_Part] = []
        self.notes: list[str] = []
        self._open: dict[int, str] = {}
        """The ids of the calls that have no result yet, by the number of the call."""
        self._called: defaultdict[tuple[str, str], deque[int]] = defaultdict(deque)
        """The numbers of the calls of one `("name", …)` and of one `("id", …)`, in order."""
        self._count = 0

    def add(self, content: Mapping[str, Any], role: str) -> None:
        given = as_objects(content.get("parts"))
        parts = [made for part in given if not part.get("thought") and (made := self._part(part))]
        if role == "assistant":
            calls = []
            for told in (part["functionCall"] for part in given if isinstance(part.get("functionCall"), Mapping)):
                self._count += 1
                name, call_id = str(told.get("name") or ""), str(told.get("id") or f"call_{self._count}")
                self._open[self._count] = call_id
                self._called["name", name].append(self._count)
                self._called["id", call_id].append(self._count)
                calls.append(call(call_id, name, told.get("args")))
            text = "".join(part["text"] for part in parts if part["type"] == "text")
            message: _Part = {"role": "assistant", "content": text or (None if calls else "")}
            if thought := "".join(str(part.get("text") or "") for part in given if part.get("thought")):
                message["reasoning_content"] = thought
            if calls:
                message["tool_calls"] = calls
            self.messages.append(message)
            return
        for result in (part["functionResponse"] for part in given if isinstance(part.get("functionResponse"), Mapping)):
            name, named = str(result.get("name") or ""), str(result.get("id") or "")
            fitting = self._called["id", named] if named else self._called["name", name]
            while fitting and fitting[0] not in self._open:  # answered under its other name
                fitting.popleft()
            text = wire.dumps(result.get("response")).decode()
            if fitting:
                call_id = self._open.pop(fitting.popleft())
                self.messages.append({"role": "tool", "tool_call_id": call_id, "content": text})
            else:  # routers refuse a result without its call
                self.notes.append(f"the result of {name[:100]} answers no call: sent as text")
                self.messages.append({"role": "user", "content": f"Result of {name}: {text}"})
        if parts:
            plain = len(parts) == 1 and parts[0]["type"] == "text"
            self.messages.append({"role": role, "content": parts[0]["text"] if plain else parts})

    def _part(self, part: Mapping[str, Any]) -> _Part | None:
        if isinstance(part.get("text"), str):
            return {"type": "text", "text": part["text"]} if part["text"] else None
        data, link = as_mapping(part.get("inlineData")), as_mapping(part.get("fileData"))
        kind = str(data.get("mimeType") or link.get("mimeType") or "")
        url = f"data:{kind};base64,{data.get('data')}" if data else str(link.get("fileUri") or "")
        if url and kind.startswith("image/"):
            return {"type": "image_url", "image_url": {"url": url}}
        if url:
            return {"type": "file", "file": {"filename": "file", "file_data": url}}
        if not {"functionCall", "functionResponse"} & set(part):
            self.notes.append(f"a part with {', '.join(sorted(part))[:100]} has no place in chat completions: left out")
        return None


def _tools(body: Mapping[str, Any], notes: list[str]) -> dict[str, Any]:
    """Functions; Google's own tools (search, code execution) only Google runs."""
    functions: list[_Part] = []
    for tool in as_list(body.get("tools")):
        given = as_mapping(tool)
        notes += [f"the tool {name} is Google's own: left out" for name in given if name != "functionDeclarations"]
        for declaration in as_list(given.get("functionDeclarations")):
            declared = as_mapping(declaration)
            schema = declared.get("parametersJsonSchema") or _lowered(declared.get("parameters"))
            function = {"name": declared.get("name"), "parameters": schema or {"type": "object", "properties": {}}}
            described = {"description": declared["description"]} if declared.get("description") else {}
            functions.append({"type": "function", "function": {**function, **described}})
    if not functions:
        return {}
    mode = as_mapping(as_mapping(body.get("toolConfig")).get("functionCallingConfig")).get("mode")
    choice = _CHOICES.get(str(mode))
    return {"tools": functions, **({"tool_choice": choice} if choice else {})}


def _lowered(schema: Any) -> Any:
    """Google writes the types of its older schemas in capitals."""
    if isinstance(schema, list):
        return [_lowered(each) for each in schema]
    if not isinstance(schema, Mapping):
        return schema
    return {k: v.lower() if k == "type" and isinstance(v, str) else _lowered(v) for k, v in schema.items()}
