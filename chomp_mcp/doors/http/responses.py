"""/v1/responses: OpenAI's Responses, without state, for Codex and for SDKs that default to it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
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
from chomp_mcp.doors.http.asgi import HEADERS, read_json
from chomp_mcp.doors.http.chat import conversation_of, envelope_of, patience_of
from chomp_mcp.doors.http.exchange import Call, Words, exchanged
from chomp_mcp.doors.views import receipt_extension
from chomp_mcp.errors import BudgetExceeded, ChompError, InvalidRequest, UpstreamError
from chomp_mcp.messages import Completion, Delta, Native, Receipt, Translated
from chomp_mcp.policy.agents import stand_in

_ENVELOPE = ("model", "router", "stream", "stream_options")
_PASSED_ON = frozenset({b"openai-beta"})
_WISHES = ("reasoning_effort", "user")
"""What Codex sends to every model; one that refuses it answers without."""


def routes(chomp: Chomp) -> list[Route]:
    """The Responses API's part of the route table."""

    async def nothing_is_stored(request: Request) -> NoReturn:
        why = f"There is no {request.method} {request.url.path[:200]}: responses are not stored here."
        error = InvalidRequest(why, hint="Send what was said before in input of POST /v1/responses.")
        error.status, error.code = 404, "not_found"
        raise error

    return [
        Route("/v1/responses", Responses(chomp), methods=["POST"]),
        Route("/v1/responses/{id:path}", nothing_is_stored, methods=["GET", "POST", "DELETE"]),
    ]


class Responses(Call):
    """POST /v1/responses: translate in, the gateway's exchange, translate out."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await read_json(receive)
        headers = scope[HEADERS]
        words = _ResponsesWords(body)
        envelope = {name: body[name] for name in _ENVELOPE if name in body}
        request = envelope_of(envelope, session=conversation_of(headers, body), patience=patience_of(headers))
        passed = {name.decode(): value.decode("latin-1") for name, value in headers.items() if name in _PASSED_ON}
        request = replace(
            request,
            body=Translated(lambda: (words.chat.body, words.chat.notes)),
            stand_in=stand_in("codex", request.model, self._settings.agents, self._settings.agent_model),
            wishes=_WISHES,
            native=Native("responses", body, passed),
            untranslated=state_needed(body),
        )
        try:
            await exchanged(self._gateway, request, words, scope, receive, send)
        except (BudgetExceeded, UpstreamError) as error:
            # Codex repeats a 503 up to 30 times within a minute, whatever `x-should-retry` says, and a 400 never. What
            # is left of a plan that ran out, or of a budget, is the same every time.
            if headers.get(b"originator", b"").startswith(b"codex"):
                error.status = 400
            raise


class _ResponsesWords(Words):
    """Responses: the router's own where it speaks them, else made of chat completions, of which the request was, too.

    What is made of the request is made late: a route that takes it as it came needs none of it.
    """

    door = "responses_api"

    def __init__(self, body: Mapping[str, Any]) -> None:
        self._body = body
        self._has_begun = False
        self._first = self._last = b""
        """Of the router's own events."""

    @cached_property
    def chat(self) -> Chat:
        return to_chat(self._body)

    @cached_property
    def _skeleton(self) -> dict[str, Any]:
        return skeleton(self._body, response_id=f"resp_{uuid4().hex}", created_at=int(time.time()))

    @cached_property
    def _made(self) -> ResponseEvents:
        return ResponseEvents(self.chat, self._skeleton)

    def whole(self, completion: Completion, receipt: Receipt) -> bytes:
        if completion.raw:
            return completion.raw
        answer = response(self.chat, self._skeleton, completion, receipt.usage, receipt.served)
        return wire.dumps({**answer, "chomp": receipt_extension(receipt)})

    def frames(self, batch: Sequence[Delta]) -> bytes:
        raw = [delta.raw for delta in batch if delta.raw]
        if raw or self._first:
            self._first = self._first or raw[0]
            self._last = raw[-1] if raw else self._last
            return b"".join(raw)
        begin = [] if self._has_begun else self._made.start(self.route.ref)
        self._has_begun = True
        return _frames([*begin, *self._made.take(batch)])

    def end(self, receipt: Receipt) -> bytes:
        return b"" if self._first else _frames(self._made.finish(receipt.usage))

    def failure(self, error: ChompError) -> bytes:
        if not self._first:
            return _frames(self._made.fail(error))
        # The router's own events broke off: ours go on where these have ended.
        made = ResponseEvents(to_chat({"input": "-"}), self._skeleton)
        made.go_on_after(self._first, self._last)
        return _frames(made.fail(error))


def _frames(events: Sequence[Mapping[str, Any]]) -> bytes:
    return b"".join([b"event: %b\ndata: %b\n\n" % (event["type"].encode(), wire.dumps(event)) for event in events])
