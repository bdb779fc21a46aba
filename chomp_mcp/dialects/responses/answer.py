"""OpenAI's Responses as a router's dialect, both ways: chat completions out, a whole Response or its events back."""

from __future__ import annotations

from dataclasses import dataclass, replace

from chomp_mcp.dialects.openai.answer import answer_in, answered, nonsense
from chomp_mcp.dialects.openai.request import decode_list, encode_list
from chomp_mcp.dialects.openai.shapes import completion, head
from chomp_mcp.dialects.openai.usage import read_cost
from chomp_mcp.dialects.responses import request as requests
from chomp_mcp.dialects.responses.output import acts, finish_of, message_of, usage_of
from chomp_mcp.dialects.responses.stream import ResponseDecoder
from chomp_mcp.messages import ChatRequest, Completion, ErrorObject, Failed, Route, WireRequest

__all__ = ["At", "at", "decode", "decode_list", "decoder", "encode", "encode_list"]

encode = requests.encode


def decode(body: bytes, ref: str = "") -> Completion | Failed | ErrorObject:
    """A whole Response as a `chat.completion`; `ref` is the route that made it."""
    response = answer_in(body)
    if not isinstance(response, dict):
        return response
    if response.get("status") in ("failed", "cancelled"):
        return ErrorObject({"message": f"The router ended the answer as {response['status']} and gave no reason."})
    if not isinstance(response.get("output"), list):
        return nonsense(b"[]")
    message = message_of(response["output"], ref)
    logprobs, finish = message.pop("logprobs", None), finish_of(response, has_calls="tool_calls" in message)
    top = head(str(response.get("id") or ""), str(response.get("model") or ""))
    made = completion({**top, "created": response.get("created_at") or 0}, message, finish, usage_of(response))
    answer = {**made.body, **({"service_tier": tier} if (tier := response.get("service_tier")) else {})}
    answer["choices"][0]["logprobs"] = logprobs
    whole = replace(made, body=answer, cost_usd=read_cost(response))
    # What has no word in chat completions, such as a search for tools, leaves a message that says nothing, and is one.
    return whole if acts(response["output"]) else answered(whole)


def decoder(ref: str = "") -> ResponseDecoder:
    """A decoder for one stream of the route `ref`."""
    return ResponseDecoder(lambda body: decode(body, ref), ref)


@dataclass(frozen=True, slots=True)
class At:
    """The dialect with one route: the reasoning that it seals is marked as its own."""

    ref: str

    def encode(self, route: Route, request: ChatRequest) -> WireRequest:
        return encode(route, request)

    def decode(self, body: bytes) -> Completion | Failed | ErrorObject:
        return decode(body, self.ref)

    def decoder(self) -> ResponseDecoder:
        return decoder(self.ref)


def at(route: Route) -> At:
    """What is said with this route."""
    return At(route.ref)
