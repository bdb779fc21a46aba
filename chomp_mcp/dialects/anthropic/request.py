"""A chat-completions body -> a Messages body, and what has no place in one."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from chomp_mcp.dialects.anthropic.blocks import blocks_of
from chomp_mcp.dialects.anthropic.request_tools import tools_of
from chomp_mcp.dialects.anthropic.schemas import closed
from chomp_mcp.dialects.anthropic.turns import has_bare_calls, turns_of
from chomp_mcp.dialects.openai.history import fit
from chomp_mcp.dialects.values import OURS, as_list, as_mapping
from chomp_mcp.messages import ChatRequest, Route
from chomp_mcp.policy.capability import limit_of

_DEFAULT_MAX_TOKENS = 8192
"""Messages insists on a limit; this much, or the model's own maximum where the list tells a smaller one."""
_LEAST_BUDGET = 1024
"""Tokens of thinking; Messages takes no less."""

# Models up to 4.6 take temperature and top_p (one of them) and top_k; later ones refuse all three, and take an effort.
# Other makers' models that speak Messages (Qwen at Zen) are sampled.
_SAMPLED = re.compile(
    r"^(?!.*claude)|claude-(?:[123](?:[-.]|$)|instant|(?:opus|sonnet|haiku)-4(?:-[0-6])?(?:[-@]\d{8}|-latest)?$)"
)
_SAMPLING = ("temperature", "top_p", "top_k")
_EFFORTS = {"minimal": "low", "low": "low", "medium": "medium", "high": "high", "xhigh": "xhigh", "max": "max"}

_AS_THEY_ARE = ("thinking", "cache_control", "output_config", "container")
_TRANSLATED = frozenset(
    {"messages", "max_tokens", "max_completion_tokens", "stop", "tools", "tool_choice", "parallel_tool_calls", "user"}
)
_SYSTEM = ("system", "developer")
_PERSONAL = re.compile(r"@|^\+?[\d\s().-]{7,}$")
_LONGEST_USER = 256


@dataclass(slots=True)
class Translated:
    """The Messages body, and what is to be told of it."""

    body: dict[str, Any]
    lost: list[str] = field(default_factory=list)
    """Names of the fields, `messages[].<type>` of the parts, and the like, that are not sent."""
    notes: list[str] = field(default_factory=list)
    """What was changed so that Messages takes it, as sentences."""


def translate(route: Route, request: ChatRequest) -> Translated:
    """The Messages body of a chat-completions body."""
    lost: set[str] = set()
    moved: set[str] = set()
    given = {k: v for k, v in request.body.items() if v is not None and k not in route.router.drop}
    history = fit(route.router, as_list(given.get("messages")), frozenset(), tool_ids="plain")
    notes = list(history.notes)
    messages = [message for message in history.messages if isinstance(message, Mapping)]
    system = [block for m in messages if _is_system(m) for block in blocks_of(m.get("content"), lost)]
    turns = turns_of((m for m in messages if not _is_system(m)), lost, notes)
    if system and not turns:  # there must be a turn
        turns, system = [{"role": "user", "content": system}], []
    limit = given.get("max_completion_tokens") or given.get("max_tokens")
    body: dict[str, Any] = {
        "model": route.model,
        "max_tokens": limit or min(limit_of(route, "max_output") or _DEFAULT_MAX_TOKENS, _DEFAULT_MAX_TOKENS),
        "messages": turns,
        **({"system": system} if system else {}),
        **({"stream": True} if request.stream else {}),
        **{name: given[name] for name in _AS_THEY_ARE if name in given},
        **({name: given[name] for name in _SAMPLING if name in given} if _SAMPLED.search(route.model) else {}),
        **tools_of(given, lost, moved),
    }
    if isinstance(body.get("temperature"), int | float):
        body["temperature"] = min(body["temperature"], 1)  # OpenAI's goes up to 2
        body.pop("top_p", None)
    stops = [given["stop"]] if isinstance(given.get("stop"), str) else as_list(given.get("stop"))
    if kept := [stop for stop in stops if not isinstance(stop, str) or stop.strip()]:
        body["stop_sequences"] = kept
    if len(kept) < len(stops):  # blank ones are refused, and may end nothing
        lost.add("blank stop")
    user = given.get("user") or as_mapping(given.get("metadata")).get("user_id")
    if isinstance(user, str) and user:
        # It must not tell who it is: an e-mail address or a telephone number goes as its hash.
        if _PERSONAL.search(user) or len(user) > _LONGEST_USER:
            user = "user-" + hashlib.sha256(user.encode("utf-8", "surrogatepass")).hexdigest()[:32]
        body["metadata"] = {"user_id": user}
    output: dict[str, Any] = {}
    wanted = as_mapping(given.get("response_format"))
    schema = as_mapping(wanted.get("json_schema")).get("schema") if wanted.get("type") == "json_schema" else None
    if isinstance(schema, Mapping):
        output["format"] = {"type": "json_schema", "schema": closed(schema, moved)}
    effort = _EFFORTS.get(str(given.get("reasoning_effort")))
    if effort and not _SAMPLED.search(route.model):
        output["effort"] = effort
    if output:
        body["output_config"] = {**output, **as_mapping(given.get("output_config"))}
    notes += _mind_thinking(route, body, has_limit=limit is not None)
    if moved:
        notes.append(f"{route.router.id} takes no {', '.join(sorted(moved))} in a schema: put into its descriptions")
    return Translated(body, [*_fields_lost(given, body), *sorted(history.lost | lost)], notes)


