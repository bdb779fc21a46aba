"""An OpenAI stream, frame by frame: relayed in the router's own bytes, mended only where a client would stumble."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from chomp_mcp.dialects.openai.alike import Alike
from chomp_mcp.dialects.openai.answer import decode, error_in, loads, read_cost, read_usage, share_reasoning
from chomp_mcp.dialects.stream.decoder import FrameDecoder, Whole
from chomp_mcp.dialects.stream.framing import Events, Frames
from chomp_mcp.messages import Delta, ErrorObject

__all__ = ["StreamDecoder"]


class StreamDecoder(FrameDecoder):
    """`text/event-stream` of `chat.completion.chunk` objects.

    The router's usage comes out as OpenAI tells it: in one chunk of its own, the last one, whatever chunk it came in.
    """

    __slots__ = ("_alike", "_calls", "_ended", "_last")

    def __init__(self, frames: Frames | None = None, whole: Whole = decode) -> None:
        super().__init__(frames or Events(), whole)
        self._alike = Alike()
        self._calls: dict[int, tuple[int, Any]] = {}
        self._ended: set[int] = set()
        """The choices that have told their finish reason."""
        self._last: Delta | None = None

    def close(self) -> list[Delta]:
        deltas = super().close()
        return deltas if self._last is None or self.error else [*deltas, self._last]

    def _frame(self, name: bytes, data: bytes) -> Iterable[Delta]:
        """One event. Nothing goes on that is not JSON, be it parsed or known to be like a frame that was."""
        if not (name or self.done) and (text := self._alike.text_in(data)):
            return (Delta(data=data, plain=text),)
        try:
            chunk = loads(data) if b"{" in data else None  # an error costs more than all else here
        except ValueError:
            chunk = None
        if not isinstance(chunk, dict) or name == b"error":
            self._odd(name, data)
            return ()
        self._seen = True
        if not self.done and _is_plain(chunk):
            self._alike.learn(data, chunk)
            return (Delta(data=data, chunk=chunk),)
        self._learn(chunk)
        if self.done:
            return ()
        self.error = error_in(chunk)
        return () if self.error else self._mended(chunk, data)

    def _odd(self, name: bytes, data: bytes) -> None:
        """The end mark, an `event: error`, or garbage."""
        text = data.strip()
        self._seen = self._seen or bool(text)
        if name == b"error":
            self.error = ErrorObject(_error_object(text))
        elif text == b"[DONE]":
            self.done = self.finished = True
        elif text and not self.done:
            self._garbage()

    def _learn(self, chunk: Mapping[str, Any]) -> None:
        groq = chunk.get("x_groq")
        usage = chunk.get("usage") or (groq.get("usage") if isinstance(groq, dict) else None)
        self.usage = read_usage(usage) or self.usage
        cost = read_cost(chunk)
        self.cost_usd = self.cost_usd if cost is None else cost

    def _mended(self, chunk: dict[str, Any], data: bytes) -> Iterable[Delta]:
        """The chunk as OpenAI would have sent it, in the router's own bytes where nothing had to change."""
        choices = [choice for choice in _list(chunk.get("choices")) if isinstance(choice, dict)]
        deltas = [delta for choice in choices if isinstance(delta := choice.get("delta"), dict)]
        shared = [share_reasoning(delta) for delta in deltas]
        changed = self._number_calls(choices) or any(shared)
        if usage := chunk.get("usage"):
            self._keep(chunk, usage)
            # What is left says nothing new: OpenRouter repeats the finished choice in its usage chunk.
            is_empty = self._ended.issuperset(map(_index, choices)) and not any(map(_says, deltas))
            changed = True
        else:
            is_empty = self.finished and not choices  # Zen's cost chunk
        if is_empty or "choices" not in chunk:
            return ()
        self._ended.update(_index(choice) for choice in choices if choice.get("finish_reason"))
        self.finished = self.finished or bool(self._ended)
        return (Delta(data=None if changed else data, chunk=chunk),)

    def _keep(self, chunk: dict[str, Any], usage: Any) -> None:
        """Take the usage out of the chunk and keep it for the end, with all that the router tells in it."""
        del chunk["usage"]
        if read_usage(usage):
            head = {name: value for name, value in chunk.items() if name not in {"choices", "x_groq"}}
            self._last = Delta(chunk={**head, "choices": [], "usage": usage})

    def _number_calls(self, choices: list[dict[str, Any]]) -> bool:
        """Tool calls without an index get one: OpenAI's clients put the pieces together by it."""
        changed = False
        for choice in choices:
            delta = choice.get("delta")
            for call in _list(delta.get("tool_calls") if isinstance(delta, dict) else None):
                if isinstance(call, dict) and not isinstance(call.get("index"), int):
                    call["index"] = self._call_index(_index(choice), call)
                    changed = True
        return changed

    def _call_index(self, choice: int, call: Mapping[str, Any]) -> int:
        """The next index for a new id or name, the last one for a piece that goes on."""
        index, last_id = self._calls.get(choice, (-1, None))
        function, call_id = call.get("function"), call.get("id")
        is_named = isinstance(function, dict) and bool(function.get("name"))
        if index < 0 or (call_id and call_id != last_id) or (not call_id and is_named):
            index += 1
        self._calls[choice] = (index, call_id or last_id)
        return index


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


def _index(choice: Mapping[str, Any]) -> int:
    index = choice.get("index", 0)
    return index if isinstance(index, int) else 0


def _says(delta: Mapping[str, Any]) -> bool:
    return any(value for name, value in delta.items() if name != "role")


def _error_object(text: bytes) -> Any:
    try:
        parsed = loads(text)
    except ValueError:
        return text.decode("utf-8", "replace")
    return parsed.get("error", parsed) if isinstance(parsed, dict) else parsed


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
