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
import json
import socket
import ssl
import struct
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

import anyio
import anyio.from_thread
import anyio.to_thread

__all__ = ["Recorded", "ScriptedRouter", "Wire", "chunk", "completion", "sse"]

PATIENCE_SECONDS = 5
HTML = b"<!doctype html><html><body><h1>502 Bad Gateway</h1></body></html>"
Play = Callable[["Recorded", "Wire"], Awaitable[None]]
Pieces = Iterable[Any]


@dataclass
class Recorded:
    """A request as it came; header names in lower case."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes
    connection: int
    """Which TCP connection brought it: 0 is the first."""

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, list[str]]:
        return parse_qs(urlsplit(self.target).query)

    @property
    def json(self) -> Any:
        try:
            return json.loads(self.body)
        except ValueError:
            return {}

    @property
    def model(self) -> str:
        return self.json.get("model", "") if isinstance(self.json, dict) else ""

    @property
    def key(self) -> str:
        return self.headers.get("authorization", "").removeprefix("Bearer ") or self.headers.get("x-api-key", "")

    @property
    def wants_stream(self) -> bool:
        return isinstance(self.json, dict) and bool(self.json.get("stream"))

    @property
    def wants_usage(self) -> bool:
        return bool((self.json.get("stream_options") or {}).get("include_usage"))


def completion(text: str, model: str = "m", *, usage: Sequence[int] | None = (7, 3), **message: Any) -> dict[str, Any]:
    """OpenAI's `chat.completion` object; `message` adds fields such as tool_calls."""
    finish = "tool_calls" if "tool_calls" in message else "stop"
    choice = {"index": 0, "message": {"role": "assistant", "content": text, **message}, "finish_reason": finish}
    body = {"id": "c-1", "object": "chat.completion", "created": 1, "model": model, "choices": [choice]}
    return body if usage is None else {**body, "usage": usage_of(usage)}


def usage_of(usage: Sequence[int]) -> dict[str, int]:
    return {"prompt_tokens": usage[0], "completion_tokens": usage[1], "total_tokens": usage[0] + usage[1]}


def chunk(text: str = "", model: str = "m", *, finish: str | None = None, **delta: Any) -> dict[str, Any]:
    """OpenAI's `chat.completion.chunk` with one choice."""
    content = {"content": text} if text else {}
    choice = {"index": 0, "delta": {**content, **delta}, "finish_reason": finish}
    return {"id": "c-1", "object": "chat.completion.chunk", "created": 1, "model": model, "choices": [choice]}


def sse(data: Any) -> bytes:
    """One server-sent event; text goes out as it is, anything else as JSON."""
    text = data if isinstance(data, str) else json.dumps(data, ensure_ascii=False)
    return f"data: {text}\n\n".encode()


class _CutError(Exception):
    """The script says: this many bytes, and no more."""


