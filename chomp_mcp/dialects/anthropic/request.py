"""A chat-completions body -> a Messages body, and what has no place in one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from chomp_mcp.dialects.openai.text import loads
from chomp_mcp.messages import ChatRequest, Route

__all__ = ["body_of", "left_out"]

_DEFAULT_MAX_TOKENS = 8192
"""Messages insists on a limit; this much, or the model's own maximum where the list tells a smaller one."""

# Models up to 4.6 take temperature and top_p (one of them) and top_k; later ones refuse all three, and take an effort.
_SAMPLED = re.compile(r"claude-(?:[123](?:[-.]|$)|instant|(?:opus|sonnet|haiku)-4(?:-[0-6])?(?:[-@]\d{8}|-latest)?$)")
_SAMPLING = ("temperature", "top_p", "top_k")
_EFFORTS = {"minimal": "low", "low": "low", "medium": "medium", "high": "high", "xhigh": "xhigh", "max": "max"}

_AS_THEY_ARE = ("thinking", "cache_control", "output_config", "container")
_TRANSLATED = frozenset(
    {"messages", "max_tokens", "max_completion_tokens", "stop", "tools", "tool_choice", "parallel_tool_calls", "user"}
)
_OURS = frozenset({"model", "router", "stream", "stream_options", "chomp"})
_CHOICES = {"auto": "auto", "required": "any", "none": "none"}
_SYSTEM = frozenset({"system", "developer"})


def body_of(route: Route, request: ChatRequest) -> dict[str, Any]:
    """The Messages body; what it has no place for is left out, and told by `left_out`."""
    given = {k: v for k, v in request.body.items() if v is not None and k not in route.router.drop}
    messages = [m for m in _list(given.get("messages")) if isinstance(m, Mapping)]
    system = [block for m in messages if _role(m) in _SYSTEM for block in _blocks(m.get("content"))]
    body: dict[str, Any] = {
        "model": route.model,
        "max_tokens": given.get("max_completion_tokens") or given.get("max_tokens") or _limit(route),
        "messages": _turns(m for m in messages if _role(m) not in _SYSTEM),
        **({"system": system} if system else {}),
        **({"stream": True} if request.stream else {}),
        **{name: given[name] for name in _AS_THEY_ARE if name in given},
        **_sampling(route, given),
        **_tools(given),
    }
    if stop := given.get("stop"):
        body["stop_sequences"] = [stop] if isinstance(stop, str) else stop
    if isinstance(given.get("user"), str):
        body["metadata"] = {"user_id": given["user"]}
    if output := _output(route, given):
        body["output_config"] = {**output, **_mapping(given.get("output_config"))}
    return body


def left_out(route: Route, request: ChatRequest) -> list[str]:
    """Names of the fields, and `messages[].<type>` of the parts, that are not sent."""
    given = {k: v for k, v in request.body.items() if v is not None and k not in _OURS}
    sent = {*_TRANSLATED, *_AS_THEY_ARE, *_sampling(route, given)} - set(route.router.drop)
    output = _output(route, given)
    sent |= {"response_format"} if "format" in output or _is_plain_text(given.get("response_format")) else set()
    sent |= {"reasoning_effort"} if "effort" in output else set()
    sent |= {"n"} if given.get("n") == 1 else set()
    parts = {
        f"messages[].{part.get('type')}"
        for message in _list(given.get("messages"))
        for part in _list(_mapping(message).get("content"))
        if isinstance(part, Mapping) and _block(part) is None and part.get("type") != "text"
    }
    return [name for name in given if name not in sent] + sorted(parts)


def _limit(route: Route) -> int:
    known = route.listed.max_output if route.listed else None
    return min(known, _DEFAULT_MAX_TOKENS) if known else _DEFAULT_MAX_TOKENS


def _sampling(route: Route, given: Mapping[str, Any]) -> dict[str, Any]:
    if not _SAMPLED.search(route.model):
        return {}
    values = {name: given[name] for name in _SAMPLING if name in given}
    if isinstance(values.get("temperature"), int | float):
        values["temperature"] = min(values["temperature"], 1)  # OpenAI's goes up to 2
        values.pop("top_p", None)
    return values


def _output(route: Route, given: Mapping[str, Any]) -> dict[str, Any]:
    """`output_config`: OpenAI's json_schema and reasoning_effort."""
    output: dict[str, Any] = {}
    wanted = _mapping(given.get("response_format"))
    schema = _mapping(wanted.get("json_schema")).get("schema")
    if wanted.get("type") == "json_schema" and isinstance(schema, Mapping):
        output["format"] = {"type": "json_schema", "schema": schema}
    effort = _EFFORTS.get(str(given.get("reasoning_effort")))
    if effort and not _SAMPLED.search(route.model):
        output["effort"] = effort
    return output


