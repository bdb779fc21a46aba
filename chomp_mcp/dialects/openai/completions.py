"""OpenAI's legacy completions (a prompt, a suffix): what autocomplete in editors speaks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from chomp_mcp import wire
from chomp_mcp.dialects.openai.answer import error_in
from chomp_mcp.dialects.openai.endpoint import encode_at, with_rows
from chomp_mcp.dialects.openai.text import loads
from chomp_mcp.dialects.openai.usage import read_cost, read_usage
from chomp_mcp.dialects.stream.decoder import FrameDecoder
from chomp_mcp.dialects.stream.framing import Events
from chomp_mcp.messages import ChatRequest, Completion, Delta, ErrorObject, Failed, Route, WireRequest


def encode(route: Route, request: ChatRequest) -> WireRequest:
    """POST /completions with the caller's fields; usage is always asked for."""
    return encode_at("/completions", route, request)


def decode(body: bytes) -> Completion | Failed | ErrorObject:
    """A `text_completion`, as the router wrote it. An empty text is an answer: there may be nothing to add."""
    return with_rows(body, "choices", _is_choice, "text")


def decoder() -> TextDecoder:
    """A decoder for one stream."""
    return TextDecoder(Events(), decode)


class TextDecoder(FrameDecoder):
    """Chunks of `text_completion`: relayed in the router's bytes, told to the gateway as chunks of a chat."""

    __slots__ = ()

    def _frame(self, name: bytes, data: bytes) -> Iterable[Delta]:
        text = data.strip()
        self._seen = self._seen or bool(text)
        if text == b"[DONE]":
            self.done = self.finished = True
            return ()
        try:
            chunk = loads(data)
        except ValueError:
            chunk = None
        if not isinstance(chunk, dict):
            if text and not self.done:
                self._garbage()
            return ()
        if error := error_in(chunk if name != b"error" else {"error": chunk.get("error", chunk)}):
            self.error = error
            return ()
        self.usage = read_usage(chunk.get("usage")) or self.usage
        if (cost := read_cost(chunk)) is not None:
            self.cost_usd = cost
        return (Delta(data=data, chunk=self._as_chat(chunk)),)

    def _whole(self, answer: Completion | Failed | ErrorObject) -> list[Delta]:
        """A router that ignored `stream`: one chunk."""
        told = super()._whole(answer)
        if not isinstance(answer, Completion):
            return told
        body = dict(answer.body)
        return [Delta(data=wire.dumps(body), chunk=self._as_chat(body))]

    def _as_chat(self, chunk: Mapping[str, Any]) -> dict[str, Any]:
        choices = [
            {"index": c.get("index", 0), "delta": {"content": c["text"]}, "finish_reason": c.get("finish_reason")}
            for c in chunk.get("choices") or ()
            if _is_choice(c)
        ]
        self.finished = self.finished or any(choice["finish_reason"] for choice in choices)
        return {**chunk, "choices": choices}


def _is_choice(choice: Any) -> bool:
    return isinstance(choice, dict) and isinstance(choice.get("text"), str)
