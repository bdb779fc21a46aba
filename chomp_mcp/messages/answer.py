"""What comes back: deltas or a whole completion, what they used, or how the attempt failed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Any

from chomp_mcp import wire

__all__ = ["Completion", "Delta", "ErrorObject", "Failed", "FailureKind", "Usage"]


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens, in OpenTelemetry's words; `input_tokens` includes the cached ones."""

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    estimated: bool = False
    """The router sent no usage: counted from the text, four characters a token."""


class FailureKind(StrEnum):
    """What a failed attempt tells us; what follows from it is the table in policy/failover.py."""

    TRANSIENT = "transient"
    TIMEOUT = "timeout"
    RATE_LIMITED = "rate_limited"
    QUOTA = "quota"
    BAD_KEY = "bad_key"
    NO_SUCH_MODEL = "no_such_model"
    TOO_LONG = "too_long"
    CALLER_FAULT = "caller_fault"
    CUT = "cut"
    """Anything after the first delta."""
    HUNG_UP = "hung_up"
    """The caller left."""


@dataclass(frozen=True, slots=True)
class Failed:
    """A failed attempt, as a value. `body` is the router's error object (message, type, param, code)."""

    kind: FailureKind
    message: str
    status: int | None = None
    retry_after: float | None = None
    """Seconds until the router takes requests again, when it said so."""
    body: Mapping[str, Any] = field(default_factory=dict)
    scope: str = ""
    """What rests: `key`, `model`, `free` (all free models of the key), or empty for the router's own default."""


@dataclass(frozen=True, slots=True)
class ErrorObject:
    """A router's error inside a 200 or a stream, not judged yet: what it means is told by routers/failures.py."""

    error: Any
    """The object, or the text, as the router wrote it."""
    status: int | None = None
    """What the router wrote beside it, if it did."""


class Delta:
    """One piece of a streamed answer: an OpenAI `chat.completion.chunk`, as bytes, as an object, or both.

    A relayed frame stays bytes until somebody looks into it; a dialect that builds chunks hands objects in.
    """

    __slots__ = ("_choices", "_chunk", "_data", "plain", "raw")

    def __init__(
        self, *, data: bytes | None = None, chunk: dict[str, Any] | None = None, plain: str = "", raw: bytes = b""
    ) -> None:
        self._data = data
        self._chunk = chunk
        self._choices: list[dict[str, Any]] | None = None
        self.plain = plain
        """The text, where whoever made the piece knows that it says nothing else; empty: look into it."""
        self.raw = raw
        """The router's own event, framed, where the request went out as its door's API wrote it."""

    @property
    def data(self) -> bytes:
        """The chunk as JSON."""
        if self._data is None:
            self._data = wire.dumps(self._chunk)
        return self._data

    @property
    def chunk(self) -> dict[str, Any]:
        """The chunk as an object; an empty one when the router sent something else."""
        if self._chunk is None:
            self._chunk = _parse_chunk(self._data or b"")
        return self._chunk

    @property
    def choices(self) -> list[dict[str, Any]]:
        if self._choices is None:
            choices = self.chunk.get("choices")
            self._choices = [c for c in choices if isinstance(c, dict)] if isinstance(choices, list) else []
        return self._choices

    @property
    def choice(self) -> dict[str, Any]:
        """The delta of choice 0, or an empty object."""
        for choice in self.choices:
            if choice.get("index", 0) == 0:
                delta = choice.get("delta")
                return delta if isinstance(delta, dict) else {}
        return {}

    @property
    def text(self) -> str:
        """The answer's text in this piece (choice 0)."""
        if self.plain:
            return self.plain
        content = self.choice.get("content")
        return content if isinstance(content, str) else ""

    @property
    def characters(self) -> int:
        """How much this piece says: text, reasoning and arguments of tool calls, of all choices."""
        if self.plain:
            return len(self.plain)
        return sum([_characters(choice.get("delta")) for choice in self.choices])

    @property
    def is_real(self) -> bool:
        """Carries content, reasoning or a tool call of any choice: the answer has begun."""
        return bool(self.plain) or any(
            delta.get(name)
            for choice in self.choices
            if isinstance(delta := choice.get("delta"), dict)
            for name in _REAL
        )

    @property
    def finish_reason(self) -> str | None:
        for choice in () if self.plain else self.choices:
            if choice.get("finish_reason"):
                return str(choice["finish_reason"])
        return None

    @property
    def is_usage_only(self) -> bool:
        """OpenAI's last chunk when `include_usage` is on: usage, and no choice."""
        return not self.plain and bool(self.chunk.get("usage")) and not self.choices


_REAL = ("content", "reasoning", "reasoning_content", "tool_calls", "function_call", "refusal", "audio")


def _characters(said: Any) -> int:
    if not isinstance(said, dict):
        return 0
    texts = [said.get("content"), said.get("reasoning_content") or said.get("reasoning")]
    calls = said.get("tool_calls")
    for call in calls if isinstance(calls, list) else ():
        function = call.get("function") if isinstance(call, dict) else None
        texts.append(function.get("arguments") if isinstance(function, dict) else None)
    return sum([len(text) for text in texts if isinstance(text, str)])


def _parse_chunk(data: bytes) -> dict[str, Any]:
    try:
        parsed = wire.loads(data)
    except ValueError:
        return {}
    return parsed if isinstance(parsed, dict) else {}


@dataclass(frozen=True, slots=True)
class Completion:
    """A whole answer: OpenAI's `chat.completion` object, and what we read of it."""

    body: Mapping[str, Any]
    usage: Usage | None = None
    cost_usd: Decimal | None = None
    """What the router itself says it cost."""
    raw: bytes = b""
    """The router's own body, where the request went out as its door's API wrote it."""

    @property
    def _choice(self) -> dict[str, Any]:
        choices = self.body.get("choices")
        first = choices[0] if isinstance(choices, list) and choices else None
        return first if isinstance(first, dict) else {}

    @property
    def message(self) -> dict[str, Any]:
        message = self._choice.get("message")
        return message if isinstance(message, dict) else {}

    @property
    def finish_reason(self) -> str | None:
        """Why choice 0 ended, in the router's word."""
        reason = self._choice.get("finish_reason")
        return reason if isinstance(reason, str) else None

    @property
    def text(self) -> str:
        """The answer's text; the tool calls as JSON when the model answered with those alone."""
        content = self.message.get("content")
        if isinstance(content, str) and content:
            return content
        calls = self.message.get("tool_calls")
        return wire.dumps({"tool_calls": calls}).decode() if calls else ""