def _is_plain_text(wanted: Any) -> bool:
    return _mapping(wanted).get("type") == "text"


def _tools(given: Mapping[str, Any]) -> dict[str, Any]:
    tools = [_tool(tool) for tool in _list(given.get("tools")) if isinstance(tool, Mapping)]
    if not tools:
        return {}
    choice = _choice(given.get("tool_choice", "auto"))
    if given.get("parallel_tool_calls") is False and choice["type"] != "none":
        choice["disable_parallel_tool_use"] = True
    return {"tools": tools, "tool_choice": choice} if choice != {"type": "auto"} else {"tools": tools}


def _tool(tool: Mapping[str, Any]) -> Mapping[str, Any]:
    """A function as Messages writes it; anything else (its own tools) as it came."""
    function = tool.get("function")
    if not isinstance(function, Mapping):
        return tool
    kept = {name: function[name] for name in ("name", "description", "strict") if function.get(name) is not None}
    return {**kept, "input_schema": function.get("parameters") or {"type": "object", "properties": {}}}


def _choice(wanted: Any) -> dict[str, Any]:
    """A word, `{"type": "function", "function": {"name"}}`, or Messages' own form."""
    if isinstance(wanted, str):
        return {"type": _CHOICES.get(wanted, "auto")}
    choice = _mapping(wanted)
    name = _mapping(choice.get("function")).get("name")
    return {"type": "tool", "name": name} if name else dict(choice) if choice.get("type") else {"type": "auto"}


def _turns(messages: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Alternating turns: neighbours of one role become one, as tool results of one turn must."""
    turns: list[dict[str, Any]] = []
    for message in messages:
        role = "assistant" if _role(message) == "assistant" else "user"
        blocks = _message_blocks(message)
        if turns and turns[-1]["role"] == role:
            turns[-1]["content"] += blocks
        elif blocks:
            turns.append({"role": role, "content": blocks})
    return turns


def _message_blocks(message: Mapping[str, Any]) -> list[Any]:
    blocks = _blocks(message.get("content"))
    if _role(message) == "tool":
        return [{"type": "tool_result", "tool_use_id": message.get("tool_call_id"), "content": blocks}]
    calls = [_mapping(call) for call in _list(message.get("tool_calls"))]
    return blocks + [_use(call) for call in calls]


def _use(call: Mapping[str, Any]) -> dict[str, Any]:
    function = _mapping(call.get("function"))
    return {
        "type": "tool_use",
        "id": call.get("id"),
        "name": function.get("name"),
        "input": _arguments(function.get("arguments")),
    }


def _arguments(text: Any) -> Mapping[str, Any]:
    """An object, for Messages takes nothing else; words that are none travel inside one."""
    try:
        value = loads(text.encode()) if isinstance(text, str) and text.strip() else text or {}
    except ValueError:
        value = text
    return value if isinstance(value, Mapping) else {"arguments": value}


def _blocks(content: Any) -> list[Any]:
    """Text or parts as blocks; empty text, which Messages refuses, is left out."""
    if isinstance(content, str):
        return [{"type": "text", "text": content}] if content else []
    parts = [_block(part) for part in _list(content) if isinstance(part, Mapping)]
    return [block for block in parts if block]


def _block(part: Mapping[str, Any]) -> Mapping[str, Any] | None:
    kind = str(part.get("type"))
    if kind == "text":
        return part if part.get("text") else None
    if kind == "image_url":
        image = part.get("image_url")
        return _source("image", _mapping(image).get("url", image), part)
    if kind == "file":
        return _source("document", _mapping(part.get("file")).get("file_data"), part)
    return part if kind in {"image", "document", "tool_result", "tool_use"} else None


_DATA_URL = re.compile(r"data:([\w.+-]+/[\w.+-]+)[^,]*;base64,(.*)", re.DOTALL)


def _source(kind: str, url: Any, part: Mapping[str, Any]) -> Mapping[str, Any] | None:
    if not isinstance(url, str) or not url:
        return None
    found = _DATA_URL.fullmatch(url)
    source = {"type": "base64", "media_type": found[1], "data": found[2]} if found else {"type": "url", "url": url}
    marks = {"cache_control": part["cache_control"]} if part.get("cache_control") else {}
    return {"type": kind, "source": source, **marks}


def _role(message: Mapping[str, Any]) -> str:
    return str(message.get("role"))


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
