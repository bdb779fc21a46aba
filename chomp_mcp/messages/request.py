"""Who asks, and what; and what goes out to a router."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import field, replace
from typing import Any, Literal

from chomp_mcp.errors import InvalidRequest, TooLarge
from chomp_mcp.frozen import struct
from chomp_mcp.messages.router import AUTO, Endpoint, Route

MAX_PROMPT_BYTES = 4 * 1024 * 1024
"""Text of one prompt, system prompt included; more than any model reads today."""


@struct(frozen=True, slots=True)
class Caller:
    """Who asks: `id` is "owner" or the SHA-256 of the caller's token in hex, never the token."""

    id: str
    is_owner: bool = False
    limited: bool = False
    """Asks over HTTP, where the rate limit holds."""
    rps: float | None = None
    """Of this caller's token alone, beside the gateway's own."""
    doors: tuple[str, ...] = ()
    """The only ones that this caller's token opens, by the names in policy/grants.py; empty: all."""


OWNER = Caller("owner", is_owner=True)


@struct(frozen=True, slots=True)
class Native:
    """The request as its door's own API wrote it: a route that speaks that dialect gets it untouched.

    The router's answer comes back the same way, as `Delta.raw` and `Completion.raw`.
    """

    dialect: str
    """A name of `dialects.NATIVE`."""
    body: Mapping[str, Any]
    """The whole body; only the model is replaced."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """The client's headers that belong to that API (versions, betas), in lower case; never a credential."""


class Translated(Mapping[str, Any]):
    """A chat-completions body made of another API's as soon as somebody reads it: a native route never does.

    `InvalidRequest`, of whatever reads it first: it cannot be translated.
    """

    __slots__ = ("_made", "_make")

    def __init__(self, make: Callable[[], tuple[Mapping[str, Any], Iterable[str]]]) -> None:
        """`make` gives the body, and what it could not carry, as sentences."""
        self._make = make
        self._made: tuple[Mapping[str, Any], Iterable[str]] | None = None

    def read(self) -> tuple[Mapping[str, Any], Iterable[str]]:
        if self._made is None:
            self._made = self._make()
        return self._made

    def __getitem__(self, name: str) -> Any:
        return self.read()[0][name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.read()[0])

    def __len__(self) -> int:
        return len(self.read()[0])


@struct(frozen=True, slots=True)
class StandIn:
    """What is asked for in place of a model that an agent names by itself."""

    ref: str
    setting: str
    """Where the user said so."""
    is_chosen: bool = False
    """Chosen for this very name; else it only steps in where none of the caller's routers lists that."""


