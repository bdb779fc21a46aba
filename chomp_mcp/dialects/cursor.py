"""The Cursor adapter: /v1/complete and /v1/stream, text only; `pending` and `processing` are no answers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from uuid import uuid4

from chomp_mcp import wire
from chomp_mcp.dialects.openai.answer import answered, object_in
from chomp_mcp.dialects.openai.history import fit
from chomp_mcp.dialects.openai.shapes import completion, head, piece
from chomp_mcp.dialects.openai.usage import read_usage
from chomp_mcp.dialects.stream.decoder import ObjectDecoder
from chomp_mcp.dialects.stream.framing import Objects
from chomp_mcp.dialects.values import OURS, as_list, as_objects
from chomp_mcp.messages.answer import Completion, Delta, ErrorObject, Failed, FailureKind, Usage
from chomp_mcp.messages.request import ChatRequest, WireRequest
from chomp_mcp.messages.router import Model, Route, Router

_WAIT_MS = 115_000
"""How long the adapter may keep us waiting: less than its own and our limit of 120 s, so that it is heard."""

_READ = frozenset({"messages", "agent_id", "context", "priority", "user"})
_MODEL = "cursor-agent"


def encode(route: Route, request: ChatRequest) -> WireRequest:
    """POST /v1/complete or /v1/stream; the model is never sent, and every call has an id of its own."""
    given = request.body
    history = fit(route.router, as_list(given.get("messages")), frozenset())
    messages = []
    for message in as_objects(history.messages):  # text alone: it has no parts, and its agent sees no pictures
        text = message.get("content")
        if not isinstance(text, str):
            text = "\n".join(str(part["text"]) for part in as_objects(text) if part.get("text"))
        messages.append({"role": str(message.get("role", "user")), "content": text})
    body = {
        "request_id": f"cursor-{uuid4().hex}",
        "agent_id": str(given.get("agent_id") or given.get("user") or "chomp"),
        "messages": messages,
        "priority": str(given.get("priority") or "normal"),
        "wait_timeout_ms": _WAIT_MS,
        **({"context": given["context"]} if given.get("context") is not None else {}),
    }
    headers = {"content-type": "application/json", **({"authorization": f"Bearer {route.key}"} if route.key else {})}
    headers |= {name.lower(): value for name, value in route.router.headers.items()}
    url = route.router.url.removesuffix("/v1") + ("/v1/stream" if request.stream else "/v1/complete")
    lost = [name for name, value in given.items() if value is not None and name not in OURS | _READ]
    lost += sorted(history.lost)
    notes = (f"{route.router.id} takes text only, no {', '.join(lost)}: dropped",) if lost else ()
    return WireRequest("POST", url, headers, wire.dumps(body), notes)


def decode(body: bytes) -> Completion | Failed | ErrorObject:
    """A whole answer; one that is still `pending` or `processing` ran out of time on the adapter's side."""
    answer = object_in(body)
    if isinstance(answer, Failed):
        return answer
    if error := _error(answer):
        return error
    if (status := answer.get("status")) in ("pending", "processing"):
        told = f"The Cursor adapter was still {status} after {_WAIT_MS // 1000} s."
        return Failed(FailureKind.TIMEOUT, told, status=504)
    if status != "completed":
        return Failed(FailureKind.TRANSIENT, "The Cursor adapter answered without a status that it is completed.")
    top = head(str(answer.get("request_id", "")), str(answer.get("model") or _MODEL))
    return answered(completion(top, {"content": str(answer.get("content") or "")}, "stop", _usage(answer)))


def decoder() -> ObjectDecoder:
    """A decoder for one stream."""
    return _Decoder(Objects(), decode)


def encode_list(router: Router, key: str) -> WireRequest | None:  # noqa: ARG001 - the protocol's signature
    """None: the adapter has no list."""
    return None


def decode_list(router: Router, body: bytes) -> tuple[Model, ...]:  # noqa: ARG001 - the protocol's signature
    """The row's own models, which are but labels."""
    return tuple(Model(router.id, name, free=router.free) for name in router.models or (_MODEL,))


class _Decoder(ObjectDecoder):
    """Each `content` is a delta; `completed` ends the stream, and so does its end without a word."""

    __slots__ = ()

    def _take(self, value: Mapping[str, Any]) -> Iterable[Delta]:
        if error := _error(value):
            self.error = error
            return ()
        top = head(str(value.get("request_id", "")), str(value.get("model") or _MODEL))
        self.usage = _usage(value) or self.usage
        text = value.get("content")
        deltas = [piece(top, {"content": text})] if isinstance(text, str) and text else []
        return deltas + self._end(top) if value.get("status") == "completed" else deltas

    def close(self) -> list[Delta]:
        """The end of the bytes is the end of the answer, unless it came in the middle of an object."""
        deltas = super().close()
        is_whole = self.error is None and not self.done and not self._frames.close()
        return [*deltas, *self._end(head("", _MODEL))] if is_whole else deltas

    def _end(self, top: Mapping[str, Any]) -> list[Delta]:
        self.finished = self.done = True
        return [piece(top, {}, "stop")]


def _error(answer: Mapping[str, Any]) -> ErrorObject | None:
    error = answer.get("error")
    if not error and answer.get("status") != "error":
        return None
    return ErrorObject(error or "The adapter reported an error without a reason.")


def _usage(answer: Mapping[str, Any]) -> Usage | None:
    """Its counts, where it counted: zeros are no counts."""
    usage = read_usage(answer.get("usage"))
    return usage if usage and (usage.input_tokens or usage.output_tokens) else None
