"""/v1/chat/completions: OpenAI JSON and SSE."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from chomp_mcp import wire
from chomp_mcp.app import Chomp
from chomp_mcp.doors.http.asgi import HEADERS, caller_of, read_json, send_json, server_sent
from chomp_mcp.doors.http.chat import chat_request, conversation_of, openai_usage, patience_of
from chomp_mcp.doors.http.exchange import Call, Words, exchanged
from chomp_mcp.doors.views import receipt_extension
from chomp_mcp.errors import ChompError, InvalidRequest
from chomp_mcp.messages import Completion, Delta, Receipt

_DONE = b"data: [DONE]\n\n"


def routes(chomp: Chomp) -> list[Route]:
    """The OpenAI API's part of the route table."""
    return [Route("/v1/chat/completions", ChatCompletions(chomp), methods=["POST"])]


class ChatCompletions(Call):
    """POST /v1/chat/completions."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await read_json(receive)
        is_dry = body.pop("dry_run", None)
        if not (is_dry is None or isinstance(is_dry, bool)):
            raise InvalidRequest("dry_run is not true or false.", hint="Correct dry_run.", param="dry_run")
        headers = scope[HEADERS]
        request = chat_request(body, session=conversation_of(headers, body), patience=patience_of(headers))
        if is_dry:
            await send_json(send, wire.dumps(await self._gateway.explain(caller_of(scope), request)), [])
            return
        await exchanged(self._gateway, request, OpenAIWords(body), scope, receive, send)


class OpenAIWords(Words):
    """OpenAI's: the router's own object and its own frames, the receipt beside them, `[DONE]` at the end."""

    door = "openai_api"

    def __init__(self, body: Mapping[str, Any]) -> None:
        self._wants_usage = bool((body.get("stream_options") or {}).get("include_usage"))
        self._usage: Mapping[str, Any] = {}
        """The router's last chunk, kept until the receipt is final."""

    def whole(self, completion: Completion, receipt: Receipt) -> bytes:
        return wire.dumps({**completion.body, "chomp": receipt_extension(receipt)})

    def frames(self, batch: Sequence[Delta]) -> bytes:
        out: list[bytes] = []
        for delta in batch:
            data = delta.data
            if not delta.plain:
                # Looked for in the bytes first: most frames have no usage, and are never parsed.
                if b'"usage"' in data and delta.is_usage_only:
                    self._usage = delta.chunk
                    continue
                if b"\n" in data:
                    data = data.replace(b"\n", b"\ndata: ")
            out.append(data)
        return b"data: %b\n\n" % b"\n\ndata: ".join(out) if out else b""

    def end(self, receipt: Receipt) -> bytes:
        if not self._wants_usage:
            return _DONE
        # For a router that sent no such chunk one is made.
        ours = {
            "id": "chatcmpl-chomp",
            "object": "chat.completion.chunk",
            "created": int(time.time()),
            "model": receipt.served,
            "choices": [],
            "usage": openai_usage(receipt.usage),
        }
        return server_sent({**ours, **self._usage, "chomp": receipt_extension(receipt)}) + _DONE

    def failure(self, error: ChompError) -> bytes:
        return server_sent(error.envelope()) + _DONE
