"""Responses in, Responses out: a request of the Responses door on a Responses route, and its answer, as they came.

Only the model and the key are ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chomp_mcp import wire
from chomp_mcp.dialects.openai.request import headers_of
from chomp_mcp.dialects.responses import answer
from chomp_mcp.dialects.responses.door_request import is_ours
from chomp_mcp.dialects.responses.stream import ResponseDecoder
from chomp_mcp.dialects.stream.decoder import Whole
from chomp_mcp.dialects.stream.relayed import Relayed, as_it_came
from chomp_mcp.messages import ChatRequest, Delta, Route, WireRequest


def encode(route: Route, request: ChatRequest) -> WireRequest:
    """POST /responses with the client's own body."""
    native = request.native
    given = {name: value for name, value in (native.body if native else {}).items() if name != "router"}
    given["model"] = route.model
    if request.stream or given.get("stream"):
        given["stream"] = request.stream
    notes: tuple[str, ...] = ()
    if isinstance(items := given.get("input"), list):
        given["input"] = [item for item in items if not is_ours(item)]
        if len(given["input"]) < len(items):
            notes = ("what another model thought is left out: only that model can read it",)
    headers = {**(native.headers if native else {}), **headers_of(route, request)}
    return WireRequest("POST", f"{route.router.url}/responses", headers, wire.dumps(given), notes)


decode = as_it_came(answer.decode)


def decoder() -> NativeDecoder:
    """A decoder for one stream."""
    return NativeDecoder(answer.decode)


class NativeDecoder(Relayed, ResponseDecoder):
    """One delta for each event, with the event in it."""

    PIECES = frozenset({
        b"response.output_text.delta", b"response.refusal.delta", b"response.reasoning_text.delta",
        b"response.reasoning_summary_text.delta", b"response.function_call_arguments.delta",
        b"response.custom_tool_call_input.delta",
    })  # fmt: skip
    AROUND = len(
        b'{"type":"response.output_text.delta","item_id":"msg_6891a1b2c3d481a0b1c2d3e4f5061728091a2b3c4d5e6f70",'
        b'"output_index":0,"content_index":0,"delta":"","logprobs":[],"sequence_number":100}'
    )

    def __init__(self, decode_whole: Whole) -> None:
        super().__init__(decode_whole, "")
        self.sealed: list[str] = []
        """The reasoning that the router sealed: anew in each event that holds it."""

    def _done(self, item: Mapping[str, Any], place: int) -> list[Delta]:
        """Nothing that is not in the pieces already, which were not looked into."""
        if isinstance(sealed := item.get("encrypted_content"), str):
            self.sealed.append(sealed)
        return [] if self._has_begun else super()._done(item, place)
