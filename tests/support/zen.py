"""OpenCode Zen as its documents and its source describe it: 70 paid models, each in the one dialect that it speaks.

opencode.ai/docs/zen and models.dev (September 2026; `mistral-large-4` since November). Whoever asks a model in another
dialect is told so with a 401, as by the source (`modelFormatNotSupported`), and whoever names no session with a 400.
"""

from __future__ import annotations

import json
from typing import Any

from tests.support import anthropic_answers, gemini_answers, responses_answers
from tests.support.scripted import Recorded, ScriptedRouter, Wire, chunk, completion, sse

__all__ = ["DIALECT_OF", "script_zen"]

_MODELS = {
    "openai": """deepseek-v4-flash deepseek-v4-flash-vision-exp deepseek-v4-pro deepseek-v4.1-flash glm-5 glm-5.1
        glm-5.2 glm-5.3 glm-5.3-flash kimi-k2.5 kimi-k2.6 kimi-k2.7-code kimi-k3 minimax-m2.5 minimax-m2.7 minimax-m3
        mistral-large-4 qwen3.8-max""",
    "responses": """gpt-5 gpt-5-codex gpt-5-nano gpt-5.1 gpt-5.1-codex gpt-5.1-codex-max gpt-5.1-codex-mini gpt-5.2
        gpt-5.2-codex gpt-5.3-codex gpt-5.3-codex-spark gpt-5.4 gpt-5.4-mini gpt-5.4-nano gpt-5.4-pro gpt-5.5
        gpt-5.5-pro gpt-5.6-luna gpt-5.6-sol gpt-5.6-terra gpt-6-astra gpt-6-luna gpt-6-sol grok-4.5 grok-4.6 grok-4.7
        grok-build-0.1 muse-spark-1.2 muse-spark-1.3""",
    "anthropic": """claude-fable-5 claude-fable-5-1 claude-haiku-4-5 claude-opus-4-5 claude-opus-4-6 claude-opus-4-7
        claude-opus-4-8 claude-opus-5 claude-opus-5-5 claude-sonnet-4 claude-sonnet-4-5 claude-sonnet-4-6
        claude-sonnet-5 qwen3.5-plus qwen3.6-plus qwen3.8-flash""",
    "gemini": """gemini-3-flash gemini-3.1-pro gemini-3.5-flash gemini-3.5-flash-lite gemini-3.6-flash gemini-3.7-flash
        gemini-3.8-flash""",
}
DIALECT_OF = {model: dialect for dialect, names in _MODELS.items() for model in names.split()}
_PATHS = {"/v1/chat/completions": "openai", "/v1/responses": "responses", "/v1/messages": "anthropic"}
_KEYS = {"anthropic": "x-api-key", "gemini": "x-goog-api-key"}

ARGUMENTS = {"at": "Rome"}
_CALL = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": json.dumps(ARGUMENTS)}}
_ANSWERS: dict[str, tuple[Any, Any]] = {
    "responses": (
        responses_answers.response("hello"),
        responses_answers.response(
            {"id": "fc_1", "type": "function_call", "status": "completed", "call_id": "call_1", **_CALL["function"]}
        ),
    ),
    "anthropic": (
        anthropic_answers.message("hello"),
        anthropic_answers.message(
            {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": ARGUMENTS}, stop="tool_use"
        ),
    ),
    "gemini": (
        gemini_answers.content("hello"),
        gemini_answers.content({"functionCall": {"name": "weather", "args": ARGUMENTS}, "thoughtSignature": "c2ln"}),
    ),
}
_WIRED = {
    "responses": lambda told: responses_answers.wired(responses_answers.events_of(told)),
    "anthropic": lambda told: anthropic_answers.wired(anthropic_answers.events_of(told)),
    "gemini": gemini_answers.wired,
}


def script_zen(upstream: ScriptedRouter) -> None:
    """Says hello; where tools are offered and none was called yet, asks for the weather at Rome."""
    upstream.models(list(DIALECT_OF))
    upstream.play(_answer)


async def _answer(request: Recorded, wire: Wire) -> None:
    model, colon, method = request.path.removeprefix("/v1/models/").rpartition(":")
    dialect = "gemini" if colon else _PATHS.get(request.path, "")
    model = model if colon else request.model
    if not request.headers.get("x-opencode-session"):
        await _refuse(wire, 400, "MissingSessionID", "Request is missing x-opencode-session")
    elif request.headers.get(_KEYS.get(dialect, "authorization"), "").removeprefix("Bearer ") != "key-zen":
        await _refuse(wire, 401, "AuthError", "Missing API key.")
    elif DIALECT_OF.get(model) != dialect:
        await _refuse(wire, 401, "ModelError", f"Model {model} is not supported for format {dialect}")
    else:
        wants_call = b'"weather"' in request.body and b"21 degrees" not in request.body
        is_stream = request.wants_stream or method.startswith("stream")
        await _say(wire, dialect, model, wants_call=wants_call, is_stream=is_stream)


async def _refuse(wire: Wire, status: int, kind: str, message: str) -> None:
    await wire.whole(status, json.dumps({"type": "error", "error": {"type": kind, "message": message}}).encode())


async def _say(wire: Wire, dialect: str, model: str, *, wants_call: bool, is_stream: bool) -> None:
    if dialect == "openai":
        told: Any = completion("", model, tool_calls=[_CALL]) if wants_call else completion("hello", model)
        pieces = [chunk(model=model, tool_calls=[{"index": 0, **_CALL}])] if wants_call else [chunk("hello", model)]
        end = {**chunk(model=model, finish="tool_calls" if wants_call else "stop"), "usage": told["usage"]}
        stream = b"".join(map(sse, [*pieces, end, "[DONE]"]))
    else:
        told = _ANSWERS[dialect][wants_call]
        stream = _WIRED[dialect](told)
    if not is_stream:
        await wire.whole(200, json.dumps(told).encode())
        return
    await wire.head(200, {"content-type": "text/event-stream"})
    await wire.send(stream)
    await wire.end()
