"""One exchange over HTTP: the whole answer or its events, in the words of the API that was asked."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Sequence

from starlette.types import Receive, Scope, Send

from chomp_mcp.app import Chomp
from chomp_mcp.doors.http.asgi import EventStream, caller_of, send_json, while_connected
from chomp_mcp.doors.http.chat import headers_of
from chomp_mcp.errors import ChompError
from chomp_mcp.gateway.pipeline import Gateway
from chomp_mcp.messages import ChatRequest, Completion, Delta, Receipt, Route


class Call(ABC):
    """One call of an API as an ASGI app, with nothing between the socket and the gateway."""

    def __init__(self, chomp: Chomp) -> None:
        self._gateway = chomp.gateway
        self._settings = chomp.settings

    @abstractmethod
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None: ...


class Words(ABC):
    """How one API tells one answer: a class for each API, an object for each request."""

    door: str
    """The API's name in reports."""
    pulse = b": keepalive\n\n"
    """The frame that keeps a silent stream alive."""
    route: Route
    """Who answers; there before anything else is asked of it."""

    @abstractmethod
    def whole(self, completion: Completion, receipt: Receipt) -> bytes:
        """The answer as JSON."""

    @abstractmethod
    def frames(self, batch: Sequence[Delta]) -> bytes:
        """Events of these deltas; there may be none."""

    @abstractmethod
    def end(self, receipt: Receipt) -> bytes:
        """What a stream ends with, once its counts are final."""

    @abstractmethod
    def failure(self, error: ChompError) -> bytes:
        """What it ends with where it breaks off."""


def exchanged(
    gateway: Gateway, request: ChatRequest, words: Words, scope: Scope, receive: Receive, send: Send
) -> Awaitable[None]:
    """Ask, and tell the answer for as long as the client is there.

    Raises:
        ChompError: nothing was told yet; after the first event errors are told as `words.failure`.
        ClientDisconnect: the client left first.
    """
    caller = caller_of(scope)

    if not request.stream:

        async def answer() -> None:
            async with gateway.exchange(caller, request, door=words.door) as reply:
                completion = await reply.completion()
                receipt, words.route = reply.receipt(), reply.route
                await send_json(send, words.whole(completion, receipt), headers_of(receipt))

        return while_connected(scope, receive, answer)
    events = EventStream(send, words.failure, words.pulse)

    async def relay() -> None:
        async with events:
            async with gateway.exchange(caller, request, door=words.door) as reply:
                words.route = reply.route
                await events.start(headers_of(reply.receipt()))
                async for batch in reply.batches():
                    if frames := words.frames(batch):
                        await events.write(frames)
            # Only here, behind the exchange: what it left behind is settled, and the receipt final.
            events.last = words.end(reply.receipt())

    return while_connected(scope, receive, relay, events)
