"""/v1beta/models/{model}:generateContent and its siblings: Google's Gemini API, for Gemini CLI."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from typing import Any

from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from chomp_mcp import wire
from chomp_mcp.app import Chomp
from chomp_mcp.dialects.gemini.door_answer import ContentStream, response_of
from chomp_mcp.dialects.gemini.door_request import chat_of
from chomp_mcp.doors.http import google_errors
from chomp_mcp.doors.http.asgi import EventStream, caller_of, read_json, send_json, while_connected
from chomp_mcp.doors.http.chat import conversation_of, headers_of, patience_of
from chomp_mcp.errors import ChompError, InvalidRequest
from chomp_mcp.messages import Caller, ChatRequest, Native
from chomp_mcp.policy.agents import stand_in

__all__ = ["Gemini", "routes"]

_CALLS = ("generateContent", "streamGenerateContent", "countTokens")
_BYTES_PER_TOKEN = 4
_PATHS = ("/v1beta", "/v1beta1/publishers/google")
"""Of the Gemini API and of Vertex, whose bodies are the same."""


def routes(chomp: Chomp) -> list[Route]:
    """The Gemini API's part of the route table."""
    gemini = Gemini(chomp)
    return [Route(f"{path}/models/{{call:path}}", gemini, methods=["POST"]) for path in _PATHS]


class Gemini:
    """POST /v1beta/models/{model}:{call} as an ASGI app; the model is any model ref."""

    def __init__(self, chomp: Chomp) -> None:
        self._gateway = chomp.gateway
        self._settings = chomp.settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        model, colon, call = scope["path_params"]["call"].rstrip("/").rpartition(":")
        if not colon or call not in _CALLS:
            raise InvalidRequest(f"There is no {call[:100]!r}.", hint=f"Known: {', '.join(_CALLS)}.", param="model")
        body = await read_json(receive)
        if call == "countTokens":
            asked = body.get("generateContentRequest") or body
            await send_json(send, wire.dumps({"totalTokens": math.ceil(len(wire.dumps(asked)) / _BYTES_PER_TOKEN)}), [])
            return
        request = self._request(model, body, scope, stream=call == "streamGenerateContent")
        caller = caller_of(scope)
        if not request.stream:
            await while_connected(scope, receive, partial(self._answer, caller, request, send))
            return
        events = EventStream(send)
        events.last, events.error_frame = b"", _error_frame
        await while_connected(scope, receive, partial(self._stream, caller, request, events), events)

    def _request(self, model: str, body: Mapping[str, Any], scope: Scope, *, stream: bool) -> ChatRequest:
        chat, notes = chat_of(body)
        return ChatRequest(
            chat,
            model=model,
            stream=stream,
            session=conversation_of(scope["headers"], body),
            timeout_seconds=patience_of(scope["headers"]),
            notes=notes,
            wishes=tuple(name for name in ("max_tokens",) if name in chat),
            native=Native("gemini", body),
            stand_in=stand_in("gemini", model, self._settings.agents, self._settings.agent_model),
        )

    async def _answer(self, caller: Caller, request: ChatRequest, send: Send) -> None:
        async with self._gateway.exchange(caller, request, door="gemini_api") as reply:
            completion = await reply.completion()
            receipt = reply.receipt()
            body = completion.raw or wire.dumps(response_of(completion, receipt.usage, model=reply.route.model))
            await send_json(send, body, headers_of(receipt))

    async def _stream(self, caller: Caller, request: ChatRequest, events: EventStream) -> None:
        async with events, self._gateway.exchange(caller, request, door="gemini_api") as reply:
            made, is_raw = ContentStream(model=reply.route.model), False
            await events.start(headers_of(reply.receipt()))
            async for batch in reply.batches():
                frames = b"".join([delta.raw for delta in batch])
                is_raw = is_raw or bool(frames)  # the router's own, where it speaks Gemini
                if not is_raw:
                    frames = b"".join([b"data: %b\n\n" % wire.dumps(each) for each in made.feed(batch)])
                if frames:
                    await events.write(frames)
            if not is_raw:
                await events.event(made.end(reply.receipt().usage))


def _error_frame(error: ChompError) -> bytes:
    return b"data: %b\n\n" % wire.dumps(google_errors.envelope(error))
