"""Ollama's own /api/chat: a chat-completions body -> its body, its answers -> OpenAI's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from chomp_mcp.dialects.numbers import tokens
from chomp_mcp.dialects.openai.shapes import completion, head, piece, usage_piece
from chomp_mcp.dialects.openai.text import as_input
from chomp_mcp.dialects.openai.tool_calls import mend_arguments, new_id
from chomp_mcp.dialects.values import as_list, as_mapping, as_objects, as_text
from chomp_mcp.messages import Completion, Delta, Usage

_SAME = ("temperature", "top_p", "top_k", "min_p", "seed", "stop", "frequency_penalty", "presence_penalty", "num_ctx")
_OPTIONS: Mapping[str, str] = {"max_tokens": "num_predict", **dict(zip(_SAME, _SAME, strict=True))}
"""Chat completions' name -> the name in `options`."""
_AS_THEY_ARE = ("model", "tools", "keep_alive", "think")
_READ = frozenset({*_OPTIONS, *_AS_THEY_ARE, "messages", "options", "response_format", "reasoning_effort"})
_SETTLED = frozenset({"stream", "stream_options", "router", "chomp", "max_completion_tokens", "tool_choice"})
_THOUGHTS = ("reasoning_content", "reasoning")
_MESSAGE = frozenset({"role", "content", "tool_calls", "tool_call_id", *_THOUGHTS})
_ID = "chatcmpl-ollama"


def body_of(body: Mapping[str, Any]) -> dict[str, Any]:
    """The /api/chat body of a chat-completions body as the openai dialect wrote it; the caller's `options` win."""
    tools: dict[str, Any] = {}
    options = {theirs: body[ours] for ours, theirs in _OPTIONS.items() if ours in body}
    native: dict[str, Any] = {
        **{name: body[name] for name in _AS_THEY_ARE if name in body},
        "messages": [_message(each, tools) for each in as_list(body.get("messages")) if isinstance(each, Mapping)],
        "stream": bool(body.get("stream")),
        "options": {**options, **as_mapping(body.get("options"))},
    }
    if "reasoning_effort" in body and "think" not in body:
        native["think"] = False if body["reasoning_effort"] == "none" else body["reasoning_effort"]
    wanted = as_mapping(body.get("response_format"))
    if wanted.get("type") == "json_object":
        native["format"] = "json"
    elif wanted.get("type") == "json_schema" and (schema := as_mapping(wanted.get("json_schema")).get("schema")):
        native["format"] = schema
    return native


def left_out(body: Mapping[str, Any], dropped: Iterable[str]) -> list[str]:
    """Fields that /api/chat has no place for, but for those that are dropped anyway."""
    known = _READ | _SETTLED | frozenset(dropped)
    messages = [message for message in as_list(body.get("messages")) if isinstance(message, Mapping)]
    inside = {f"messages[].{name}" for message in messages for name in message.keys() - _MESSAGE if message[name]}
    lost = [name for name, value in body.items() if value is not None and name not in known]
    return lost + sorted(inside - set(dropped))


def is_native(answer: Any) -> bool:
    """An answer or a line of /api/chat."""
    return isinstance(answer, Mapping) and "done" in answer and isinstance(answer.get("message"), Mapping)


def completion_of(answer: Mapping[str, Any]) -> Completion:
    """A whole answer of /api/chat as a `chat.completion`."""
    message, calls = _message_in(answer), _calls(answer, 0)
    if calls:
        message["tool_calls"] = [{k: v for k, v in call.items() if k != "index"} for call in calls]
    top = head(_ID, str(answer.get("model", "")))
    return completion(top, {"content": "", **message}, _finish(answer, bool(calls)), usage_of(answer))


def usage_of(answer: Mapping[str, Any]) -> Usage | None:
    """The counts of the last line; a prompt that was cached whole has no `prompt_eval_count`."""
    asked, answered = tokens(answer.get("prompt_eval_count")), tokens(answer.get("eval_count"))
    return None if asked is None and answered is None else Usage(asked or 0, answered or 0)


class Pieces:
    """The lines of a stream -> chunks; counts the tool calls."""

    __slots__ = ("_count",)

    def __init__(self) -> None:
        self._count = 0

    def of(self, line: Mapping[str, Any]) -> Iterable[Delta]:
        """The chunks of one line; the last one ends with the finish and the usage."""
        top = head(_ID, str(line.get("model", "")))
        message, calls = _message_in(line), _calls(line, self._count)
        self._count += len(calls)
        if message or calls:
            yield piece(top, {"role": "assistant", **message, **({"tool_calls": calls} if calls else {})})
        if line["done"]:
            yield piece(top, {}, _finish(line, self._count > 0))
            if usage := usage_of(line):
                yield usage_piece(top, usage)


def _message_in(answer: Mapping[str, Any]) -> dict[str, Any]:
    message = answer["message"]
    names = (("content", "content"), ("reasoning_content", "thinking"))
    return {ours: message[theirs] for ours, theirs in names if message.get(theirs)}


def _calls(answer: Mapping[str, Any], first: int) -> list[dict[str, Any]]:
    """Tool calls, which come whole; older servers give them no id."""
    calls = []
    for index, call in enumerate(map(as_mapping, as_list(answer["message"].get("tool_calls"))), first):
        given = as_mapping(call.get("function"))
        function = mend_arguments({"name": given.get("name"), "arguments": given.get("arguments") or {}})
        call_id = as_text(call.get("id")) or new_id()
        calls.append({"index": index, "id": call_id, "type": "function", "function": function})
    return calls


def _finish(answer: Mapping[str, Any], has_calls: bool) -> str:
    if answer.get("done_reason") == "length":
        return "length"
    return "tool_calls" if has_calls else "stop"


def _message(message: Mapping[str, Any], tools: dict[str, Any]) -> dict[str, Any]:
    """Text and images apart, arguments as objects; `tools` is filled on the way: a call's id -> its tool's name."""
    content = message.get("content")
    parts = as_objects(content)
    text = content if isinstance(content, str) else "".join(str(p["text"]) for p in parts if p.get("text"))
    native: dict[str, Any] = {"role": message.get("role"), "content": text}
    for image in (part.get("image_url") for part in parts):
        url = image.get("url") if isinstance(image, Mapping) else image
        # It takes the base64 of a data URL, and fetches nothing from the web.
        if data := as_text(url).partition(";base64,")[2] if as_text(url).startswith("data:") else "":
            native.setdefault("images", []).append(data)
    for call in map(as_mapping, as_list(message.get("tool_calls"))):
        function = as_mapping(call.get("function"))
        name = tools[str(call.get("id"))] = function.get("name")
        made = {"name": name, "arguments": as_input(function.get("arguments"))}
        native.setdefault("tool_calls", []).append({"id": call.get("id"), "function": made})
    if call_id := message.get("tool_call_id"):
        native["tool_call_id"] = call_id
    # It knows a result by the name of its tool, not by the id of the call.
    if name := tools.get(str(call_id)):
        native["tool_name"] = name
    if thought := next((message[each] for each in _THOUGHTS if message.get(each)), None):
        native["thinking"] = thought
    return native
