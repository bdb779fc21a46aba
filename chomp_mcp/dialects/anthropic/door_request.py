"""A Messages body of the Messages door -> a chat-completions body, and what has no place in one."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from chomp_mcp.dialects.anthropic.door_history import History
from chomp_mcp.dialects.anthropic.door_tools import Tools
from chomp_mcp.dialects.values import as_list, wrong
from chomp_mcp.errors import InvalidRequest

MOST_STOPS = 4
"""Stop sequences that chat completions takes."""
MOST_USER = 64
"""Characters of OpenAI's `user`."""

_AS_THEY_ARE = ("max_tokens", "temperature", "top_p", "top_k", "cache_control")
_ENVELOPE = frozenset({"model", "stream", "messages", "system", "tools", "tool_choice"})
_BUDGETS = ((4_096, "low"), (16_384, "medium"))
"""Tokens of thinking -> reasoning_effort; more is `high`."""
_EFFORTS = {"low": "low", "medium": "medium", "high": "high", "xhigh": "xhigh", "max": "xhigh"}


def chat_of(body: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The chat-completions body without its envelope (model, stream), and the notes on what is not in it.

    Raises:
        InvalidRequest: a field of the wrong shape; `param` names it.
    """
    history = History(body)
    tools = Tools(body, history.referenced)
    chat = {
        "messages": history.messages,
        **{name: body[name] for name in _AS_THEY_ARE if body.get(name) is not None},
        **tools.fields,
    }
    notes = [*history.notes, *tools.notes]
    for name, value in body.items():
        if value is None or name in _ENVELOPE or name in _AS_THEY_ARE:
            continue
        fields, left_out = _translated(name, value)
        chat |= {field: each for field, each in fields.items() if field not in chat}
        notes += [f"{left_out} has no place in chat completions: left out"] if left_out else []
    return chat, tuple(dict.fromkeys(notes))


_Translated = tuple[dict[str, Any], str]
"""Fields of chat completions, and the name of what is left out, or empty."""


def _translated(name: str, value: Any) -> _Translated:
    match name:
        case "stop_sequences":
            if not isinstance(value, list) or not all(isinstance(stop, str) for stop in value):
                raise _wrong(name, "a list of texts")
            more = f"{name} beyond the first {MOST_STOPS}" if len(value) > MOST_STOPS else ""
            return ({"stop": value[:MOST_STOPS]} if value else {}), more
        case "output_config":
            given = _object(value, name)
            effort = _EFFORTS.get(str(given.get("effort")))
            fields = {"reasoning_effort": effort} if effort else {}
            if given.get("format"):
                fields |= _format(given["format"], f"{name}.format")
            unknown = sorted(f"{name}.{field}" for field in given if field not in {"effort", "format"})
            return fields, ", ".join([*unknown, f"{name}.effort"] if given.get("effort") and not effort else unknown)
        case "output_format":
            return _format(value, name), ""
        case "thinking":  # a budget as an effort; adaptive is what a model does by itself, or by `output_config.effort`
            kind = _object(value, name).get("type")
            if kind != "enabled":
                return {}, "" if kind in ("adaptive", "disabled") else name
            budget = value.get("budget_tokens")
            if not isinstance(budget, int) or isinstance(budget, bool) or budget < 1:
                raise _wrong(f"{name}.budget_tokens", "a whole number of tokens")
            return {"reasoning_effort": next((effort for most, effort in _BUDGETS if budget < most), "high")}, ""
        case "metadata":
            user = _object(value, name).get("user_id")
            others = ", ".join(sorted(f"{name}.{field}" for field in value if field != "user_id"))
            if not isinstance(user, str) or not user:
                return {}, others
            # Claude Code's is a JSON text longer than OpenAI takes: its hash names the same user.
            is_short = len(user) <= MOST_USER
            return {"user": user if is_short else hashlib.sha256(user.encode("utf-8", "replace")).hexdigest()}, others
        case "service_tier":
            return {}, "" if value == "auto" else name
        case "context_management":  # keeping all thinking is what happens anyway; Anthropic alone clears any
            edits = as_list(_object(value, name).get("edits"))
            kept = [
                isinstance(edit, Mapping) and str(edit.get("type")).startswith("clear_thinking") and edit.get("keep")
                for edit in edits
            ]
            return {}, "" if all(keep == "all" for keep in kept) else name
    return {}, name


def _format(value: Any, name: str) -> dict[str, Any]:
    schema = _object(value, name).get("schema")
    if value.get("type") != "json_schema" or not isinstance(schema, Mapping):
        raise _wrong(name, '{"type": "json_schema", "schema": {…}}')
    return {"response_format": {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}}


def _object(value: Any, name: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise _wrong(name, "an object")
    return value


def _wrong(name: str, wanted: str) -> InvalidRequest:
    return wrong(name, f" is not {wanted}.", f"Correct {name}.")
