"""A chat-completions body -> a Responses body, and what has no place in one.

Source: OpenAI's API reference of POST /responses.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from chomp_mcp import wire
from chomp_mcp.dialects.openai.functions import with_tools
from chomp_mcp.dialects.openai.history import fit
from chomp_mcp.dialects.openai.request import headers_of
from chomp_mcp.dialects.responses.items import items_of
from chomp_mcp.dialects.values import OURS, as_list, as_mapping
from chomp_mcp.messages import ChatRequest, Route, WireRequest

_AS_THEY_ARE = (
    "conversation", "max_tool_calls", "metadata", "parallel_tool_calls", "previous_response_id", "prompt",
    "prompt_cache_key", "prompt_cache_retention", "safety_identifier", "service_tier", "store", "temperature",
    "top_logprobs", "top_p", "truncation", "user",
)  # fmt: skip
_READ = frozenset({
    *_AS_THEY_ARE, "messages", "tools", "tool_choice", "max_tokens", "max_completion_tokens", "max_output_tokens",
    "response_format", "text", "verbosity", "reasoning", "reasoning_effort", "include", "logprobs",
})  # fmt: skip
_LIMITS = ("max_completion_tokens", "max_tokens", "max_output_tokens")
_LEAST_OUTPUT = 16
"""Responses refuses a lower limit."""
_SEALED = "reasoning.encrypted_content"
_DOES_NOT_REASON = re.compile(r"(?:^|/)(?:gpt-(?:3|4)|chatgpt-)")
"""OpenAI's models that refuse to be asked for sealed reasoning."""


def encode(route: Route, request: ChatRequest) -> WireRequest:
    """POST /responses. Nothing is to be stored there, unless the caller says so."""
    request, notes = with_tools(request)
    body, more = body_of(route, request)
    url, headers = f"{route.router.url}/responses", headers_of(route, request)
    return WireRequest("POST", url, headers, wire.dumps(body), (*notes, *more))


def body_of(route: Route, request: ChatRequest) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The Responses body, and the notes on what of the request is not in it."""
    router, lost = route.router, set[str]()
    given = {name: value for name, value in request.body.items() if value is not None}
    history = fit(router, as_list(given.get("messages")), frozenset(), tool_ids="plain", keeps_sealed=True)
    # OpenRouter's `reasoning` object, as far as it is the same here, and chat completions' effort.
    reasoning = {name: value for name, value in as_mapping(given.get("reasoning")).items() if name in _REASONING}
    if effort := given.get("reasoning_effort"):
        reasoning["effort"] = effort
    limit = next((given[name] for name in _LIMITS if given.get(name)), None)
    text = dict(as_mapping(given.get("text")))
    if given.get("verbosity"):
        text["verbosity"] = given["verbosity"]
    wanted = as_mapping(given.get("response_format"))
    if wanted.get("type") == "json_schema":
        text["format"] = {"type": "json_schema", "name": "answer", **as_mapping(wanted.get("json_schema"))}
    elif wanted and wanted.get("type") != "text":
        text["format"] = dict(wanted)
    body: dict[str, Any] = {
        "model": route.model,
        "input": items_of(history.messages, route.ref, lost),
        "store": False,
        **{name: given[name] for name in _AS_THEY_ARE if name in given},
        **_tools(given, lost),
        **({"reasoning": reasoning} if reasoning else {}),
        **({"text": text} if text else {}),
    }
    # Sealed reasoning is asked for, unless `include` is empty: without it a model thinks anew with every result.
    include = [*as_list(given.get("include"))]  # a copy: the caller's own list is sent to the next router, too
    if include or "include" not in given:
        include += [_SEALED] if not _DOES_NOT_REASON.search(route.model) else []
        include += ["message.output_text.logprobs"] if given.get("logprobs") else []
        body |= {"include": list(dict.fromkeys(include))} if include else {}
    if request.stream:
        body["stream"] = True
    if limit:
        body["max_output_tokens"] = max(limit, _LEAST_OUTPUT) if isinstance(limit, int) else limit
    if "tools" not in body:
        body.pop("parallel_tool_calls", None)
    if "include_obfuscation" in request.stream_options:
        body["stream_options"] = {"include_obfuscation": request.stream_options["include_obfuscation"]}
    lost |= {name for name in given.keys() - _READ - OURS if name != "n" or given["n"] != 1}
    dropped = [name for name in router.drop if name in body]
    names = [*dropped, *sorted(history.lost | lost)]
    notes = [f"{router.id} takes no {', '.join(names)}: dropped"] if names else []
    if body.get("max_output_tokens") != limit:
        notes.append(f"{router.id} takes no limit of {limit} tokens: {_LEAST_OUTPUT} was sent")
    sent = {name: value for name, value in body.items() if name not in router.drop}
    return sent, (*notes, *history.notes)


_REASONING = frozenset({"effort", "summary", "generate_summary"})


def _tools(given: Mapping[str, Any], lost: set[str]) -> dict[str, Any]:
    """`tools` and `tool_choice`; empty without tools, where a choice is refused."""
    tools = [_flat(tool) for tool in as_list(given.get("tools")) if isinstance(tool, Mapping)]
    for tool in tools:
        if tool.pop("cache_control", None):
            lost.add("tools[].cache_control")
    if not tools:
        return {}
    choice = given.get("tool_choice")
    if isinstance(choice, Mapping):
        inner = as_mapping(choice.get("allowed_tools"))
        if inner:
            allowed = [_flat(tool) for tool in as_list(inner.get("tools")) if isinstance(tool, Mapping)]
            choice = {"type": "allowed_tools", "mode": inner.get("mode") or "auto", "tools": allowed}
            for tool in allowed:
                tool.pop("strict", None)
        else:
            choice = {name: value for name, value in _flat(choice).items() if name in {"type", "name"}}
    return {"tools": tools, **({"tool_choice": choice} if choice else {})}


def _flat(tool: Mapping[str, Any]) -> dict[str, Any]:
    """A function or a free-form tool without the nesting of chat completions; Responses' own tools as they came."""
    kind = str(tool.get("type"))
    if not isinstance(nested := tool.get(kind), Mapping):
        return dict(tool)
    flat = {**{name: value for name, value in tool.items() if name != kind}, **nested}
    if kind == "function":
        flat["strict"] = bool(nested.get("strict"))  # not said means true here, and false in chat completions
        flat.setdefault("parameters", None)
    elif grammar := as_mapping(as_mapping(nested.get("format")).get("grammar")):
        flat["format"] = {"type": "grammar", **grammar}
    return flat
