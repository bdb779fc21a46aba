"""/v1/embeddings and /v1/completions: OpenAI's endpoints beside chat, with the same keys, budgets and receipts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from chomp_mcp.app import Chomp
from chomp_mcp.doors.http.asgi import HEADERS, read_json
from chomp_mcp.doors.http.chat import envelope_of, patience_of
from chomp_mcp.doors.http.chat_completions import OpenAIWords
from chomp_mcp.doors.http.exchange import Call, exchanged
from chomp_mcp.errors import InvalidRequest
from chomp_mcp.messages import AUTO, ChatRequest


def routes(chomp: Chomp) -> list[Route]:
    """What OpenAI's API has beside chat, as far as routers have it."""
    return [
        Route("/v1/embeddings", _Embeddings(chomp), methods=["POST"]),
        Route("/v1/completions", _Completions(chomp), methods=["POST"]),
    ]


class _Embeddings(Call):
    """POST /v1/embeddings. Vectors of two models cannot be compared: only a named one answers, never `auto`."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await read_json(receive)
        request = _request(body, "input", scope)
        if request.model.rpartition("/")[2] in {"", AUTO}:
            hint = 'Give one, such as "openrouter/openai/text-embedding-3-small" or "ollama/nomic-embed-text".'
            raise InvalidRequest("Embeddings need the name of a model.", hint=hint, param="model")
        request = replace(request, endpoint="embeddings", stream=False)
        await exchanged(self._gateway, request, OpenAIWords(body), scope, receive, send)


class _Completions(Call):
    """POST /v1/completions, whole and streamed."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await read_json(receive)
        request = replace(_request(body, "prompt", scope), endpoint="completions")
        await exchanged(self._gateway, request, OpenAIWords(body), scope, receive, send)


def _request(body: Mapping[str, Any], content: str, scope: Scope) -> ChatRequest:
    if not body.get(content):
        hint = f"Send a text or a list of texts as {content}."
        raise InvalidRequest(f"{content} is empty.", hint=hint, param=content)
    return envelope_of(body, patience=patience_of(scope[HEADERS]))