def _is_system(message: Mapping[str, Any]) -> bool:
    return message.get("role") in _SYSTEM


def _fields_lost(given: Mapping[str, Any], body: Mapping[str, Any]) -> list[str]:
    sent = {*_TRANSLATED, *_AS_THEY_ARE, *(name for name in _SAMPLING if name in body)}
    output = as_mapping(body.get("output_config"))
    is_plain = as_mapping(given.get("response_format")).get("type") == "text"
    sent |= {"response_format"} if "format" in output or is_plain else set()
    sent |= {"reasoning_effort"} if "effort" in output else set()
    sent |= {"n"} if given.get("n") == 1 else set()
    metadata = given.get("metadata")
    sent |= {"metadata"} if isinstance(metadata, Mapping) and set(metadata) == {"user_id"} else set()
    return [name for name in given if name not in sent | OURS]


def _mind_thinking(route: Route, body: dict[str, Any], *, has_limit: bool) -> list[str]:
    """What Messages asks of a request that thinks; changes the body, and tells what it gave up."""
    thinking = body.get("thinking")
    if not isinstance(thinking, Mapping) or thinking.get("type") != "enabled":
        return []
    router = route.router.id
    if body.get("tool_choice", {}).get("type") in {"any", "tool"}:
        del body["thinking"]
        return [f"{router} does not think where a tool is forced: thinking was left out"]
    if has_bare_calls(body["messages"]):
        del body["thinking"]
        return [f"{router} does not think on after a tool call without what was thought: thinking was left out"]
    notes = [f"{router} takes no {name} while it thinks: dropped" for name in ("temperature", "top_k") if name in body]
    for name in ("temperature", "top_k"):
        body.pop(name, None)
    # The budget is a part of `max_tokens`: a limit of ours gives way to it, and it to a limit of the caller's.
    budget, limit = thinking.get("budget_tokens"), body["max_tokens"]
    if not isinstance(budget, int) or not isinstance(limit, int) or budget < limit:
        return notes
    if not has_limit:
        limit = body["max_tokens"] = min(budget + limit, limit_of(route, "max_output") or budget + limit)
    if budget < limit or limit <= _LEAST_BUDGET:
        return notes
    body["thinking"] = {**thinking, "budget_tokens": limit - 1}
    return [*notes, f"budget_tokens {budget} is not less than max_tokens: {limit - 1} was sent"]
