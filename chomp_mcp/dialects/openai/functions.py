"""`functions` and `function_call`, the form before tools: sent as tools, and what comes back in that form."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from chomp_mcp.dialects.values import as_list, as_mapping, as_text
from chomp_mcp.messages import ChatRequest, Completion, Delta

_NOTE = "functions were sent as tools"


def with_tools(request: ChatRequest) -> tuple[ChatRequest, tuple[str, ...]]:
    """The request with tools, and the note on it; one without functions as it is."""
    body = request.body
    messages = as_list(body.get("messages"))
    is_asked = bool(body.get("functions") or body.get("function_call"))
    if not is_asked and not any(map(_is_legacy, messages)):
        return request, ()
    fields = {name: value for name, value in body.items() if name not in {"functions", "function_call"}}
    functions = [each for each in as_list(body.get("functions")) if isinstance(each, Mapping)]
    if functions:
        tools = [{"type": "function", "function": each} for each in functions]
        fields["tools"] = [*as_list(fields.get("tools")), *tools]
        if is_legacy(body):  # an answer of that form holds one call
            fields.setdefault("parallel_tool_calls", False)
    choice = body.get("function_call")  # a word, or the name of a function
    if not isinstance(choice, str):
        name = as_text(as_mapping(choice).get("name"))
        choice = {"type": "function", "function": {"name": name}} if name else None
    if choice:
        fields.setdefault("tool_choice", choice)
    told: list[Any] = []
    waiting: dict[str, str] = {}
    for at, message in enumerate(messages):
        # A call gets an id by its place, and the result of its function behind it the same.
        if not _is_legacy(message):
            told.append(message)
        elif message.get("role") == "function":
            name = str(message.get("name"))
            plain = {field: value for field, value in message.items() if field != "name"}
            told.append({**plain, "role": "tool", "tool_call_id": waiting.pop(name, f"call_{at}")})
        else:
            call = as_mapping(message["function_call"])
            call_id = waiting[str(call.get("name"))] = f"call_{at}"
            plain = {field: value for field, value in message.items() if field != "function_call"}
            calls = [*as_list(plain.get("tool_calls")), {"id": call_id, "type": "function", "function": dict(call)}]
            told.append({**plain, "tool_calls": calls})
    fields["messages"] = told
    return replace(request, body=fields), (_NOTE,) if is_asked else ()


def is_legacy(body: Mapping[str, Any]) -> bool:
    """The caller reads calls in the form before tools."""
    return bool(body.get("functions")) and not body.get("tools")


def as_function_call(completion: Completion) -> Completion:
    """The answer with its first call, which is all that the old form holds, as `function_call`; others as they are."""
    choices = [_choice_of(choice, "message") for choice in as_list(completion.body.get("choices"))]
    return replace(completion, body={**completion.body, "choices": choices})


def as_function_calls(deltas: Iterable[Delta]) -> list[Delta]:
    """The same for the pieces of a stream."""
    return [
        delta
        if delta.plain
        else Delta(chunk={**delta.chunk, "choices": [_choice_of(choice, "delta") for choice in delta.choices]})
        for delta in deltas
    ]


def _choice_of(choice: Any, place: str) -> Any:
    said = choice.get(place) if isinstance(choice, Mapping) else None
    if not isinstance(said, Mapping) or not (said.get("tool_calls") or choice.get("finish_reason") == "tool_calls"):
        return choice
    calls = [call for call in as_list(said.get("tool_calls")) if isinstance(call, Mapping) and not call.get("index")]
    plain = {name: value for name, value in said.items() if name != "tool_calls"}
    if calls:
        plain["function_call"] = dict(as_mapping(calls[0].get("function")))
    ended = choice.get("finish_reason") == "tool_calls"
    return {**choice, place: plain, **({"finish_reason": "function_call"} if ended else {})}


def _is_legacy(message: Any) -> bool:
    return isinstance(message, dict) and (message.get("role") == "function" or bool(message.get("function_call")))
