"""OpenAI's chat completions, which most routers speak, each with its own exceptions (tables in catalog.toml)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Any

from chomp_mcp import wire
from chomp_mcp.dialects.openai import answer
from chomp_mcp.dialects.openai.allowed_tools import allowed, name_of
from chomp_mcp.dialects.openai.history import fit
from chomp_mcp.dialects.openai.models import as_model, entries
from chomp_mcp.dialects.openai.paths import without
from chomp_mcp.dialects.openai.stream import StreamDecoder
from chomp_mcp.dialects.values import OURS, as_list, as_mapping
from chomp_mcp.messages import LOOKING_FOR, ChatRequest, Model, Route, Router, WireRequest

_LIMITS = ("max_tokens", "max_completion_tokens")


def encode(route: Route, request: ChatRequest) -> WireRequest:
    """POST /chat/completions with the fields this router takes; usage is always asked for."""
    body, notes = body_of(route, request)
    url = f"{route.router.url}/chat/completions"
    return WireRequest("POST", url, headers_of(route, request), wire.dumps(body), notes)


def headers_of(route: Route, request: ChatRequest) -> dict[str, str]:
    """Lower-case names; the router's own headers win over ours, so a row may replace the authorization."""
    headers = {
        "content-type": "application/json",
        "accept": "text/event-stream" if request.stream else "application/json",
    }
    if route.key:
        headers["authorization"] = f"Bearer {route.key}"
    if route.router.session_header:
        headers.update(session_of(route, request))
    for name, value in route.router.headers.items():
        headers[name.lower()] = value
    return headers


def session_of(route: Route, request: ChatRequest) -> dict[str, str]:
    """The header that names the conversation, for a router that insists on one."""
    if not route.router.session_header:
        return {}
    # The same for every turn of a conversation: a hash of the caller's own name for it, or of how it began. Never
    # that name itself, which may hold what no header carries.
    said = request.said
    begun = as_list(said.get("messages", said.get("input")))[:2]
    named = request.session.encode("utf-8", "surrogatepass") or wire.dumps(begun)
    return {route.router.session_header.lower(): hashlib.sha256(named).hexdigest()[:32]}


def body_of(route: Route, request: ChatRequest) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The request's fields as this router takes them, without ours and nulls; and the notes on it."""
    drop = _parsed(route.router.drop)
    body = {k: v for k, v in request.body.items() if v is not None and k not in drop.unsent}
    history = fit(route.router, as_list(body.get("messages")), drop.in_messages)
    body["messages"] = history.messages
    wanted = route.router.max_tokens
    for name in _LIMITS if wanted else ():  # one spelling; a row without one leaves the caller's
        if name != wanted and name in body:
            limit = body.pop(name)
            body.setdefault(wanted, limit)
    # Field, value and what this model takes instead, by the row's `replace`.
    replaced = [
        (field, body[field], values[body[field]])
        for pattern, fields in route.router.replace.items()
        if not fields.keys().isdisjoint(body) and fnmatchcase(route.model, pattern)
        for field, values in fields.items()
        if isinstance(body.get(field), str) and body[field] in values
    ]
    body |= {name: value for name, _refused_value, value in replaced}
    if "tool_choice" in body and not route.router.knows_allowed_tools and (found := allowed(body["tool_choice"])):
        mode, names = found
        body["tool_choice"] = mode
        body["tools"] = [tool for tool in as_list(body.get("tools")) if name_of(tool) in names]
    body["model"] = route.model
    if request.stream:
        body["stream"] = True
        if "stream_options" not in drop.fields:
            body["stream_options"] = {**request.stream_options, "include_usage": True}
    cut: list[tuple[str, ...]] = []
    for field, path in drop.deeper:
        if field in body and not (history.is_plain and field == "messages"):
            body, was_there = without(body, path)
            cut += [path] if was_there else []
    router, given = route.router, request.body
    # Most requests have none of what this router does not take: one look tells.
    dropped = [] if drop.fields.isdisjoint(given) else [name for name in drop.fields if given.get(name) is not None]
    if not (dropped or history.lost or history.notes or cut or replaced or request.stream_options):
        return body, ()
    lost = {*dropped, *history.lost}
    if request.stream_options:
        given = {**given, "stream_options": request.stream_options}
    lost |= {"stream_options"} & drop.fields if request.stream_options.keys() - {"include_usage"} else set()
    lost.update(".".join(path) for path in cut if without(given, path)[1])
    in_order = [*(name for name in router.drop if name in lost), *sorted(lost - set(router.drop))]
    notes = [f"{router.id} takes no {', '.join(in_order)}: dropped"] if in_order else []
    notes += [f"{route.ref} takes no {field} {no}: {value} was sent" for field, no, value in replaced]
    return body, (*notes, *history.notes)


def choices_of(route: Route, body: Mapping[str, Any]) -> int:
    """How many answers this router is asked for (`n`)."""
    asked = body.get("n")
    return asked if type(asked) is int and asked > 0 and "n" not in route.router.drop else 1


def must_be_whole(route: Route, body: Mapping[str, Any]) -> bool:
    """This router refuses to stream such a request, by its row's `no_stream_with`."""
    is_text = as_mapping(body.get("response_format")).get("type") == "text"  # which asks for nothing
    for names in route.router.no_stream_with:
        if all(body.get(name) and not (is_text and name == "response_format") for name in names.split("+")):
            return True
    return False


decode = answer.decode


def decoder() -> StreamDecoder:
    """A decoder for one stream."""
    return StreamDecoder()


def encode_list(router: Router, key: str) -> WireRequest | None:
    """GET the list, with the key where there is one: some routers then leave out what the key may not use."""
    headers = {"accept": "application/json", **({"authorization": f"Bearer {key}"} if key else {})}
    headers.update({name.lower(): value for name, value in router.headers.items()})
    if router.owned_by:
        headers[LOOKING_FOR] = router.owned_by
    return WireRequest("GET", list_url(router), headers)


def list_url(router: Router) -> str:
    """`models_path` below the router's URL, or by itself when it is a whole URL."""
    return router.models_path if "://" in router.models_path else router.url + router.models_path


def decode_list(router: Router, body: bytes) -> tuple[Model, ...]:
    """The models that chat, in the router's order; `ValueError` when the body is no list."""
    rows = entries(body)
    if router.owned_by and not any(row.get("owned_by") == router.owned_by for row in rows):
        raise ValueError(f"another program answers at {router.url}")
    return tuple(model for row in rows if (model := as_model(router, row)))


@dataclass(frozen=True, slots=True)
class _Drop:
    """What a row drops: fields of the body, fields of its messages, and what lies deeper."""

    fields: frozenset[str]
    unsent: frozenset[str]
    """These, and what the gateway sets itself."""
    in_messages: frozenset[str]
    deeper: tuple[tuple[str, tuple[str, ...]], ...]
    """Each with the field of the body that it begins in."""


@lru_cache(maxsize=1024)
def _parsed(drop: tuple[str, ...]) -> _Drop:
    fields, inside, deeper = set(), set(), []
    for path in drop:
        steps = tuple(path.split("."))
        if len(steps) == 1:
            fields.add(path)
        elif len(steps) == 2 and steps[0] == "messages[]":  # noqa: PLR2004 - the list, and the field
            inside.add(steps[1])
        else:
            deeper.append((steps[0].removesuffix("[]"), steps))
    return _Drop(frozenset(fields), OURS | fields, frozenset(inside), tuple(deeper))
