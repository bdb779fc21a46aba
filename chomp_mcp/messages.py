"""The nouns that all layers speak.

Everything here is plain data: no I/O, no clock. Times are epoch seconds (`_at`, `_until`), durations seconds
(`_seconds`) unless the name ends in `_ms`, money is `Decimal` US dollars (`_usd`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from enum import StrEnum
from typing import Any

from chomp_mcp import wire
from chomp_mcp.errors import InvalidRequest, TooLarge

__all__ = [
    "AUTO",
    "MAX_PROMPT_BYTES",
    "OWNER",
    "Attempt",
    "Caller",
    "ChatRequest",
    "Completion",
    "Delta",
    "Failed",
    "FailureKind",
    "Job",
    "JobStatus",
    "Model",
    "Plan",
    "Receipt",
    "Route",
    "Router",
    "Usage",
    "WireRequest",
    "is_conversation",
    "receipt_line",
]

AUTO = "auto"
MAX_PROMPT_BYTES = 4 * 1024 * 1024
"""Text of one prompt, system prompt included; more than any model reads today."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: `id` is "owner" or the SHA-256 of the caller's token in hex, never the token."""

    id: str
    is_owner: bool = False
    limited: bool = False
    """Asks over HTTP, where the rate limit holds."""


OWNER = Caller("owner", is_owner=True)


@dataclass(frozen=True, slots=True)
class Router:
    """A named place that serves models: one row of catalog.toml or of the user's config.toml."""

    id: str
    name: str
    url: str
    """Base URL without a trailing slash; the dialect adds its paths."""
    dialect: str = "openai"
    key_variable: str = ""
    """The environment variable that holds the owner's key; empty: the router needs none."""
    keys_page: str = ""
    """Where a person gets a key."""
    headers: Mapping[str, str] = field(default_factory=dict)
    models: tuple[str, ...] = ()
    """Preference list for `auto`, best first; intersected with the live list."""
    models_path: str = "/models"
    """Where the live list is: a path below `url`, or a whole URL."""
    hide: tuple[str, ...] = ()
    """Glob patterns of listed ids that cannot chat, or not for us."""
    max_tokens: str = "max_completion_tokens"
    """The field this router reads the output limit from; the other spelling is renamed to it."""
    drop: tuple[str, ...] = ()
    """Request fields this router refuses; `messages[].name` drops the field inside messages."""
    joins_auto: str = "keyed"
    """keyed: with a key; reachable: when named in the settings or answering; last: when nothing else; never."""
    deprecated: bool = False
    note: str = ""
    """A sentence for the receipt whenever this router answers."""
    free: bool = False
    """Costs nothing by nature (the user's own machine)."""
    quota_scope: str = "key"
    """What a 429 rests: `key`, or `model` where the router counts per model."""
    key_info: str = ""
    """Path below `url` that tells what a key has left, in OpenRouter's shape."""
    session_header: str = ""
    """Header that must carry one stable id per conversation."""
    limits: str = ""
    """The documented free limits in words, shown as `documented` where nothing better is known."""

    @property
    def needs_key(self) -> bool:
        return bool(self.key_variable)


