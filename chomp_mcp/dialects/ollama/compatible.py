"""Ollama: its /v1 through the openai dialect, its own /api/chat where a context length is asked for, its own list."""

from __future__ import annotations

from collections.abc import Iterable

from chomp_mcp import wire
from chomp_mcp.dialects.ollama import native as ollama_native
from chomp_mcp.dialects.openai import answer as answers
from chomp_mcp.dialects.openai import request as openai
from chomp_mcp.dialects.openai.functions import with_tools
from chomp_mcp.dialects.openai.models import entries, is_hidden
from chomp_mcp.dialects.openai.stream import StreamDecoder
from chomp_mcp.dialects.openai.text import loads
from chomp_mcp.dialects.stream.framing import Either
from chomp_mcp.dialects.values import as_mapping, as_objects, as_text
from chomp_mcp.messages import ChatRequest, Completion, Delta, ErrorObject, Failed, Model, Route, Router, WireRequest

_NATIVE = ("options", "num_ctx", "keep_alive", "think")
"""Fields that only /api/chat reads: over /v1 a small default context cuts long prompts without a word."""


def encode(route: Route, request: ChatRequest) -> WireRequest:
    """POST /v1/chat/completions, or /api/chat when the request holds `options`, `num_ctx`, `keep_alive` or `think`."""
    request, notes = with_tools(request)
    headers = openai.headers_of(route, request)
    body, more = openai.body_of(route, request)
    # A sentence for a tool choice that it will not heed, and for what its own endpoint does not take.
    sentences: tuple[str, ...] = ()
    if request.body.get("tool_choice") not in (None, "auto", "none"):
        sentences += (f"{route.router.id} heeds no tool_choice: the model decides",)
    parts = (part for each in as_objects(request.body.get("messages")) for part in as_objects(each.get("content")))
    if any(as_mapping(part.get("image_url")).get("detail") not in (None, "auto") for part in parts):
        sentences += (f"{route.router.id} heeds no image_url.detail",)
    if _is_native(request) and (lost := ollama_native.left_out(request.body, route.router.drop)):
        sentences += (f"{route.router.id} takes no {', '.join(lost)} with options: dropped",)
    notes += more + sentences
    choice = body.pop("tool_choice", None)
    if choice == "none":  # it ignores tool_choice and would still call them (ollama issue 17921)
        body.pop("tools", None)
    if _is_native(request):
        url, body = f"{_root(route.router)}/api/chat", ollama_native.body_of(body)
    else:
        url = f"{_root(route.router)}/v1/chat/completions"
    return WireRequest("POST", url, headers, wire.dumps(body), notes)


def decode(body: bytes) -> Completion | Failed | ErrorObject:
    """A whole answer of either endpoint."""
    answer = answers.object_in(body)
    if isinstance(answer, dict) and ollama_native.is_native(answer):
        return answers.answered(ollama_native.completion_of(answer))
    return answers.decode(body)


def decoder() -> StreamDecoder:
    """A decoder for a stream of either endpoint."""
    return _Decoder()


def encode_list(router: Router, key: str) -> WireRequest | None:
    """GET /api/tags."""
    headers = {"accept": "application/json", **({"authorization": f"Bearer {key}"} if key else {})}
    own = {name.lower(): value for name, value in router.headers.items()}
    return WireRequest("GET", f"{_root(router)}/api/tags", {**headers, **own})


def decode_list(router: Router, body: bytes) -> tuple[Model, ...]:
    """What is pulled and chats; the list tells no context length. `ValueError` when the body is no list."""
    chatting = [row for row in entries(body) if "bert" not in str(as_mapping(row.get("details")).get("family", ""))]
    names = [as_text(row.get("model") or row.get("name")) for row in chatting]
    return tuple(Model(router.id, name, free=router.free) for name in names if name and not is_hidden(router, name))


class _Decoder(StreamDecoder):
    """Server-sent events from /v1, a JSON object a line from /api/chat."""

    __slots__ = ("_either", "_native")

    def __init__(self) -> None:
        self._either = Either()
        self._native = ollama_native.Pieces()
        super().__init__(self._either, decode)

    def _frame(self, name: bytes, data: bytes) -> Iterable[Delta]:
        if not self._either.are_objects:
            return super()._frame(name, data)
        if self.done:
            return ()
        self._seen = True
        try:
            line = loads(data)
        except ValueError:
            self._garbage()
            return ()
        if not ollama_native.is_native(line):
            return self._whole(decode(data))  # an error, or a whole answer of /v1
        self.usage = ollama_native.usage_of(line) or self.usage
        self.finished = self.done = bool(line["done"])
        return self._joined(self._native.of(line), data)


def _is_native(request: ChatRequest) -> bool:
    return any(request.body.get(name) is not None for name in _NATIVE)


def _root(router: Router) -> str:
    """The server: people write its URL with /v1 and without."""
    return router.url.removesuffix("/v1")