@struct(frozen=True, slots=True)
class ChatRequest:
    """What the caller wants: OpenAI's chat-completions body, with what we interpret taken out of it.

    `body` holds everything but `model`, `router`, `stream` and `stream_options`, untouched; `model` and `router` are
    as the caller wrote them, empty when not said. `stream` asks the router for a stream.
    """

    body: Mapping[str, Any]
    model: str = ""
    router: str = AUTO
    stream: bool = True
    endpoint: Literal["chat"] | Endpoint = "chat"
    """Where `body` goes; the others are OpenAI's endpoints of that name, with their own fields."""
    stream_options: Mapping[str, Any] = field(default_factory=dict)
    """What the caller says of its stream (`include_obfuscation` …); usage is always asked for."""
    session: str = ""
    """A stable id of the conversation, for routers that insist on one."""
    timeout_seconds: float | None = None
    """How long the caller waits for the first token, all attempts together; None: as long as it takes."""
    native: Native | None = None
    """What `body` was translated from, where a door speaks another dialect than chat completions."""
    notes: tuple[str, ...] = ()
    """What `body` lacks of what was asked, as sentences for the receipt of a route that gets it."""
    untranslated: InvalidRequest | None = None
    """Why no route may get `body`: it lacks what only a router of the native dialect can know."""

    needs: frozenset[str] = frozenset()
    """What it needs beside what `body` shows; see `NEEDS`."""
    wishes: tuple[str, ...] = ()
    """Fields of `body` that may be left out where a router refuses them; see policy/wishes.py."""
    stand_in: StandIn | None = None
    """For `model`, where an agent names it by itself."""

    def as_dict(self) -> dict[str, Any]:
        """As JSON, for a job that another process is to run: what doors that make jobs can set."""
        plain = {name: getattr(self, name) for name in ("model", "router", "stream", "session", "timeout_seconds")}
        return {**plain, "body": dict(self.body), "notes": list(self.all_notes), "needs": sorted(self.needs)}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> ChatRequest:
        """The request that `as_dict` told; fields of other versions are passed over."""
        plain = ("body", "model", "router", "stream", "session", "timeout_seconds")
        known = {name: value[name] for name in plain if name in value}
        return cls(**known, notes=tuple(value.get("notes", ())), needs=frozenset(value.get("needs", ())))

    @property
    def said(self) -> Mapping[str, Any]:
        """The body as the client wrote it: to look into, whatever its API."""
        return self.native.body if self.native else self.body

    @property
    def all_notes(self) -> tuple[str, ...]:
        """`notes`, and those of the translation."""
        # The exact type first: nearly all bodies are of it, and to ask an abstract class costs five times as much.
        if type(self.body) is dict or not isinstance(self.body, Translated):
            return self.notes
        return (*self.notes, *self.body.read()[1])

    def is_native_to(self, route: Route) -> bool:
        """The route speaks the dialect that the request was written in."""
        return self.native is not None and self.native.dialect == route.router.dialect

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
        if not isinstance(options, Mapping | None):
            hint = 'Give an object such as {"temperature": 0.2}.'
            raise InvalidRequest(f"options is a {type(options).__name__}, not an object.", hint=hint, param="options")
        options = dict(options or {})
        history = options.pop("messages", None) or []
        if not is_conversation(history):
            hint = 'Give [{"role": "user", "content": "…"}, …].'
            raise InvalidRequest("options.messages is not a list of messages.", hint=hint, param="options")
        for ignored in ("stream", "stream_options", "model", "router"):
            options.pop(ignored, None)
        refuse_dry_run(options)
        if options.get("n") not in (None, 1):  # the others would be paid for, and shown to nobody
            why = "options.n asks for several answers, and this gives one."
            raise InvalidRequest(why, hint="Leave n out, and ask again for another answer.", param="options")
        if not prompt.strip() and not history:
            raise InvalidRequest("The prompt is empty.", hint="Say what to ask.", param="prompt")
        size = len(prompt.encode("utf-8", "replace")) + len(system.encode("utf-8", "replace"))
        if size > MAX_PROMPT_BYTES:
            why = f"The prompt has {size / 1e6:.1f} MB; the limit is {MAX_PROMPT_BYTES / 1e6:.1f} MB."
            hint = "Shorten it, or send it in parts."
            raise TooLarge(why, hint=hint, param="prompt")
        messages = [*([{"role": "system", "content": system}] if system else []), *history]
        if prompt.strip():
            messages.append({"role": "user", "content": prompt})
        return cls(body={"messages": messages, **options}, model=model or "", router=router or AUTO)

    def without(self, names: Collection[str]) -> ChatRequest:
        body = {name: value for name, value in self.body.items() if name not in names}
        wishes = tuple(name for name in self.wishes if name not in names)
        return replace(self, body=body, notes=self.all_notes, wishes=wishes)

    def with_stream(self, stream: bool) -> ChatRequest:
        return replace(self, stream=stream)


def refuse_dry_run(options: Mapping[str, Any]) -> None:
    """Raises: InvalidRequest. Passed on as a field that we do not know, it would be a call that costs money."""
    if options.get("dry_run"):
        hint = "`chomp-mcp explain MODEL` shows the plan, and so does dry_run of POST /v1/chat/completions."
        raise InvalidRequest("dry_run is not understood here; nobody was asked.", hint=hint, param="dry_run")


def is_conversation(messages: object) -> bool:
    """A list of message objects."""
    return isinstance(messages, list) and all(isinstance(message, Mapping) for message in messages)


@struct(frozen=True, slots=True)
class WireRequest:
    """What a dialect wants sent; `headers` hold the key and never show in a repr."""

    method: str
    url: str
    headers: dict[str, str] = field(repr=False)
    """The request's own: whoever sends it may add to them."""
    body: bytes = b""
    notes: tuple[str, ...] = ()
    """What of the request is not in it, or was changed for this router: sentences for the receipt."""
