"""What comes back: deltas or a whole completion, what they used, or how the attempt failed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from decimal import Decimal
from enum import StrEnum
from typing import Any

from chomp_mcp import wire
from chomp_mcp.frozen import struct


@struct(frozen=True, slots=True)
class Usage:
    """Tokens, in OpenTelemetry's words; `input_tokens` includes the cached ones, `output_tokens` the reasoning."""

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    estimated: bool = False
    """The router sent no usage: counted from the text, four characters a token."""
    cache_write_tokens: int = 0
    """Of the input: what was put into the cache, which costs more than plain input does."""
    cache_write_hour_tokens: int = 0
    """Of these: what is kept for an hour, which costs more again."""
    reasoning_tokens: int = 0
    service_tier: str = ""
    """What the router says it was served as (`priority`, `flex`), which has prices of its own."""


class FailureKind(StrEnum):
    """What a failed attempt tells us; what follows from it is the table in policy/failover.py."""

    TRANSIENT = "transient"
    TIMEOUT = "timeout"
    RATE_LIMITED = "rate_limited"
    QUOTA = "quota"
    BAD_KEY = "bad_key"
    REFUSED_HERE = "refused_here"
    """The key may be well: this model, this place or this account does not go together, or nobody said why."""
    NO_SUCH_MODEL = "no_such_model"
    TOO_LONG = "too_long"
    NOT_TAKEN = "not_taken"
    """The request cannot be put to this router at all (a message that is but a picture, to one that takes none)."""
    CALLER_FAULT = "caller_fault"
    NOT_CAPABLE = "not_capable"
    """The model lacks something that the request needs."""
    CUT = "cut"
    """Anything after the first delta."""
    LOCAL = "local"
    """This machine has no more to give: no file, no free connection. Nobody else's failure."""
    HUNG_UP = "hung_up"
    """The caller left."""


@struct(frozen=True, slots=True)
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
    why: str = ""
    """What a refusal is about: `region`, `terms`, `provider`, `plan`, `network`, a need that
    the model lacks, or empty: it gave no reason."""
    usage: Usage | None = None
    """What the router counted for it all the same."""
    cost_usd: Decimal | None = None
    """What the router says it cost all the same."""
    resent: bool = False
    """The request went out twice, first on an old connection that was dead; it does not go out a third time."""


@struct(frozen=True, slots=True)
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

    __slots__ = ("_choices", "_chunk", "_data", "plain", "raw", "unread")

    def __init__(
        self,
        data: bytes | None = None,
        plain: str = "",
        *,
        chunk: dict[str, Any] | None = None,
        raw: bytes = b"",
        unread: int = 0,
    ) -> None:
        self._data = data
        self._chunk = chunk
        self._choices: list[dict[str, Any]] | None = None
        self.plain = plain
        """The text, where whoever made the piece knows that it says nothing else; empty: look into it."""
        self.raw = raw
        """The router's own event, framed, where the request went out as its door's API wrote it."""
        self.unread = unread
        """About how many characters it says, where nobody has looked into it; else 0."""

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
            try:
                parsed = wire.loads(self._data or b"")
            except ValueError:
                parsed = None
            self._chunk = parsed if isinstance(parsed, dict) else {}
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
        """The answer's text in this piece (choice 0), a refusal's words included."""
        if self.plain:
            return self.plain
        said = self.choice
        return text_of(said.get("content")) + text_of(said.get("refusal"))

    @property
    def characters(self) -> int:
        """How much this piece says: text, reasoning and arguments of tool calls, of all choices."""
        if self.plain or self.unread:
            return self.unread or len(self.plain)
        return sum([_characters(choice.get("delta")) for choice in self.choices])

    @property
    def is_real(self) -> bool:
        """Carries content, reasoning or a tool call of any choice: the answer has begun, or goes on."""
        return bool(self.plain or self.unread) or any(_says(choice.get("delta")) for choice in self.choices)

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


_REAL = frozenset({
    "content", "reasoning", "reasoning_content", "reasoning_details", "thinking_blocks", "tool_calls",
    "function_call", "refusal", "audio", "images",
})  # fmt: skip
_LABELS = frozenset({"type", "index", "format"})
MUTE_ENDS = frozenset({"length", "content_filter"})
"""Whoever has no tokens left, or may not speak, has answered without a word."""


