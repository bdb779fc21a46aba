"""A router that speaks Responses: what it is sent and told, and what is read in its answers."""

from __future__ import annotations

from openai.types.chat import ChatCompletionChunk
from pydantic import TypeAdapter

from chomp_mcp import wire
from chomp_mcp.dialects.openai.collect import Folder
from chomp_mcp.dialects.responses import answer as responses
from chomp_mcp.messages import ChatRequest, Route, Router
from tests.dialects.chunking import read

ROUTER = Router("zen", "Zen", "https://zen.example/v1", dialect="responses")
ROUTE = Route(ROUTER, "gpt-5.5", "sk-1")
HELLO = {"messages": [{"role": "user", "content": "hello"}]}
CALL = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"at": "Rome"}'}}
ITEM = {"id": "fc_1", "type": "function_call", "status": "completed", "call_id": "c1", "name": "weather"}
PATCH = {"id": "ctc_1", "type": "custom_tool_call", "call_id": "c2", "name": "apply_patch", "input": "*** é"}


def sent(body=HELLO, *, stream=False, route=ROUTE, **more):
    return wire.loads(responses.at(route).encode(route, ChatRequest(body={**body, **more}, stream=stream)).body)


def decoded(whole):
    return responses.at(ROUTE).decode(wire.dumps(whole))


def added_up(stream, route=ROUTE):
    decoder, folder = responses.at(route).decoder(), Folder()
    deltas = read(decoder, stream)
    for delta in deltas:
        if b'"custom"' not in delta.data:  # which the SDK knows in whole answers only
            TypeAdapter(ChatCompletionChunk).validate_python(delta.chunk)
    folder.add(deltas)
    return folder.body(), decoder
