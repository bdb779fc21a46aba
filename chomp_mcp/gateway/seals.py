"""Whose sealed reasoning is whose: what one Responses route has sealed, every other refuses, and the request with it.

A request of the Responses door goes through as it came, so that nothing in it says who made it. What this process has
seen is remembered; of anything else the refusal tells.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import replace
from hashlib import blake2b
from typing import Any

from chomp_mcp.dialects.values import as_list, as_mapping
from chomp_mcp.gateway.answer import Answer
from chomp_mcp.messages import ChatRequest, Failed, Route

LEFT_OUT = "what another model thought is left out: only that model can read it"
MOST_SEALS = 50_000
"""Those that were seen longest ago go first."""


class Seals:
    """Sealed reasoning by its hash -> the route that made it."""

    def __init__(self) -> None:
        self._makers: OrderedDict[bytes, str] = OrderedDict()
        self._without: set[str] = set()
        """Routes that have refused to seal anything: models that do not reason."""

    def learn(self, answer: Answer) -> None:
        """What this answer holds came from its route."""
        sealed: Iterable[Any] = getattr(answer.decoder, "sealed", ())
        if answer.completion is not None and answer.completion.raw:
            rows = as_list(answer.completion.message.get("reasoning_details"))
            sealed = [as_mapping(row).get("data") for row in rows]
        for content in sealed:
            if isinstance(content, str):
                self._makers[_hash(content)] = answer.route.ref
        while len(self._makers) > MOST_SEALS:
            self._makers.popitem(last=False)

    def fitted(self, route: Route, request: ChatRequest) -> ChatRequest:
        """The request without the reasoning that another route is known to have sealed."""
        if self._without and route.ref in self._without and not request.is_native_to(route):
            return _unsealed(request)
        is_native = request.native is not None and request.native.dialect == "responses"
        if not (self._makers and is_native and request.is_native_to(route)):
            return request
        return _without(request, lambda sealed: self._makers.get(_hash(sealed), route.ref) != route.ref)

    def after(self, failed: Failed, route: Route, request: ChatRequest) -> ChatRequest | None:
        """The request without sealed reasoning, if the route cannot read or make it; None: that is not the matter."""
        # OpenAI: code `invalid_encrypted_content`, "The encrypted content … could not be verified"; and "Encrypted
        # content is not supported with this model".
        words = f"{failed.body.get('code')} {failed.body.get('param')} {failed.message}".lower().replace("_", " ")
        if "encrypted content" not in words or route.router.dialect != "responses":
            return None
        if not request.is_native_to(route):
            if request.body.get("include") == []:
                return None
            self._without.add(route.ref)
            return _unsealed(request)
        less = _without(request, lambda _: True)
        return None if less is request else less


def _unsealed(request: ChatRequest) -> ChatRequest:
    """A translated request that asks for nothing sealed."""
    return replace(request, body={**request.body, "include": []}, notes=request.all_notes)


def _without(request: ChatRequest, is_foreign: Callable[[str], bool]) -> ChatRequest:
    native = request.native
    items = as_list(native.body.get("input")) if native else []
    kept = []
    for item in items:
        row = as_mapping(item)
        sealed = row.get("encrypted_content") if row.get("type") == "reasoning" else None
        if not (isinstance(sealed, str) and sealed and is_foreign(sealed)):
            kept.append(item)
    if native is None or len(kept) == len(items):
        return request
    return replace(request, native=replace(native, body={**native.body, "input": kept}))


def _hash(content: str) -> bytes:
    return blake2b(content.encode("utf-8", "surrogatepass"), digest_size=16).digest()
