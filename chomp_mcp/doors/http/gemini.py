"""/v1beta/models/{model}:generateContent and its siblings: Google's Gemini API, for Gemini CLI."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property

from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from chomp_mcp import wire
from chomp_mcp.app import Chomp
from chomp_mcp.dialects.gemini.door_answer import ContentStream, response_of
from chomp_mcp.dialects.gemini.door_request import chat_of
from chomp_mcp.doors.http import google_errors
from chomp_mcp.doors.http.asgi import HEADERS, read_json, send_json, server_sent
from chomp_mcp.doors.http.chat import conversation_of, patience_of
from chomp_mcp.doors.http.exchange import Call, Words, exchanged
from chomp_mcp.errors import ChompError, InvalidRequest
from chomp_mcp.messages import ChatRequest, Completion, Delta, Native, Receipt
from chomp_mcp.policy.agents import stand_in

_CALLS = ("generateContent", "streamGenerateContent", "countTokens")
_BYTES_PER_TOKEN = 4
_PATHS = ("/v1beta", "/v1beta1/publishers/google")
"""Of the Gemini API and of Vertex, whose bodies are the same."""


def routes(chomp: Chomp) -> list[Route]:
    """The Gemini API's part of the route table."""
    gemini = Gemini(chomp)
    return [Route(f"{path}/models/{{call:path}}", gemini, methods=["POST"]) for path in _PATHS]


class Gemini(Call):
    """POST /v1beta/models/{model}:{call}; the model is any model ref."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        model, colon, call = scope["path_params"]["call"].rstrip("/").rpartition(":")
        if not colon or call not in _CALLS:
            raise InvalidRequest(f"There is no {call[:100]!r}.", hint=f"Known: {', '.join(_CALLS)}.", param="model")
        body = await read_json(receive)
        if call == "countTokens":
            asked = body.get("generateContentRequest") or body
            await send_json(send, wire.dumps({"totalTokens": math.ceil(len(wire.dumps(asked)) / _BYTES_PER_TOKEN)}), [])
            return
        chat, notes = chat_of(body)
        request = ChatRequest(
            chat,
            model=model,
            stream=call == "streamGenerateContent",
            session=conversation_of(scope[HEADERS], body),
            timeout_seconds=patience_of(scope[HEADERS]),
            notes=notes,
            # Gemini CLI sends it to every model; one that refuses it answers without.
            wishes=("max_tokens",) if "max_tokens" in chat else (),
            native=Native("gemini", body),
            stand_in=stand_in("gemini", model, self._settings.agents, self._settings.agent_model),
        )
        await exchanged(self._gateway, request, _GoogleWords(), scope, receive, send)


class _GoogleWords(Words):
    """Google's: the router's own where it speaks Gemini, else made of chat completions."""

    door = "gemini_api"

    def __init__(self) -> None:
        self._is_raw = False

    @cached_property
    def _made(self) -> ContentStream:
        return ContentStream(model=self.route.model)

    def whole(self, completion: Completion, receipt: Receipt) -> bytes:
        return completion.raw or wire.dumps(response_of(completion, receipt.usage, model=self.route.model))

    def frames(self, batch: Sequence[Delta]) -> bytes:
        raw = b"".join([delta.raw for delta in batch])
        self._is_raw = self._is_raw or bool(raw)
        if self._is_raw:
            return raw
        return b"".join(map(server_sent, self._made.feed(batch)))

    def end(self, receipt: Receipt) -> bytes:
        return b"" if self._is_raw else server_sent(self._made.end(receipt.usage))

    def failure(self, error: ChompError) -> bytes:
        return server_sent(google_errors.envelope(error))
