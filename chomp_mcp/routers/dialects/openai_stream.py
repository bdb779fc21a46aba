"""An OpenAI stream, frame by frame: relayed in the router's own bytes, mended only where a client would stumble."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from chomp_mcp.messages import Completion, Delta, Failed, FailureKind, Usage
from chomp_mcp.routers import failures
from chomp_mcp.routers.dialects.answers import (
    decode,
    failed_in,
    loads,
    nonsense,
    read_cost,
    read_usage,
    share_reasoning,
)
from chomp_mcp.routers.dialects.framing import MAX_FRAME_BYTES, Events

__all__ = ["StreamDecoder", "as_chunks"]

_SSE_STARTS = b"deir:\xef"
"""data, event, id, retry, a comment, a byte order mark; a body that starts otherwise is no stream."""


class StreamDecoder:
    """Implements `dialects.Decoder` for `text/event-stream` of `chat.completion.chunk` objects.

    A router that answers with one JSON body all the same (mostly an error, or it ignored `stream`) is understood too.
    """

    __slots__ = (
        "_body",
        "_calls",
        "_events",
        "_now",
        "_seen",
        "_sniffing",
        "cost_usd",
        "done",
        "error",
        "finished",
        "usage",
    )

    def __init__(self, now: float = 0.0) -> None:
        self.usage: Usage | None = None
        self.cost_usd: Decimal | None = None
        self.finished = False
        self.error: Failed | None = None
        self._now = now
        self._events = Events()
        self._sniffing = True
        self._body: bytearray | None = None
        self._seen = False
        self.done = False
        self._calls: dict[int, tuple[int, Any]] = {}

    def feed(self, chunk: bytes) -> list[Delta]:
        """The deltas that these bytes complete; nothing after an error."""
        if self.error is not None:
            return []
        if self._sniffing:
            chunk = self._sniff(chunk)
        if self._body is not None:
            self._body += chunk
            self._refuse_size(len(self._body) > MAX_FRAME_BYTES)
            return []
        deltas = []
        for name, data in self._events.feed(chunk):
            delta = self._frame(name, data)
            if delta is not None:
                deltas.append(delta)
            elif self.error is not None:
                return deltas
        self._refuse_size(self._events.overflow)
        return deltas

    def close(self) -> list[Delta]:
        """What the last bytes hold: an event without its blank line (a half one is dropped), or a whole body."""
        if self.error is not None:
            return []
        if self._body is not None:
            return self._whole(decode(bytes(self._body), self._now))
        deltas = [self._frame(name, data) for name, data in self._events.close() if _is_whole(data)]
        if not self._seen:
            self.error = nonsense(b"")
        return [delta for delta in deltas if delta is not None]

    def _sniff(self, chunk: bytes) -> bytes:
        chunk = chunk.lstrip()
        if chunk:
            self._sniffing = False
            if chunk[0] not in _SSE_STARTS:
                self._body = bytearray()
        return chunk

    def _frame(self, name: bytes, data: bytes) -> Delta | None:
        """One event. Parsing is cheaper than a handful of byte tests, and nothing that is not JSON goes on."""
        try:
            chunk = loads(data)
        except ValueError:
            chunk = None
        if not isinstance(chunk, dict) or name == b"error":
            self._odd(name, data)
            return None
        self._seen = True
        if _is_plain(chunk) and not self.done:
            return Delta(data=data, chunk=chunk)
        self._learn(chunk)
        if self.done:
            return None
        self.error = failed_in(chunk, self._now)
        return None if self.error else self._mended(chunk, data)

    def _odd(self, name: bytes, data: bytes) -> None:
        """The end mark, an `event: error`, or garbage."""
        text = data.strip()
        self._seen = self._seen or bool(text)
        if name == b"error":
            self.error = failures.judge_error(_error_object(text), None, self._now)
        elif text == b"[DONE]":
            self.done = self.finished = True
        elif text and not self.done:
            self.error = Failed(FailureKind.TRANSIENT, "The router's stream holds something that is not a JSON object.")

    def _learn(self, chunk: Mapping[str, Any]) -> None:
        groq = chunk.get("x_groq")
        usage = chunk.get("usage") or (groq.get("usage") if isinstance(groq, Mapping) else None)
        self.usage = read_usage(usage) or self.usage
        cost = read_cost(chunk)
        self.cost_usd = self.cost_usd if cost is None else cost

    def _mended(self, chunk: dict[str, Any], data: bytes) -> Delta | None:
        """The chunk as OpenAI would have sent it, in the router's own bytes where nothing had to change."""
        choices = [choice for choice in _list(chunk.get("choices")) if isinstance(choice, dict)]
        deltas = [delta for choice in choices if isinstance(delta := choice.get("delta"), dict)]
        shared = [share_reasoning(delta) for delta in deltas]
        changed = self._number_calls(choices) or any(shared)
        if chunk.get("usage"):
            # OpenRouter repeats the finished choice in its usage chunk; OpenAI's has none.
            if "choices" not in chunk or (self.finished and choices and not any(map(_says, deltas))):
                chunk["choices"], changed = [], True
        elif "choices" not in chunk or (self.finished and not choices):
            return None  # Zen's cost chunk, and whatever else is no part of an answer
        self.finished = self.finished or any(choice.get("finish_reason") for choice in choices)
        return Delta(data=None if changed else data, chunk=chunk)

    def _number_calls(self, choices: list[dict[str, Any]]) -> bool:
        """Tool calls without an index get one: OpenAI's clients put the pieces together by it."""
        changed = False
        for choice in choices:
            delta = choice.get("delta")
            for call in _list(delta.get("tool_calls") if isinstance(delta, dict) else None):
                if isinstance(call, dict) and not isinstance(call.get("index"), int):
                    call["index"] = self._call_index(choice.get("index") or 0, call)
                    changed = True
        return changed

    def _call_index(self, choice: int, call: Mapping[str, Any]) -> int:
        """The next index for a new id or name, the last one for a piece that goes on."""
        index, last_id = self._calls.get(choice, (-1, None))
        function, call_id = call.get("function"), call.get("id")
        is_named = isinstance(function, Mapping) and bool(function.get("name"))
        if index < 0 or (call_id and call_id != last_id) or (not call_id and is_named):
            index += 1
        self._calls[choice] = (index, call_id or last_id)
        return index

    def _refuse_size(self, too_large: bool) -> None:
        if too_large:
            size = MAX_FRAME_BYTES // 2**20
            self.error = Failed(FailureKind.TRANSIENT, f"The router sent one event of more than {size} MiB.")

    def _whole(self, answer: Completion | Failed) -> list[Delta]:
        if isinstance(answer, Failed):
            self.error = answer
            return []
        self.usage, self.cost_usd, self.finished = answer.usage, answer.cost_usd, True
        return as_chunks(answer.body)


