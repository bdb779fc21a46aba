"""/v1/messages, /v1/messages/count_tokens: Anthropic's Messages, JSON and server-sent events."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from chomp_mcp import wire
from chomp_mcp.app import Chomp
from chomp_mcp.dialects.anthropic.door_answer import message_of
from chomp_mcp.dialects.anthropic.door_count import estimate
from chomp_mcp.dialects.anthropic.door_request import chat_of
from chomp_mcp.dialects.anthropic.door_stream import PING, MessageEvents, event
from chomp_mcp.doors.http import anthropic_errors
from chomp_mcp.doors.http.asgi import (
    EventStream,
    caller_of,
    read_json,
    request_id_of,
    send_json,
    while_connected,
)
from chomp_mcp.doors.http.chat import conversation_of, headers_of, patience_of
from chomp_mcp.errors import InvalidRequest
from chomp_mcp.gateway.reply import Reply
from chomp_mcp.messages import Caller, ChatRequest, Delta, Native, Receipt, Translated, Usage
from chomp_mcp.policy.agents import stand_in, without_prefix
from chomp_mcp.settings import Settings

__all__ = ["Messages", "routes"]

_PASSED_ON = frozenset({b"anthropic-version", b"anthropic-beta"})
_WISHES = ("reasoning_effort", "max_tokens", "user")
"""What Claude Code sends to every model."""
_TYPES: Mapping[str, tuple[type, ...]] = {
    "model": (str,),
    "stream": (bool, type(None)),
    "max_tokens": (int, type(None)),
}


def routes(chomp: Chomp) -> list[Route]:
    """The Messages API's part of the route table."""
    return [
        Route("/v1/messages", Messages(chomp), methods=["POST"]),
        Route("/v1/messages/count_tokens", CountTokens(chomp), methods=["POST"]),
    ]


class Messages:
    """POST /v1/messages as an ASGI app."""

    def __init__(self, chomp: Chomp) -> None:
        self._gateway = chomp.gateway
        self._settings = chomp.settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await read_json(receive)
        request = _request(body, scope["headers"], self._settings)
        caller = caller_of(scope)
        if not request.stream:
            await while_connected(scope, receive, partial(self._answer, caller, request, send))
            return
        events = EventStream(send)
        events.last, events.pulse = b"", PING
        events.error_frame = lambda error: event(anthropic_errors.envelope(error, request_id_of(scope)))
        await while_connected(scope, receive, partial(self._stream, caller, request, events), events)

    async def _answer(self, caller: Caller, request: ChatRequest, send: Send) -> None:
        async with self._gateway.exchange(caller, request, door="messages_api") as reply:
            completion = await reply.completion()
            receipt = reply.receipt()
            message = completion.raw or wire.dumps(message_of(completion, receipt.usage, model=reply.route.model))
            await send_json(send, message, headers_of(receipt))

    async def _stream(self, caller: Caller, request: ChatRequest, events: EventStream) -> None:
        async with events, self._gateway.exchange(caller, request, door="messages_api") as reply:
            relay = _Relay(reply, request)
            await events.start(headers_of(reply.receipt()))
            async for batch in reply.batches():
                if frames := relay.frames(batch):
                    await events.write(frames)
            if frames := relay.end(reply.receipt()):
                await events.write(frames)


class CountTokens:
    """POST /v1/messages/count_tokens as an ASGI app: by the router where it is Anthropic's own, else an estimate.

    It takes nothing of the rate limit: Claude Code asks for dozens at once when it starts.
    """

    def __init__(self, chomp: Chomp) -> None:
        self._gateway = chomp.gateway
        self._settings = chomp.settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await read_json(receive)
        request = _request(body, scope["headers"], self._settings)
        caller = caller_of(scope)
        counted = await while_connected(scope, receive, partial(self._gateway.count_tokens, caller, request))
        if counted is None:
            request.body["messages"]  # what no route could be sent is refused here as there, and not counted
            counted = {"input_tokens": estimate(body)}
        await send_json(send, wire.dumps(counted), [])


class _Relay:
    """The events of one stream: the router's own where it speaks Messages, else made of chat completions' deltas."""

    def __init__(self, reply: Reply, request: ChatRequest) -> None:
        self._reply = reply
        self._request = request
        self._made: MessageEvents | None = None
        self._is_raw = False

    def frames(self, batch: Sequence[Delta]) -> bytes:
        if raw := b"".join([delta.raw for delta in batch]):
            self._is_raw = True
        if self._is_raw:
            return raw
        if self._made is None:
            native = self._request.native
            counted = estimate(native.body) if native else 0
            self._made = MessageEvents(model=self._reply.route.model, usage=Usage(input_tokens=counted))
        return self._made.feed(batch)

    def end(self, receipt: Receipt) -> bytes:
        """What comes once the counts are final; the router's own events have told theirs."""
        return self._made.end(receipt.usage) if self._made else b""


def _request(body: Mapping[str, Any], headers: Iterable[tuple[bytes, bytes]], settings: Settings) -> ChatRequest:
    """A Messages body as a request.

    Raises:
        InvalidRequest: a field has the wrong type; `param` names it.
    """
    for name, types in _TYPES.items():
        value = body.get(name)
        if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
            raise InvalidRequest(
                f"{name} is not {_WORDS[types[0]]}." if name in body else f"{name}: this field is required.",
                hint=f"Correct {name}.",
                param=name,
            )
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages or not all(isinstance(each, dict) for each in messages):
        raise InvalidRequest(
            "messages: at least one message is required.",
            hint='Send "messages": [{"role": "user", "content": "…"}].',
            param="messages",
        )
    headers = list(headers)
    model = without_prefix(body["model"])
    passed = {name.decode(): value.decode("latin-1") for name, value in headers if name in _PASSED_ON}
    return ChatRequest(
        body=Translated(partial(chat_of, body)),
        model=model,
        stand_in=stand_in("claude", model, settings.agents, settings.agent_model),
        stream=bool(body.get("stream")),
        session=conversation_of(headers, body),
        timeout_seconds=patience_of(headers),
        wishes=_WISHES,
        native=Native("anthropic", body, passed),
    )


_WORDS: Mapping[type, str] = {str: "text", bool: "true or false", int: "a whole number"}
