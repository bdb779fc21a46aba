"""What the scripted router can be told to answer, and in which order."""

from __future__ import annotations

import json
import threading
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import anyio
import anyio.to_thread

from tests.support.scripted_wire import Play, Recorded, Wire

__all__ = ["Script", "as_bytes", "chunk", "completion", "sse"]

HTML = b"<!doctype html><html><body><h1>502 Bad Gateway</h1></body></html>"
Pieces = Iterable[Any]


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
                await wire.whole(200, as_bytes(body), headers)

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
                await wire.whole(200, as_bytes({"error": error}), headers)

        self.play(play)

    def reply(
        self, status: int = 200, body: Any = b"", headers: Mapping[str, str] | None = None, *, before: Any = None
    ) -> None:
        """Exactly this: bytes and text as they are, anything else as JSON."""

        async def play(_request: Recorded, wire: Wire) -> None:
            await wire.whole(status, as_bytes(body), headers)

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
    body = as_bytes(completion(text, request.model, usage=tail.usage))
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


def as_bytes(body: Any) -> bytes:
    if isinstance(body, bytes):
        return body
    return (body if isinstance(body, str) else json.dumps(body, ensure_ascii=False)).encode()