def as_chunks(body: Mapping[str, Any]) -> list[Delta]:
    """A whole `chat.completion` as the chunks of a stream: the answer, then its usage."""
    head = {**{k: v for k, v in body.items() if k not in {"choices", "usage"}}, "object": "chat.completion.chunk"}
    choices = [
        {**{k: v for k, v in choice.items() if k != "message"}, "delta": _as_delta(choice.get("message"))}
        for choice in _list(body.get("choices"))
        if isinstance(choice, Mapping)
    ]
    chunks = [Delta(chunk={**head, "choices": choices})]
    return [*chunks, Delta(chunk={**head, "choices": [], "usage": body["usage"]})] if body.get("usage") else chunks


def _as_delta(message: Any) -> dict[str, Any]:
    delta = dict(message) if isinstance(message, Mapping) else {}
    if calls := _list(delta.get("tool_calls")):
        delta["tool_calls"] = [
            {"index": index, **call} for index, call in enumerate(calls) if isinstance(call, Mapping)
        ]
    return delta


def _is_plain(chunk: Mapping[str, Any]) -> bool:
    """Nothing to learn and nothing to mend: nearly all frames."""
    if chunk.get("usage") or chunk.get("error") or "cost" in chunk or "x_groq" in chunk:
        return False
    choices = chunk.get("choices")
    if type(choices) is not list or not choices:
        return False
    for choice in choices:
        delta = choice.get("delta") if type(choice) is dict else None
        if type(delta) is not dict or "reasoning" in delta or "tool_calls" in delta or choice.get("finish_reason"):
            return False
    return True


def _says(delta: Mapping[str, Any]) -> bool:
    return any(value for name, value in delta.items() if name != "role")


def _error_object(text: bytes) -> Any:
    try:
        parsed = loads(text)
    except ValueError:
        return text.decode("utf-8", "replace")
    return parsed.get("error", parsed) if isinstance(parsed, Mapping) else parsed


def _is_whole(data: bytes) -> bool:
    if data.strip() == b"[DONE]":
        return True
    try:
        return isinstance(loads(data), Mapping)
    except ValueError:
        return False


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