class Wire:
    """One answer on its way out; for scripts of your own (`upstream.play(my_function)`)."""

    def __init__(self, connection: _Connection, headers: Mapping[str, str]) -> None:
        self._connection = connection
        self._headers = headers
        self._chunked = False
        self.limit: int | None = None
        """Bytes that may still go out, head included, before the connection is cut."""
        self.reset = False
        """Cut with a reset instead of an end."""

    async def raw(self, data: bytes) -> None:
        if self.limit is not None and len(data) >= self.limit:
            await self._connection.write(data[: self.limit])
            raise _CutError
        if self.limit is not None:
            self.limit -= len(data)
        await self._connection.write(data)

    async def head(self, status: int, headers: Mapping[str, str] | None = None, length: int | None = None) -> None:
        """Status line and headers; without a length the body is chunked."""
        self._chunked = length is None
        framing = {"transfer-encoding": "chunked"} if length is None else {"content-length": str(length)}
        fields = {"content-type": "application/json", **framing, **self._headers, **(headers or {})}
        lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        await self.raw(f"HTTP/1.1 {status} Scripted\r\n{lines}\r\n".encode("latin-1"))

    async def send(self, data: bytes) -> None:
        if data:
            await self.raw(b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data)

    async def end(self) -> None:
        if self._chunked:
            await self.raw(b"0\r\n\r\n")

    async def whole(self, status: int, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        await self.head(status, headers, len(body))
        await self.send(body)

    def cut(self) -> None:
        """End the connection here, in the middle of the answer."""
        raise _CutError

    async def gone(self) -> None:
        """Wait until the client hangs up (or the test ends)."""
        await asyncio.Event().wait()


@dataclass
class _Answer:
    play: Play
    was_played: bool = False


@dataclass
class Script:
    """Answers in their order; every method writes one down. Common words:

    `headers` are added to the answer's, `before` is an event to wait for before the first byte.
    """

    _answers: list[_Answer] = field(default_factory=list, repr=False)

    def play(self, play: Play, *, before: Any = None) -> None:
        """Answer with a function of your own: `async def play(request: Recorded, wire: Wire) -> None`."""

        async def patient(request: Recorded, wire: Wire) -> None:
            await _wait_for(before)
            await play(request, wire)

        self._answers.append(_Answer(patient))

    def clear(self) -> None:
        self._answers.clear()

    def next(self) -> Play | None:
        if len(self._answers) > 1 and self._answers[0].was_played:
            del self._answers[0]
        if not self._answers:
            return None
        self._answers[0].was_played = True
        return self._answers[0].play

    def answer(
        self,
        text: str = "hello",
        *,
        usage: Sequence[int] | None = (7, 3),
        headers: Mapping[str, str] | None = None,
        before: Any = None,
        extra: Mapping[str, Any] | None = None,
        **message: Any,
    ) -> None:
        """An answer; streamed word by word if the request asked for a stream. `extra` joins the completion's (or the
        last chunk's) top level, `message` the message (or the first delta)."""
        pieces = [*([chunk(**message)] if message else []), *_words(text)]

        async def play(request: Recorded, wire: Wire) -> None:
            if request.wants_stream:
                await _play_stream(request, wire, pieces, _Tail(usage, extra=extra), headers)
            else:
                body = {**completion(text, request.model, usage=usage, **message), **(extra or {})}
                await wire.whole(200, _json(body), headers)

        self.play(play, before=before)

    def stream(
        self,
        pieces: Pieces = ("Hel", "lo"),
        *,
        usage: Sequence[int] | None = (7, 3),
        finish: str | None = "stop",
        done: bool = True,
        headers: Mapping[str, str] | None = None,
        before: Any = None,
    ) -> None:
        """A paced stream; a request that wants no stream gets the texts as one answer, after the same waits.

        `usage` goes out if the request asked for it; `finish=None` leaves the finish chunk out, `done=False` [DONE].
        """
        pieces = list(pieces)

        async def play(request: Recorded, wire: Wire) -> None:
            await _play_stream(request, wire, pieces, _Tail(usage, finish, done), headers)

        self.play(play, before=before)

    def error_event(self, error: Any, *, after: Pieces = (), headers: Mapping[str, str] | None = None) -> None:
        """A 200 whose stream (or body) is an error object, at once or `after` some pieces."""
        pieces = [*after, {"error": error}]

        async def play(request: Recorded, wire: Wire) -> None:
            if request.wants_stream:
                await _play_stream(request, wire, pieces, _Tail(None, finish=None, done=True), headers)
            else:
                await wire.whole(200, _json({"error": error}), headers)

        self.play(play)

    def reply(
        self, status: int = 200, body: Any = b"", headers: Mapping[str, str] | None = None, *, before: Any = None
    ) -> None:
        """Exactly this: bytes and text as they are, anything else as JSON."""

        async def play(_request: Recorded, wire: Wire) -> None:
            await wire.whole(status, _json(body), headers)

        self.play(play, before=before)

    def fail(
        self, status: int = 500, body: Any = None, headers: Mapping[str, str] | None = None, *, before: Any = None
    ) -> None:
        """An error; without a body OpenAI's envelope."""
        default = {"error": {"message": f"scripted {status}", "type": "scripted", "param": None, "code": None}}
        self.reply(status, default if body is None else body, headers, before=before)

    def html(self, status: int = 200) -> None:
        self.reply(status, HTML, {"content-type": "text/html"})

    def garbage(self, status: int = 200) -> None:
        """Not JSON, not SSE, not even UTF-8."""
        self.reply(status, b"\xff\xfe{]garbage\x00\xc3(" * 3)

    def empty(self, status: int = 200) -> None:
        self.reply(status, b"")

    def raw(self, pieces: Pieces, *, close: bool = True) -> None:
        """Bytes as the whole answer, head included, with waits between them; then the connection ends."""
        pieces = list(pieces)

        async def play(_request: Recorded, wire: Wire) -> None:
            for piece in pieces:
                await (wire.raw(piece) if isinstance(piece, bytes) else _wait_for(piece))
            if close:
                wire.cut()

        self.play(play)

    def cut(
        self,
        pieces: Pieces = ("Hel", "lo"),
        *,
        after: int | None = None,
        reset: bool = False,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """The connection dies after the pieces, or after exactly `after` bytes, head included (0: before any)."""
        pieces = list(pieces)

        async def play(request: Recorded, wire: Wire) -> None:
            wire.limit, wire.reset = after, reset
            if after == 0:
                wire.cut()
            await _play_stream(request, wire, [*pieces, wire.cut], _Tail(), headers)

        self.play(play)

    def hang(self, *, after: Pieces | None = None) -> None:
        """Nothing more ever comes: no head, or with `after` (empty or not) no more than the head and these pieces."""

        async def play(request: Recorded, wire: Wire) -> None:
            if after is None:
                await wire.gone()
            await _play_stream(request, wire, [*(after or ()), wire.gone], _Tail(), None)

        self.play(play)

    def huge(self, size: int, *, status: int = 200, filler: bytes = b"x") -> None:
        """A body of `size` bytes, without a content-length."""

        async def play(_request: Recorded, wire: Wire) -> None:
            block = (filler * (1 + 65536 // len(filler)))[:65536]
            await wire.head(status)
            for start in range(0, size, len(block)):
                await wire.send(block[: size - start])
            await wire.end()

        self.play(play)


@dataclass(frozen=True)
class _Tail:
    """How a stream ends."""

    usage: Sequence[int] | None = (7, 3)
    finish: str | None = "stop"
    done: bool = True
    extra: Mapping[str, Any] | None = None

    def events(self, request: Recorded) -> list[bytes]:
        ends = [] if self.finish is None else [sse({**chunk(model=request.model, finish=self.finish)})]
        if self.usage and request.wants_usage:
            last = {**chunk(model=request.model), "choices": [], "usage": usage_of(self.usage)}
            ends.append(sse({**last, **(self.extra or {})}))
        return [*ends, sse("[DONE]")] if self.done else ends


async def _play_stream(
    request: Recorded, wire: Wire, pieces: list[Any], tail: _Tail, headers: Mapping[str, str] | None
) -> None:
    if not request.wants_stream:
        await _play_whole(request, wire, pieces, tail, headers)
        return
    await wire.head(200, {"content-type": "text/event-stream", **(headers or {})})
    for piece in pieces:
        if isinstance(piece, (str, Mapping, bytes)):
            await wire.send(_event(piece, request.model))
        else:
            await _wait_for(piece)
    for event in tail.events(request):
        await wire.send(event)
    await wire.end()


async def _play_whole(
    request: Recorded, wire: Wire, pieces: list[Any], tail: _Tail, headers: Mapping[str, str] | None
) -> None:
    """The same script for a request that wants one object: half of it is out before anything that is not text."""
    text = "".join(piece for piece in pieces if isinstance(piece, str))
    body = _json(completion(text, request.model, usage=tail.usage))
    half = len(body) // 2
    await wire.head(200, headers, len(body))
    await wire.send(body[:half])
    for piece in pieces:
        if not isinstance(piece, (str, Mapping, bytes)):
            await _wait_for(piece)
    await wire.send(body[half:])


def _event(piece: str | bytes | Mapping[str, Any], model: str) -> bytes:
    if isinstance(piece, bytes):
        return piece
    return sse(chunk(piece, model) if isinstance(piece, str) else piece)


async def _wait_for(what: Any) -> None:
    if what is None:
        return
    if isinstance(what, (int, float)):
        await anyio.sleep(what)
    elif isinstance(what, threading.Event):
        await anyio.to_thread.run_sync(what.wait, abandon_on_cancel=True)
    elif callable(what):
        result = what()
        if isinstance(result, Awaitable):
            await result
    else:
        await what.wait()


def _words(text: str) -> list[str]:
    return [word + " " for word in text.split(" ")[:-1]] + [text.rpartition(" ")[2]] if text else []


def _json(body: Any) -> bytes:
    if isinstance(body, bytes):
        return body
    return (body if isinstance(body, str) else json.dumps(body, ensure_ascii=False)).encode()


class _Connection(asyncio.Protocol):
    """One TCP connection: requests in, answers out, one after the other."""

    def __init__(self, router: ScriptedRouter) -> None:
        self._router = router
        self._number = router.take_number()
        self._buffer = bytearray()
        self._inbox: asyncio.Queue[Recorded] = asyncio.Queue()
        self._writable = asyncio.Event()
        self._writable.set()
        self._playing: Recorded | None = None

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._router.connections.add(self)
        self._task = asyncio.get_running_loop().create_task(self._serve())

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (request := self._parse()) is not None:
            self._inbox.put_nowait(request)

    def connection_lost(self, _error: Exception | None) -> None:
        self._router.connections.discard(self)
        if self._playing is not None:
            self._router.disconnects.append(self._playing)
        self._router.changed()
        self._writable.set()
        self._task.cancel()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    async def write(self, data: bytes) -> None:
        self._transport.write(data)
        await self._writable.wait()

    def abort(self) -> None:
        self._playing = None
        self._transport.abort()

    def _parse(self) -> Recorded | None:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return None
        first, *lines = self._buffer[:end].decode("latin-1").split("\r\n")
        headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        stop = end + 4 + int(headers.get("content-length", 0))
        if len(self._buffer) < stop:
            return None
        method, target, _ = first.split(" ", 2)
        body = bytes(self._buffer[end + 4 : stop])
        del self._buffer[:stop]
        return Recorded(method, target, headers, body, self._number)

    async def _serve(self) -> None:
        while not self._transport.is_closing():
            request = await self._inbox.get()
            self._playing = request
            play = self._router.take(request)
            wire = Wire(self, self._router.headers)
            try:
                await play(request, wire)
            except _CutError:
                self._end(reset=wire.reset)
            except Exception as error:  # noqa: BLE001 - the test is told what its script did
                self._router.errors.append(error)
                self._end(reset=True)
            self._playing = None
            self._router.finished += 1
            self._router.changed()
            if request.headers.get("connection", "").lower() == "close":
                self._transport.close()

    def _end(self, *, reset: bool) -> None:
        self._playing = None
        if reset:
            raw = self._transport.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.close()


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
        self.connections: set[_Connection] = set()
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
        await self._until(lambda: len(self.chats) >= count, f"{count} requests")
        return self.chats[count - 1]

    async def saw_disconnect(self, count: int = 1) -> Recorded:
        """Wait for the count-th client that hung up in the middle of its answer."""
        await self._until(lambda: len(self.disconnects) >= count, f"{count} disconnects")
        return self.disconnects[count - 1]

    async def saw_end(self, count: int = 1) -> None:
        """Wait until so many answers are out."""
        await self._until(lambda: self.finished >= count, f"{count} finished answers")

    def wait(self, what: Callable[..., Awaitable[Any]], *args: Any) -> Any:
        """In a test without a loop: `upstream.wait(upstream.saw_request, 2)`."""
        if self._portal is None:
            raise RuntimeError("only inside `with ScriptedRouter() as upstream`")
        return self._portal.call(what, *args)

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: _Connection(self), "127.0.0.1", self.port, ssl=self._ssl, backlog=2048
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
        await wire.whole(200, _json(body))

    async def _until(self, reached: Callable[[], bool], what: str) -> None:
        try:
            with anyio.fail_after(PATIENCE_SECONDS):
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
    await wire.whole(404, _json({"error": {"message": "no such path", "type": "not_found_error", "code": None}}))


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
        await wire.whole(200, _json({"requests": seen, "disconnects": len(router.disconnects)}))

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
