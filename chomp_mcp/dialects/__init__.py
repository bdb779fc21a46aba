"""Wire formats, pure: a request in our words -> bytes for a router, and a router's bytes -> our words."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Protocol, cast

from chomp_mcp.messages.answer import Completion, Delta, ErrorObject, Failed, Usage
from chomp_mcp.messages.request import ChatRequest, WireRequest
from chomp_mcp.messages.router import Model, Route, Router

_MODULES = {
    "openai": "openai.request",
    "anthropic": "anthropic.answer",
    "responses": "responses.answer",
    "gemini": "gemini.answer",
    "ollama": "ollama.compatible",
    "cursor": "cursor",
    "mock": "mock",
}
"""Where each dialect's own functions are."""

NATIVE = {"anthropic": "anthropic.native", "gemini": "gemini.native", "responses": "responses.native"}
"""Where requests and answers of a dialect go through untouched, for the doors that speak it themselves."""


_ENDPOINTS = {"embeddings": "openai.embeddings", "completions": "openai.completions"}
"""OpenAI's endpoints beside chat, which routers of several dialects have."""


class Decoder(Protocol):
    """A streamed answer as it comes in; any chunking of the same bytes gives the same deltas, usage and finish."""

    choices: int
    """How many were asked for: with fewer, a stream that does not say that nothing comes after was cut."""

    @property
    def usage(self) -> Usage | None:
        """What the router counted, once it said so."""

    @property
    def cost_usd(self) -> Decimal | None:
        """What the router says it cost."""

    @property
    def finished(self) -> bool:
        """The router said that the answer is complete; false at the end of the bytes means that it was cut."""

    @property
    def done(self) -> bool:
        """The router said that nothing comes after (`[DONE]` and its like); only a trailer may."""

    @property
    def is_mute(self) -> bool:
        """The router told an end that needs no words: its token limit, its filter, or all that its dialect allows."""

    @property
    def error(self) -> Failed | ErrorObject | None:
        """What ended the stream; nothing comes after it. The router's own error is not judged yet."""

    def feed(self, chunk: bytes) -> list[Delta]:
        """The deltas that these bytes complete."""

    def close(self) -> list[Delta]:
        """The deltas left at the end of the bytes; sets `error` when there was no answer in them at all."""


class Speech(Protocol):
    """What is said with one route: the call, and what comes back."""

    def encode(self, route: Route, request: ChatRequest) -> WireRequest:
        """The call to make, with notes on what of the request this router does not take.

        `request.body` is never changed. `InvalidRequest`: this router cannot take the request, though another may.
        """

    def decode(self, body: bytes) -> Completion | Failed | ErrorObject:
        """A whole answer that came with status 200, which may hold an error all the same."""

    def decoder(self) -> Decoder:
        """A fresh decoder for one streamed answer."""


class Dialect(Speech, Protocol):
    """One wire format; every dialect module is one."""

    def encode_list(self, router: Router, key: str) -> WireRequest | None:
        """The call for the router's list; None: there is none, and `decode_list(router, b"")` gives the fixed one."""

    def decode_list(self, router: Router, body: bytes) -> tuple[Model, ...]:
        """The models that can chat; `ValueError`, in words for the user, when the body is no list."""


class _Dialects(Mapping[str, Dialect]):
    """Loaded by name on first use, so that a start pays only for the dialects it speaks."""

    def __getitem__(self, name: str) -> Dialect:
        if name not in _MODULES:
            raise KeyError(name)
        return cast("Dialect", _module(_MODULES[name]))

    def __iter__(self) -> Iterator[str]:
        return iter(_MODULES)

    def __len__(self) -> int:
        return len(_MODULES)

    def __contains__(self, name: object) -> bool:
        return name in _MODULES


@cache
def _module(path: str) -> object:
    return import_module(f"{__name__}.{path}")


DIALECTS: Mapping[str, Dialect] = _Dialects()


def dialect(name: str) -> Dialect:
    """The dialect of that name; `KeyError` for one we do not speak."""
    return DIALECTS[name]


def speech(route: Route, request: ChatRequest) -> Speech:
    """How this request is put to that route: as it came where both speak one dialect, else translated."""
    name = route.router.dialect
    if request.endpoint != "chat":
        return cast("Speech", _module(_ENDPOINTS[request.endpoint]))
    if request.is_native_to(route):
        return cast("Speech", _module(NATIVE[name]))
    return _speaker(name)(route)


@cache  # a module that is asked for a name that it has not words an error, which costs more than the rest of it
def _speaker(name: str) -> Callable[[Route], Speech]:
    """Where a dialect's words depend on the route, its module has an `at` for it."""
    spoken = DIALECTS[name]
    at: Callable[[Route], Speech] | None = getattr(spoken, "at", None)
    return at or (lambda _: spoken)


def counter(route: Route, request: ChatRequest) -> Callable[[Route, ChatRequest], WireRequest] | None:
    """What encodes the question how many tokens the request is; None where that route has no call for it."""
    return getattr(speech(route, request), "encode_count", None)


if TYPE_CHECKING:  # the type checker holds the modules to the protocol, which `cast` above does not
    from chomp_mcp.dialects import cursor as _cursor
    from chomp_mcp.dialects import mock as _mock
    from chomp_mcp.dialects.anthropic import answer as _anthropic
    from chomp_mcp.dialects.anthropic import native as _anthropic_native
    from chomp_mcp.dialects.gemini import answer as _gemini
    from chomp_mcp.dialects.gemini import native as _gemini_native
    from chomp_mcp.dialects.ollama import compatible as _ollama
    from chomp_mcp.dialects.openai import completions as _completions
    from chomp_mcp.dialects.openai import embeddings as _embeddings
    from chomp_mcp.dialects.openai import request as _openai
    from chomp_mcp.dialects.responses import answer as _responses
    from chomp_mcp.dialects.responses import native as _responses_native

    _CHECKED: tuple[Dialect, ...] = (_openai, _anthropic, _gemini, _responses, _ollama, _cursor, _mock)
    _NATIVE: tuple[Speech, ...] = (_anthropic_native, _gemini_native, _responses_native)
    _BESIDE_CHAT: tuple[Speech, ...] = (_embeddings, _completions)
