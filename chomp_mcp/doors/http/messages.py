"""/v1/messages, /v1/messages/count_tokens: Anthropic's Messages, JSON and server-sent events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
from chomp_mcp.dialects.values import wrong
from chomp_mcp.doors.http import anthropic_errors
from chomp_mcp.doors.http.asgi import HEADERS, caller_of, read_json, request_id_of, send_json, while_connected
from chomp_mcp.doors.http.chat import conversation_of, patience_of
from chomp_mcp.doors.http.exchange import Call, Words, exchanged
from chomp_mcp.errors import ChompError
from chomp_mcp.messages import ChatRequest, Completion, Delta, Native, Receipt, Translated, Usage
from chomp_mcp.policy.agents import stand_in, without_prefix
from chomp_mcp.settings import Settings

_PASSED_ON = frozenset({b"anthropic-version", b"anthropic-beta"})
_WISHES = ("reasoning_effort", "max_tokens", "user")
"""What Claude Code sends to every model."""
_TYPES: Mapping[str, tuple[type, ...]] = {
    "model": (str,),
    "stream": (bool, type(None)),
    "max_tokens": (int, type(None)),
}
_WORDS: Mapping[type, str] = {str: "text", bool: "true or false", int: "a whole number"}


def routes(chomp: Chomp) -> list[Route]:
    """The Messages API's part of the route table."""
    return [
        Route("/v1/messages", Messages(chomp), methods=["POST"]),
        Route("/v1/messages/count_tokens", CountTokens(chomp), methods=["POST"]),
    ]


class Messages(Call):
    """POST /v1/messages."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await read_json(receive)
        request = _request(body, scope[HEADERS], self._settings)
        await exchanged(self._gateway, request, _AnthropicWords(body, request_id_of(scope)), scope, receive, send)


class CountTokens(Call):
    """POST /v1/messages/count_tokens: by the router where it is Anthropic's own, else an estimate.

    It takes nothing of the rate limit: Claude Code asks for dozens at once when it starts.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await read_json(receive)
        request = _request(body, scope[HEADERS], self._settings)
        caller = caller_of(scope)
        counted = await while_connected(scope, receive, partial(self._gateway.count_tokens, caller, request))
        if counted is None:
            request.body["messages"]  # what no route could be sent is refused here as there, and not counted
            counted = {"input_tokens": estimate(body)}
        await send_json(send, wire.dumps(counted), [])


class _AnthropicWords(Words):
    """Anthropic's: the router's own where it speaks Messages, else made of chat completions."""

    door = "messages_api"
    pulse = PING

    def __init__(self, body: Mapping[str, Any], request_id: str) -> None:
        self._body = body
        self._request_id = request_id
        self._made: MessageEvents | None = None
        self._is_raw = False

    def whole(self, completion: Completion, receipt: Receipt) -> bytes:
        return completion.raw or wire.dumps(message_of(completion, receipt.usage, model=self.route.model))

    def frames(self, batch: Sequence[Delta]) -> bytes:
        raw = b"".join([delta.raw for delta in batch])
        self._is_raw = self._is_raw or bool(raw)
        if self._is_raw:
            return raw
        if self._made is None:
            # Its first event tells the input's tokens, which chat completions tell last: an estimate, set right then.
            self._made = MessageEvents(model=self.route.model, usage=Usage(input_tokens=estimate(self._body)))
        return self._made.feed(batch)

    def end(self, receipt: Receipt) -> bytes:
        return self._made.end(receipt.usage) if self._made else b""

    def failure(self, error: ChompError) -> bytes:
        return event(anthropic_errors.envelope(error, self._request_id))


def _request(body: Mapping[str, Any], headers: Mapping[bytes, bytes], settings: Settings) -> ChatRequest:
    for name, types in _TYPES.items():
        value = body.get(name)
        if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
            what = f" is not {_WORDS[types[0]]}." if name in body else ": this field is required."
            raise wrong(name, what, f"Correct {name}.")
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages or not all(isinstance(each, dict) for each in messages):
        hint = 'Send "messages": [{"role": "user", "content": "…"}].'
        raise wrong("messages", ": at least one message is required.", hint)
    model = without_prefix(body["model"])
    passed = {name.decode(): value.decode("latin-1") for name, value in headers.items() if name in _PASSED_ON}
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