@dataclass(frozen=True, slots=True)
class Model:
    """One entry of a router's list. Prices are USD per million tokens; None is unknown, never free."""

    router: str
    id: str
    name: str = ""
    context_length: int | None = None
    max_output: int | None = None
    price_in: Decimal | None = None
    price_out: Decimal | None = None
    price_cached: Decimal | None = None
    free: bool = False

    @property
    def ref(self) -> str:
        return f"{self.router}/{self.id}"


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """What the caller wants: OpenAI's chat-completions body, with what we interpret taken out of it.

    `body` holds everything but `model`, `router`, `stream` and `stream_options`, untouched; `model` and `router` are
    as the caller wrote them, empty when not said. `stream` asks the router for a stream.
    """

    body: Mapping[str, Any]
    model: str = ""
    router: str = AUTO
    stream: bool = True
    session: str = ""
    """A stable id of the conversation, for routers that insist on one."""
    timeout_seconds: float | None = None
    """How long the caller waits for the first token, all attempts together; None: as long as it takes."""

    @classmethod
    def from_prompt(
        cls,
        prompt: str,
        *,
        model: str = "",
        router: str = AUTO,
        system: str = "",
        options: Mapping[str, Any] | None = None,
    ) -> ChatRequest:
        """A request from words. `options["messages"]` is the conversation before the prompt.

        Raises:
            InvalidRequest: nothing to send, or options of a wrong shape.
            TooLarge: more text than `MAX_PROMPT_BYTES`.
        """
        for name, value in (("prompt", prompt), ("system", system)):
            if not isinstance(value, str):
                raise InvalidRequest(f"{name} is not text.", hint=f"Give {name} as text.", param=name)
        options = dict(_object(options))
        history = options.pop("messages", None) or []
        if not is_conversation(history):
            raise InvalidRequest(
                "options.messages is not a list of messages.",
                hint='Give [{"role": "user", "content": "…"}, …].',
                param="options",
            )
        for ignored in ("stream", "stream_options", "model", "router"):
            options.pop(ignored, None)
        _check_text(prompt, system, bool(history))
        messages = [*([{"role": "system", "content": system}] if system else []), *history]
        if prompt.strip():
            messages.append({"role": "user", "content": prompt})
        return cls(body={"messages": messages, **options}, model=model or "", router=router or AUTO)

    def with_stream(self, stream: bool) -> ChatRequest:
        return replace(self, stream=stream)


def is_conversation(messages: object) -> bool:
    """A list of message objects."""
    return isinstance(messages, list) and all(isinstance(message, Mapping) for message in messages)


def _object(options: Mapping[str, Any] | None) -> Mapping[str, Any]:
    if options is None:
        return {}
    if not isinstance(options, Mapping):
        raise InvalidRequest(
            f"options is a {type(options).__name__}, not an object.",
            hint='Give an object such as {"temperature": 0.2}.',
            param="options",
        )
    return options


def _check_text(prompt: str, system: str, has_history: bool) -> None:
    if not prompt.strip() and not has_history:
        raise InvalidRequest("The prompt is empty.", hint="Say what to ask.", param="prompt")
    size = len(prompt.encode("utf-8", "replace")) + len(system.encode("utf-8", "replace"))
    if size > MAX_PROMPT_BYTES:
        raise TooLarge(
            f"The prompt has {size / 1e6:.1f} MB; the limit is {MAX_PROMPT_BYTES / 1e6:.1f} MB.",
            hint="Shorten it, or send it in parts.",
            param="prompt",
        )


@dataclass(frozen=True, slots=True)
class Route:
    """One concrete try: this router, this model, this key."""

    router: Router
    model: str
    key: str = field(default="", repr=False)
    key_id: str = ""
    """A short hash that names the key in the store, where its cooldown and its quota live."""
    listed: Model | None = None
    """What the router's list says of the model, where it was looked at."""

    @property
    def ref(self) -> str:
        return f"{self.router.id}/{self.model}"


@dataclass(frozen=True, slots=True)
class Plan:
    """The ordered tries. `notes` are the sentences the receipt must tell (mock answered, a model is gone …)."""

    asked: str
    routes: tuple[Route, ...]
    notes: tuple[str, ...] = ()
    free_choice: bool = False
    """The ref left a choice of model or router, so another route may answer."""


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
class Attempt:
    """One call on one route and its outcome: `ok`, or a failure kind."""

    router: str
    model: str
    outcome: str
    status: int | None = None
    ms: int = 0
    message: str = ""

    def as_dict(self) -> dict[str, Any]:
        """The receipt's row: `{router, model, outcome, status, ms}`, and the router's words after a failure."""
        row = {
            "router": self.router,
            "model": self.model,
            "outcome": self.outcome,
            "status": self.status,
            "ms": self.ms,
        }
        return {**row, "message": self.message} if self.message else row


