"""/v1/responses: OpenAI's Responses, without state, for Codex and for SDKs that default to it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial
from typing import Any, NoReturn
from uuid import uuid4

from starlette.requests import Request
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from chomp_mcp import wire
from chomp_mcp.app import Chomp
from chomp_mcp.dialects.responses.door_answer import response, skeleton
from chomp_mcp.dialects.responses.door_request import Chat, state_needed, to_chat
from chomp_mcp.dialects.responses.door_stream import ResponseEvents
from chomp_mcp.doors.http.asgi import EventStream, caller_of, read_json, send_json, while_connected
from chomp_mcp.doors.http.chat import conversation_of, envelope_of, headers_of, patience_of
from chomp_mcp.doors.views import receipt_extension
from chomp_mcp.errors import BudgetExceeded, ChompError, InvalidRequest, UpstreamError
from chomp_mcp.messages import Caller, ChatRequest, Delta, Native, Translated, Usage
from chomp_mcp.policy.agents import stand_in

__all__ = ["Responses", "routes"]

_ENVELOPE = ("model", "router", "stream", "stream_options")
_PASSED_ON = frozenset({b"openai-beta"})
_WISHES = ("reasoning_effort", "user")
"""What Codex sends to every model; one that refuses it answers without."""


def routes(chomp: Chomp) -> list[Route]:
    """The Responses API's part of the route table."""
    return [
        Route("/v1/responses", Responses(chomp), methods=["POST"]),
        Route("/v1/responses/{id:path}", _nothing_is_stored, methods=["GET", "POST", "DELETE"]),
    ]


class Responses:
    """POST /v1/responses as an ASGI app: translate in, the gateway's exchange, translate out."""

    def __init__(self, chomp: Chomp) -> None:
        self._gateway = chomp.gateway
        self._settings = chomp.settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await read_json(receive)
        headers = scope["headers"]
        passed = {name.decode(): value.decode("latin-1") for name, value in headers if name in _PASSED_ON}
        asked = _Asked(body)
        named = conversation_of(headers, body)
        envelope = {name: body[name] for name in _ENVELOPE if name in body}
        request = envelope_of(envelope, session=named, patience=patience_of(headers))
        request = replace(
            request,
            body=Translated(lambda: (asked.chat.body, asked.chat.notes)),
            stand_in=stand_in("codex", request.model, self._settings.agents, self._settings.agent_model),
            wishes=_WISHES,
            native=Native("responses", body, passed),
            untranslated=state_needed(body),
        )
        caller = caller_of(scope)
        try:
            if request.stream:
                events, relay = EventStream(send), _Relay(asked)
                events.last, events.error_frame = b"", relay.fail
                work = partial(self._stream, caller, request, relay, events)
                await while_connected(scope, receive, work, events)
            else:
                await while_connected(scope, receive, partial(self._answer, caller, request, asked, send))
        except (BudgetExceeded, UpstreamError) as error:
            # Codex repeats a 503 up to 30 times within a minute, whatever `x-should-retry` says, and a 400 never. What
            # is left of a plan that ran out, or of a budget, is the same every time.
            if any(name == b"originator" and value.startswith(b"codex") for name, value in scope["headers"]):
                error.status = 400
            raise

    async def _answer(self, caller: Caller, request: ChatRequest, asked: _Asked, send: Send) -> None:
        async with self._gateway.exchange(caller, request, door="responses_api") as reply:
            completion = await reply.completion()
            receipt = reply.receipt()
            if completion.raw:
                await send_json(send, completion.raw, headers_of(receipt))
                return
            answer = response(asked.chat, asked.skeleton, completion, receipt.usage, receipt.served)
            await send_json(send, wire.dumps({**answer, "chomp": receipt_extension(receipt)}), headers_of(receipt))

    async def _stream(self, caller: Caller, request: ChatRequest, relay: _Relay, events: EventStream) -> None:
        async with events:
            async with self._gateway.exchange(caller, request, door="responses_api") as reply:
                receipt = reply.receipt()
                await events.start(headers_of(receipt))
                async for batch in reply.batches():
                    if frames := relay.frames(batch, receipt.served):
                        await events.write(frames)
            if frames := relay.end(reply.receipt().usage):
                await events.write(frames)


class _Asked:
    """A request's body, and what is made of it where no route takes it as it came."""

    def __init__(self, body: Mapping[str, Any]) -> None:
        self._body = body

    @cached_property
    def chat(self) -> Chat:
        return to_chat(self._body)

    @cached_property
    def skeleton(self) -> dict[str, Any]:
        return skeleton(self._body, response_id=f"resp_{uuid4().hex}", created_at=int(time.time()))


class _Relay:
    """The events of one stream: the router's own where it speaks Responses, else made of chat completions' deltas."""

    def __init__(self, asked: _Asked) -> None:
        self._asked = asked
        self._has_begun = False
        self._first = self._last = b""
        """Of the router's own events."""

    @cached_property
    def _made(self) -> ResponseEvents:
        return ResponseEvents(self._asked.chat, self._asked.skeleton)

    def frames(self, batch: Sequence[Delta], route: str) -> bytes:
        raw = [delta.raw for delta in batch if delta.raw]
        if raw or self._first:
            self._first = self._first or raw[0]
            self._last = raw[-1] if raw else self._last
            return b"".join(raw)
        begin = [] if self._has_begun else self._made.start(route)
        self._has_begun = True
        return _frames([*begin, *self._made.take(batch)])

    def end(self, usage: Usage) -> bytes:
        """What comes once the counts are final; the router's own events have told theirs."""
        return b"" if self._first else _frames(self._made.finish(usage))

    def fail(self, error: ChompError) -> bytes:
        """The event of an answer that broke off; of a router's own events, it goes on where these have ended."""
        if self._first:
            made = ResponseEvents(to_chat({"input": "-"}), self._asked.skeleton)
            made.go_on_after(self._first, self._last)
            return _frames(made.fail(error))
        return _frames(self._made.fail(error))


def _frames(events: Sequence[Mapping[str, Any]]) -> bytes:
    return b"".join([b"event: %b\ndata: %b\n\n" % (event["type"].encode(), wire.dumps(event)) for event in events])


async def _nothing_is_stored(request: Request) -> NoReturn:
    error = InvalidRequest(
        f"There is no {request.method} {request.url.path[:200]}: responses are not stored here.",
        hint="Send what was said before in input of POST /v1/responses.",
    )
    error.status, error.code = 404, "not_found"
    raise error
