"""The built-in router without a key or a socket: answers the same every time, and fails on request.

`echo`, `lorem?tokens=200`, `slow?seconds=70`, `429?retry_after=2`, `500`, `cut?after=40`, `garbage`, `empty`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import cycle, islice
from typing import Any
from urllib.parse import parse_qsl

from chomp_mcp import wire
from chomp_mcp.dialects.openai.request import decode, decoder, encode
from chomp_mcp.dialects.values import as_objects, as_text
from chomp_mcp.messages import Model, Router, WireRequest

__all__ = ["Frame", "Script", "decode", "decode_list", "decoder", "encode", "encode_list", "models", "play"]

_CONTEXT = 131_072
_MOST_FRAMES = 100_000
_LOREM = (
    "Lorem ipsum dolor sit amet, consectetur adipiscing elit, sed do eiusmod tempor incididunt ut labore et dolore "
    "magna aliqua. Ut enim ad minim veniam, quis nostrud exercitation ullamco laboris nisi ut aliquip ex ea commodo."
)


@dataclass(frozen=True, slots=True)
class Frame:
    """Bytes, and how many seconds to wait before them."""

    delay_seconds: float
    data: bytes


@dataclass(frozen=True, slots=True)
class Script:
    """One HTTP answer as it is to be played; `cut`: the connection dies after the last frame."""

    status: int
    headers: Mapping[str, str]
    frames: tuple[Frame, ...]
    cut: bool = False


def play(body: Mapping[str, Any], stream: bool) -> Script:
    """What the mock router answers to this chat-completions body.

    Args:
        body: as `encode` wrote it; `model` is a name of the table below with its parameters (`lorem?tokens=200`).
        stream: answer with server-sent events.
    """
    name, _, query = str(body.get("model", "")).partition("?")
    part = _PARTS.get(name)
    if part is None:
        text = f"The model `{name}` does not exist or you do not have access to it."
        return _error(404, "invalid_request_error", "model_not_found", text)
    value, fault = part.default, ""
    for each, text in parse_qsl(query, keep_blank_values=True):
        value = float(text) if text.replace(".", "", 1).isdigit() else -1
        if each != part.parameter:
            known = f"its only parameter is {part.parameter}" if part.parameter else "it takes no parameter"
            fault = f"unknown parameter {each!r}; {known}"
        elif not 0 <= value <= part.maximum:
            fault = f"{each} must be a number from 0 to {part.maximum:g}"
        if fault:
            return _error(400, "invalid_request_error", "invalid_parameter", f"mock/{name}: {fault}")
    call = _Call(body, stream)
    match name:
        case "echo":
            messages = as_objects(body.get("messages"))
            if text := _text(messages[-1]) if messages else "":
                return call.answer(text)
            return _error(400, "invalid_request_error", "invalid_messages", "The last message holds no text to echo.")
        case "lorem":
            return call.answer(_lorem_text(int(value)))
        case "slow":  # a word a second, so that there is partial text to see
            words = max(1, math.ceil(value))
            return call.answer(_lorem_text(words), pace=value / words)
        case "429":
            text = f"Rate limit reached for model `429`. Please try again in {value:g}s."
            failed = _error(429, "requests", "rate_limit_exceeded", text)
            return replace(failed, headers={**failed.headers, "retry-after": f"{value:g}"})
        case "500":
            return _error(500, "server_error", None, "The server had an error while processing your request.")
        case "cut":
            return call.cut(_lorem_text(int(value))[: int(value)])
    garbage = b"data: {]<garbage>\n\n" if stream else b"{]<garbage>"
    return Script(200, _SSE if stream else _JSON, (Frame(0.0, garbage),) if name == "garbage" else ())


def models(router: str = "mock") -> tuple[Model, ...]:
    """The list: every name without its parameter."""
    zero = Decimal(0)
    return tuple(
        Model(router, name, part.says, _CONTEXT, _CONTEXT, price_in=zero, price_out=zero, free=True)
        for name, part in _PARTS.items()
    )


def encode_list(router: Router, key: str) -> WireRequest | None:  # noqa: ARG001 - the protocol's signature
    """None: the list is the table of this module."""
    return None


def decode_list(router: Router, body: bytes) -> tuple[Model, ...]:  # noqa: ARG001 - the protocol's signature
    """The fixed list."""
    return models(router.id)


@dataclass(frozen=True, slots=True)
class _Call:
    body: Mapping[str, Any]
    stream: bool

    def answer(self, text: str, pace: float = 0.0) -> Script:
        """The text a word at a time, `pace` seconds before each; as one body after the same time when not streaming."""
        words = _words(text)
        limit = self.body.get("max_completion_tokens") or self.body.get("max_tokens")
        finish = "stop"
        if isinstance(limit, int) and len(words) > limit:
            words, finish = words[: max(0, limit)], "length"
        usage = self._usage(len(words))
        if not self.stream:
            return Script(200, _JSON, (Frame(pace * len(words), self._whole("".join(words), finish, usage)),))
        frames = [Frame(pace, self._event({"content": piece})) for piece in _pieces(words)]
        tail = [self._event({}, finish), self._event(None, usage=usage), b"data: [DONE]\n\n"]
        head = Frame(0.0, self._event({"role": "assistant", "content": ""}))
        return Script(200, _SSE, (head, *frames, Frame(0.0, b"".join(tail))))

    def cut(self, text: str) -> Script:
        """The beginning of an answer, and then the connection dies."""
        if not self.stream:
            whole = self._whole(text, "stop", self._usage(len(_words(text))))
            return Script(200, _JSON, (Frame(0.0, whole[: len(whole) // 2]),), cut=True)
        frames = tuple(Frame(0.0, self._event({"content": piece})) for piece in _pieces(_words(text)))
        return Script(200, _SSE, frames, cut=True)

    def _head(self, kind: str) -> dict[str, Any]:
        return {"id": "chatcmpl-mock", "object": kind, "created": 0, "model": self.body.get("model")}

    def _whole(self, text: str, finish: str, usage: Mapping[str, int]) -> bytes:
        choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": finish}
        return wire.dumps({**self._head("chat.completion"), "choices": [choice], "usage": usage})

    def _event(self, delta: Any, finish: str | None = None, usage: Mapping[str, int] | None = None) -> bytes:
        choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish}]
        chunk = {**self._head("chat.completion.chunk"), "choices": choices, **({"usage": usage} if usage else {})}
        return b"data: " + wire.dumps(chunk) + b"\n\n"

    def _usage(self, answered: int) -> dict[str, int]:
        asked = max(1, math.ceil(sum(len(_text(m)) for m in as_objects(self.body.get("messages"))) / 4))
        return {"prompt_tokens": asked, "completion_tokens": answered, "total_tokens": asked + answered}


_JSON = {"content-type": "application/json"}
_SSE = {"content-type": "text/event-stream"}


@dataclass(frozen=True, slots=True)
class _Part:
    """A row of the table: what the list says of it, and its one parameter with default and maximum."""

    says: str
    parameter: str = ""
    default: float = 0.0
    maximum: float = 100_000


_PARTS: Mapping[str, _Part] = {
    "echo": _Part("Echoes the last message"),
    "lorem": _Part("Answers with tokens=200 words", "tokens", 200),
    "slow": _Part("Takes seconds=70", "seconds", 70, 3600),
    "429": _Part("Is rate limited, retry_after=2 seconds", "retry_after", 2),
    "500": _Part("Fails with a server error"),
    "cut": _Part("Dies mid-stream, after=40 characters", "after", 40),
    "garbage": _Part("Answers with no JSON"),
    "empty": _Part("Answers with nothing"),
}


def _error(status: int, kind: str, code: str | None, text: str) -> Script:
    body = {"error": {"message": text, "type": kind, "param": None, "code": code}}
    return Script(status, _JSON, (Frame(0.0, wire.dumps(body)),))


def _lorem_text(words: int) -> str:
    return " ".join(islice(cycle(_LOREM.split()), words))


def _words(text: str) -> list[str]:
    """Pieces that give the text again when joined, each with the white space after it."""
    words = text.split(" ")
    return [f"{word} " for word in words[:-1]] + [word for word in words[-1:] if word]


def _pieces(words: list[str]) -> list[str]:
    """A word each, and no more frames than `_MOST_FRAMES` for an echo of megabytes."""
    size = max(1, math.ceil(len(words) / _MOST_FRAMES))
    return ["".join(words[at : at + size]) for at in range(0, len(words), size)]


def _text(message: Mapping[str, Any]) -> str:
    content = message.get("content")
    return content if isinstance(content, str) else "".join(as_text(part.get("text")) for part in as_objects(content))
