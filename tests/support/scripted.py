"""The scripted router: a real HTTP server on 127.0.0.1 that answers what the test wrote down.

    async with ScriptedRouter() as upstream:
        upstream.fail(500)                      # answers are played once, in the order they were written down;
        upstream.answer("hello")                # the last one stays
        ...                                     # point a router at upstream.url (it ends in /v1)
        await upstream.saw_request(2)
        assert upstream.requests[-1].json["model"] == "m"

Without a script it answers "hello" to any POST, and `models` to any GET of a path that ends in /models. Answers follow
the request: SSE when its body says `"stream": true`, else one JSON object. `upstream.on(model=…, key=…, path=…)` is a
script of its own for some of the requests. Pieces of a stream: text (a content delta), a mapping (a chunk, sent as it
is), bytes (as they are on the wire), an event (wait for it), a number (seconds to wait), a callable (called, awaited).

In a test without a loop: `with ScriptedRouter() as upstream`. As a process: `python -m tests.support.scripted PORT`; it
prints its URL, takes `POST /_script {"do": "fail", "with": {"status": 500}, "on": {"model": "m"}}` and tells its
requests to `GET /_requests`.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, Self

import anyio
import anyio.from_thread

from tests.support.scripted_answers import Script, as_bytes, chunk, completion, sse
from tests.support.scripted_wire import Connection, Play, Recorded, Wire

__all__ = ["Recorded", "Script", "ScriptedRouter", "Wire", "chunk", "completion", "several", "sse"]

PATIENCE_SECONDS = 5


class ScriptedRouter(Script):
    """See the module. `ssl_context` makes it speak TLS."""

    def __init__(self, *, port: int = 0, ssl_context: ssl.SSLContext | None = None) -> None:
        super().__init__()
        self.port = port
        self.requests: list[Recorded] = []
        self.disconnects: list[Recorded] = []
        """Requests whose client hung up before the answer's end."""
        self.errors: list[Exception] = []
        """What scripts of the test's own raised; leaving the block raises the first."""
        self.headers: dict[str, str] = {}
        """Added to every answer, lists included: rate limits, request ids."""
        self.connections: set[Connection] = set()
        self.connection_count = 0
        self.finished = 0
        """Answers that went out to their end, cut ones included."""
        self._ssl = ssl_context
        self._scripts: dict[tuple[str, str, str], Script] = {}
        self._models: Any = ["scripted-small", "scripted-large"]
        self._change: anyio.Event | None = None
        self._stack = contextlib.ExitStack()
        self._portal: anyio.from_thread.BlockingPortal | None = None

    @property
    def base(self) -> str:
        return f"{'https' if self._ssl else 'http'}://127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"{self.base}/v1"

    @property
    def chats(self) -> list[Recorded]:
        """The requests that were not for a list."""
        return [request for request in self.requests if request.method == "POST"]

    def on(self, *, model: str = "", key: str = "", path: str = "") -> Script:
        """A script for some requests only; the latest that fits wins over the common one. `path` is its end."""
        return self._scripts.setdefault((model, key, path), Script())

    def models(self, models: Any) -> None:
        """What GET …/models lists: ids, or OpenAI entries, or a whole body when it is no list."""
        self._models = models

    async def saw_request(self, count: int = 1) -> Recorded:
        """Wait for the count-th chat request."""
        await self._until(lambda: len(self.chats) >= count, f"{count} requests", count)
        return self.chats[count - 1]

    async def saw_disconnect(self, count: int = 1) -> Recorded:
        """Wait for the count-th client that hung up in the middle of its answer."""
        await self._until(lambda: len(self.disconnects) >= count, f"{count} disconnects", count)
        return self.disconnects[count - 1]

    async def saw_end(self, count: int = 1) -> None:
        """Wait until so many answers are out."""
        await self._until(lambda: self.finished >= count, f"{count} finished answers", count)

    def wait(self, what: Callable[..., Awaitable[Any]], *args: Any) -> Any:
        """In a test without a loop: `upstream.wait(upstream.saw_request, 2)`."""
        if self._portal is None:
            raise RuntimeError("only inside `with ScriptedRouter() as upstream`")
        return self._portal.call(what, *args)

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: Connection(self), "127.0.0.1", self.port, ssl=self._ssl, backlog=2048
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Close the port and every connection, as a router that goes down."""
        self._server.close()
        for connection in list(self.connections):
            connection.abort()
        await self._until(lambda: not self.connections, "the end of all connections")

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, kind: object, *_: object) -> None:
        await self.stop()
        if self.errors and kind is None:
            raise self.errors[0]

    def __enter__(self) -> Self:
        self._portal = self._stack.enter_context(anyio.from_thread.start_blocking_portal())
        self._portal.call(self.start)
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if self._portal is not None:
            self._portal.call(self.stop)
        self._stack.close()
        if self.errors and kind is None:
            raise self.errors[0]

    # For the connections.

    def take_number(self) -> int:
        self.connection_count += 1
        return self.connection_count - 1

    def changed(self) -> None:
        if self._change is not None:
            self._change.set()
            self._change = None

    def take(self, request: Recorded) -> Play:
        """Note the request, find its answer."""
        if request.path in _CONTROL:
            return _CONTROL[request.path](self)
        self.requests.append(request)
        self.changed()
        for (model, key, path), script in reversed(self._scripts.items()):
            fits = model in {"", request.model} and key in {"", request.key} and request.path.endswith(path)
            if fits and (path or request.method == "POST") and (play := script.next()):
                return play
        if request.method == "POST":
            return self.next() or _default()
        return self._list if request.path.endswith("/models") else _not_found

    async def _list(self, _request: Recorded, wire: Wire) -> None:
        body = self._models
        if isinstance(body, (list, tuple)):
            known = {"object": "model", "created": 1, "owned_by": "scripted"}
            body = {"object": "list", "data": [{"id": m, **known} if isinstance(m, str) else m for m in body]}
        await wire.whole(200, as_bytes(body))

    async def _until(self, reached: Callable[[], bool], what: str, count: int = 1) -> None:
        try:
            with anyio.fail_after(PATIENCE_SECONDS + count / 20):
                while not reached():
                    self._change = self._change or anyio.Event()
                    await self._change.wait()
        except TimeoutError:
            seen = f"{len(self.requests)} requests, {len(self.disconnects)} disconnects, {self.finished} finished"
            raise AssertionError(f"the scripted router never saw {what}: {seen}") from None


def _default() -> Play:
    script = Script()
    script.answer()
    play = script.next()
    return play or _not_found


async def _not_found(_request: Recorded, wire: Wire) -> None:
    await wire.whole(404, as_bytes({"error": {"message": "no such path", "type": "not_found_error", "code": None}}))


def _control_script(router: ScriptedRouter) -> Play:
    async def play(request: Recorded, wire: Wire) -> None:
        order = request.json
        script = router.on(**order["on"]) if order.get("on") else router
        getattr(script, order["do"])(**order.get("with", {}))
        await wire.whole(200, b"{}")

    return play


def _control_requests(router: ScriptedRouter) -> Play:
    async def play(_request: Recorded, wire: Wire) -> None:
        seen = [{"method": r.method, "path": r.path, "headers": r.headers, "json": r.json} for r in router.requests]
        await wire.whole(200, as_bytes({"requests": seen, "disconnects": len(router.disconnects)}))

    return play


_CONTROL: Mapping[str, Callable[[ScriptedRouter], Play]] = {
    "/_script": _control_script,
    "/_requests": _control_requests,
}


@contextlib.asynccontextmanager
async def several(count: int) -> AsyncIterator[list[ScriptedRouter]]:
    """Several at once, on ports of their own."""
    async with contextlib.AsyncExitStack() as stack:
        yield [await stack.enter_async_context(ScriptedRouter()) for _ in range(count)]


async def _main(port: int) -> None:
    async with ScriptedRouter(port=port) as router:
        sys.stdout.write(router.url + "\n")
        sys.stdout.flush()
        await anyio.sleep_forever()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        anyio.run(_main, int(sys.argv[1]) if len(sys.argv) > 1 else 0)