def _says(said: Any) -> bool:
    if isinstance(said, dict):
        for name, value in said.items():
            if not value or name not in _REAL:
                continue
            # A number is no answer: no door could show it.
            if isinstance(value, str) or (isinstance(value, (list, dict)) and _is_something(value)):
                return True
    return False


def _is_something(value: Any, depth: int = 8) -> bool:
    """An object whose every field is blank (Snowflake fills in all that there are) is nothing; so is a list of such."""
    # A part or a piece of a tool call may name its kind and its place for ever, and say nothing. What lies deeper than
    # any API nests it counts as something.
    if isinstance(value, dict):
        value = [each for name, each in value.items() if name not in _LABELS]
    if isinstance(value, list) and depth:
        return any(_is_something(each, depth - 1) for each in value)
    return bool(value)


def text_of(content: Any) -> str:
    """A text, or the texts of content parts (Mistral streams those) one after the other."""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else ()
    texts = [part.get("text") or part.get("refusal") for part in parts if isinstance(part, dict)]
    return "".join(text for text in texts if isinstance(text, str))


def _characters(said: Any) -> int:
    if not isinstance(said, dict):
        return 0
    count = len(text_of(said.get("content")))
    for text in (said.get("reasoning_content") or said.get("reasoning"), said.get("refusal")):
        if isinstance(text, str):
            count += len(text)
    calls = said.get("tool_calls")
    for call in calls if isinstance(calls, list) else ():
        function = call.get("function") if isinstance(call, dict) else None
        arguments = function.get("arguments") if isinstance(function, dict) else None
        if isinstance(arguments, str):
            count += len(arguments)
    return count


@struct(frozen=True, slots=True)
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
    def characters(self) -> int:
        """How much it says: text, reasoning and arguments of tool calls, of all choices."""
        choices = self.body.get("choices")
        count = 0
        for choice in choices if isinstance(choices, list) else ():
            if isinstance(choice, dict):
                count += _characters(choice.get("message")) or len(text_of(choice.get("text")))
        return count

    @property
    def is_answer(self) -> bool:
        """At least one choice says, calls or refuses something, or tells why it cannot."""
        choices = self.body.get("choices")
        for choice in choices if isinstance(choices, list) else ():
            if isinstance(choice, dict) and (_says(choice.get("message")) or choice.get("finish_reason") in MUTE_ENDS):
                return True
        return False

    @property
    def images(self) -> list[str]:
        """The URLs, mostly `data:` ones, of its pictures (OpenRouter's `message.images`, or parts of its content)."""
        said = self.message
        rows = [row for name in ("images", "content") if isinstance(row := said.get(name), list)]
        images = [part.get("image_url") for row in rows for part in row if isinstance(part, dict)]
        urls = [image.get("url") if isinstance(image, dict) else image for image in images]
        return [url for url in urls if url and isinstance(url, str)]

    @property
    def text(self) -> str:
        """All that the answer says, for who takes nothing but text: its words, its refusal, its tool calls as JSON.

        Of its pictures it says which came: `(1 picture: image/png, 12,345 bytes)`. What the model thought stands for
        the answer only where there is nothing else.
        """
        said = self.message
        audio = said.get("audio")
        spoken = text_of(audio.get("transcript")) if isinstance(audio, dict) else ""
        calls = {name: said[name] for name in ("tool_calls", "function_call") if _is_something(said.get(name))}
        words = (text_of(said.get("content")), text_of(said.get("refusal")), spoken)
        pictures = []
        for url in self.images:
            head, found, data = url.partition(";base64,")
            is_inline = found and head.startswith("data:")
            size = f"{len(data.rstrip('=')) * 3 // 4:,} bytes"  # four characters of base64 are three bytes
            pictures.append(f"{head.removeprefix('data:')[:60]}, {size}" if is_inline else url[:300])
        count = "1 picture" if len(pictures) == 1 else f"{len(pictures)} pictures"
        seen = f"({count}: {'; '.join(pictures)})" if pictures else ""
        parts = [*words, wire.dumps(calls).decode() if calls else "", seen]
        thought = text_of(said.get("reasoning_content")) or text_of(said.get("reasoning"))
        return "\n\n".join(part for part in parts if part) or thought
