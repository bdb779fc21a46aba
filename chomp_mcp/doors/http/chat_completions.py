"""/v1/chat/completions: OpenAI JSON and SSE."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from chomp_mcp import wire
from chomp_mcp.app import Chomp
from chomp_mcp.doors.http.asgi import EventStream, caller_of, read_json, send_json, while_connected
from chomp_mcp.doors.http.chat import (
    chat_request,
    conversation_of,
    headers_of,
    openai_usage,
    patience_of,
)
from chomp_mcp.doors.views import receipt_extension
from chomp_mcp.errors import InvalidRequest
from chomp_mcp.gateway.pipeline import Gateway
from chomp_mcp.messages import Caller, ChatRequest, Delta, Receipt

__all__ = ["ChatCompletions", "answer", "relay", "routes"]


def routes(chomp: Chomp) -> list[Route]:
    """The OpenAI API's part of the route table."""
    return [Route("/v1/chat/completions", ChatCompletions(chomp), methods=["POST"])]


class ChatCompletions:
    """POST /v1/chat/completions as an ASGI app: nothing between the socket and the gateway."""

    def __init__(self, chomp: Chomp) -> None:
        self._gateway = chomp.gateway

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await read_json(receive)
        is_dry = body.pop("dry_run", None)
        if not isinstance(is_dry, bool | None):
            raise InvalidRequest("dry_run is not true or false.", hint="Correct dry_run.", param="dry_run")
        headers = scope["headers"]
        request = chat_request(body, session=conversation_of(headers, body), patience=patience_of(headers))
        caller = caller_of(scope)
        if is_dry:
            await send_json(send, wire.dumps(await self._gateway.explain(caller, request)), [])
            return
        if not request.stream:
            await while_connected(scope, receive, partial(answer, self._gateway, caller, request, send))
            return
        events = EventStream(send)
        wants_usage = bool((body.get("stream_options") or {}).get("include_usage"))
        work = partial(relay, self._gateway, caller, request, events, wants_usage=wants_usage)
        await while_connected(scope, receive, work, events)


async def answer(gateway: Gateway, caller: Caller, request: ChatRequest, send: Send) -> None:
    """The router's own object, and the receipt beside it."""
    async with gateway.exchange(caller, request, door="openai_api") as reply:
        completion = await reply.completion()
        receipt = reply.receipt()
        await send_json(send, wire.dumps({**completion.body, "chomp": receipt_extension(receipt)}), headers_of(receipt))


async def relay(
    gateway: Gateway, caller: Caller, request: ChatRequest, events: EventStream, *, wants_usage: bool
) -> None:
    """Relay the frames as they come; the usage chunk waits for the end, when the receipt is final."""
    passed = _Relay()
    async with events:
        async with gateway.exchange(caller, request, door="openai_api") as reply:
            await events.start(headers_of(reply.receipt()))
            async for batch in reply.batches():
                if frames := passed.frames(batch):
                    await events.write(frames)
        if wants_usage:
            await events.event(passed.usage_chunk(reply.receipt()))


class _Relay:
    """Frames through, usage chunk kept."""

    def __init__(self) -> None:
        self._usage: Mapping[str, Any] = {}

    def frames(self, batch: Sequence[Delta]) -> bytes:
        """The batch as server-sent events; bytes stay bytes."""
        out: list[bytes] = []
        for delta in batch:
            data = delta.data
            if delta.plain:
                out += (b"data: ", data, b"\n\n")
                continue
            if b'"usage"' in data and delta.is_usage_only:
                self._usage = delta.chunk
                continue
            out += (b"data: ", data.replace(b"\n", b"\ndata: ") if b"\n" in data else data, b"\n\n")
        return b"".join(out)

    def usage_chunk(self, receipt: Receipt) -> dict[str, Any]:
        """The router's last chunk, or one of ours where it sent none, with the receipt."""
        ours = {
            "id": "chatcmpl-chomp",
            "object": "chat.completion.chunk",
            "created": int(time.time()),
            "model": receipt.served,
            "choices": [],
            "usage": openai_usage(receipt.usage),
        }
        return {**ours, **self._usage, "chomp": receipt_extension(receipt)}
