"""A chat-completions body -> a generateContent body, and what has no place in one.

Source: ai.google.dev/api/generate-content, and its pages on function calling, structured output and thinking.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from chomp_mcp import wire
from chomp_mcp.dialects.gemini.contents import MODES, SAMPLING, contents_of
from chomp_mcp.dialects.openai.allowed_tools import allowed
from chomp_mcp.dialects.openai.functions import with_tools
from chomp_mcp.dialects.openai.history import fit
from chomp_mcp.dialects.openai.request import headers_of
from chomp_mcp.dialects.values import OURS, as_list, as_mapping, as_text
from chomp_mcp.messages import ChatRequest, Route, WireRequest

_CONFIG = {**SAMPLING, "n": "candidateCount"}
_READ = frozenset({
    *_CONFIG, "messages", "max_tokens", "max_completion_tokens", "stop", "response_format", "reasoning_effort", "tools",
    "tool_choice",
})  # fmt: skip
_HAS_BUDGET = re.compile(r"gemini-(?:1|2)")
"""Models that take a budget of thinking; later ones take a level, and insist on the signatures of their calls."""
_BUDGETS: Mapping[Any, int] = {
    **dict.fromkeys(("minimal", "low"), 1024),
    "none": 0,
    "medium": 8192,
    **dict.fromkeys(("high", "xhigh", "max"), 24576),
}
_LEVELS: Mapping[Any, str] = {"low": "low", "medium": "medium", **dict.fromkeys(("high", "xhigh", "max"), "high")}


def encode(route: Route, request: ChatRequest) -> WireRequest:
    """POST :generateContent, or :streamGenerateContent."""
    request, notes = with_tools(request)
    lost: set[str] = set()
    given = {k: v for k, v in request.body.items() if v is not None and k not in route.router.drop}
    history = fit(route.router, as_list(given.get("messages")), frozenset(), tool_ids="plain")
    system, turns = contents_of(history.messages, lost, is_signed=not _HAS_BUDGET.search(route.model))
    if system and not turns:  # there must be a turn
        system, turns = [], [{"role": "user", "parts": system}]
    config = {theirs: given[ours] for ours, theirs in _CONFIG.items() if ours in given}
    if config.get("candidateCount") == 1:
        del config["candidateCount"]
    if limit := given.get("max_completion_tokens") or given.get("max_tokens"):
        config["maxOutputTokens"] = limit
    if stop := given.get("stop"):
        config["stopSequences"] = [stop] if isinstance(stop, str) else stop
    if (effort := as_text(given.get("reasoning_effort"))) in _BUDGETS:
        # In the model's own words; what was thought is shown where an effort was asked for.
        least = "minimal" if "flash" in route.model else "low"  # later ones cannot be told not to think
        has_budget = _HAS_BUDGET.search(route.model)
        depth = {"thinkingBudget": _BUDGETS[effort]} if has_budget else {"thinkingLevel": _LEVELS.get(effort, least)}
        config["thinkingConfig"] = {**depth, "includeThoughts": effort != "none"}
    wanted = as_mapping(given.get("response_format"))
    if wanted.get("type") in ("json_object", "json_schema"):
        config["responseMimeType"] = "application/json"
        if isinstance(schema := as_mapping(wanted.get("json_schema")).get("schema"), Mapping):
            config["responseJsonSchema"] = schema
    body = {
        "contents": turns,
        **({"systemInstruction": {"parts": system}} if system else {}),
        **_tools(given, lost),
        **({"generationConfig": config} if config else {}),
    }
    lost |= {name for name in given if name not in _READ | OURS} | history.lost
    dropped = [f"{route.router.id} takes no {', '.join(sorted(lost))}: dropped"] if lost else []
    wired = call(route, request, "streamGenerateContent?alt=sse" if request.stream else "generateContent", body)
    return replace(wired, notes=(*dropped, *notes, *history.notes))


def call(route: Route, request: ChatRequest, method: str, body: Mapping[str, Any]) -> WireRequest:
    """POST to a method of the model, with `x-goog-api-key`; the router's own headers win over ours."""
    headers = headers_of(route, request)
    if route.key and headers.get("authorization") == f"Bearer {route.key}":
        del headers["authorization"]
        headers.setdefault("x-goog-api-key", route.key)
    return WireRequest("POST", f"{route.router.url}/models/{route.model}:{method}", headers, wire.dumps(body))


def _tools(given: Mapping[str, Any], lost: set[str]) -> dict[str, Any]:
    functions = []
    for tool in as_list(given.get("tools")):
        function = as_mapping(as_mapping(tool).get("function"))
        if not as_text(function.get("name")):
            lost.add(f"tools[].{as_mapping(tool).get('type')}")
            continue
        told = {name: function[name] for name in ("name", "description") if function.get(name)}
        schema = function.get("parameters")
        functions.append({**told, **({"parametersJsonSchema": schema} if schema else {})})
    if not functions:
        return {}
    choice = given.get("tool_choice")
    config: dict[str, Any] = {}
    if found := allowed(choice):
        choice = found[0]
        functions = [each for each in functions if each["name"] in found[1]]
    if isinstance(choice, str) and choice in MODES:
        config = {"mode": MODES[choice]}
    elif name := as_mapping(as_mapping(choice).get("function")).get("name"):
        config = {"mode": "ANY", "allowedFunctionNames": [name]}
    return {
        "tools": [{"functionDeclarations": functions}],
        **({"toolConfig": {"functionCallingConfig": config}} if config else {}),
    }