@dataclass(frozen=True, slots=True)
class Receipt:
    """What the caller is told: asked, served, what was tried, what it cost."""

    asked: str
    served: str = ""
    attempts: tuple[Attempt, ...] = ()
    usage: Usage = Usage()
    cost_usd: Decimal | None = None
    """None: the price is unknown. Never 0 for unknown."""
    latency_ms: int = 0
    notes: tuple[str, ...] = ()

    @property
    def cost(self) -> str | None:
        """`cost_usd` as JSON tells it: exactly, without exponents or trailing zeros."""
        return None if self.cost_usd is None else format(self.cost_usd.normalize() + 0, "f")

    def as_dict(self) -> dict[str, Any]:
        """JSON: `cost_usd` is a string or null; `usage.estimated` and `notes` appear only when they say something."""
        usage: dict[str, Any] = {
            "input_tokens": self.usage.input_tokens,
            "output_tokens": self.usage.output_tokens,
            "cached_tokens": self.usage.cached_tokens,
        }
        if self.usage.estimated:
            usage["estimated"] = True
        told: dict[str, Any] = {
            "asked": self.asked,
            "served": self.served,
            "attempts": [attempt.as_dict() for attempt in self.attempts],
            "usage": usage,
            "cost_usd": self.cost,
            "latency_ms": self.latency_ms,
        }
        return {**told, "notes": list(self.notes)} if self.notes else told

    def line(self) -> str:
        return receipt_line(self.as_dict())


def receipt_line(told: Mapping[str, Any]) -> str:
    """A receipt, as JSON tells it, in one line for a person: who answered, tokens, cost, time, what failed before."""
    usage, cost = told["usage"], told["cost_usd"]
    parts = [told["served"] or "no answer", f"{usage['input_tokens']} in, {usage['output_tokens']} out"]
    parts.append("price unknown" if cost is None else f"${cost}")
    parts.append(f"{told['latency_ms'] / 1000:.1f} s")
    failed = [
        f"{tried['router']}/{tried['model']} {tried['outcome']}"
        for tried in told["attempts"]
        if tried["outcome"] != "ok"
    ]
    if failed:
        parts.append("after " + ", ".join(failed))
    return " · ".join([*parts, *told.get("notes", ())])


class Delta:
    """One piece of a streamed answer: an OpenAI `chat.completion.chunk`, as bytes, as an object, or both.

    A relayed frame stays bytes until somebody looks into it; a dialect that builds chunks hands objects in.
    """

    __slots__ = ("_choices", "_chunk", "_data", "plain")

    def __init__(self, *, data: bytes | None = None, chunk: dict[str, Any] | None = None, plain: str = "") -> None:
        self._data = data
        self._chunk = chunk
        self._choices: list[dict[str, Any]] | None = None
        self.plain = plain
        """The text, where whoever made the piece knows that it says nothing else; empty: look into it."""

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


@dataclass(frozen=True, slots=True)
class WireRequest:
    """What a dialect wants sent; `headers` hold the key and never show in a repr."""

    method: str
    url: str
    headers: dict[str, str] = field(repr=False)
    """The request's own: whoever sends it may add to them."""
    body: bytes = b""


class JobStatus(StrEnum):
    """Where a job stands."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    ERROR = "error"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        return self in {JobStatus.DONE, JobStatus.ERROR, JobStatus.CANCELLED}


@dataclass(frozen=True, slots=True)
class Job:
    """A dispatched exchange to collect later. `text` is partial while it runs and stays after an error."""

    id: str
    caller: str
    prompt: str
    system: str
    model: str
    """`router/model`: what was planned, then what answered."""
    router: str
    status: JobStatus
    created_at: float
    finished_at: float | None = None
    text: str = ""
    error: str = ""
    receipt: Mapping[str, Any] | None = None
    process: str = ""
    """The process that runs it; when that is gone, so is the run."""
    request: Mapping[str, Any] | None = None
    """What to send, for a job that another process is to run; dropped once it runs."""
