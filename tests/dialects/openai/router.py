"""A router that speaks chat completions: what it is sent, the frames of its streams, and what is read in them."""

from __future__ import annotations

from chomp_mcp import wire
from chomp_mcp.dialects.openai import request as openai
from chomp_mcp.messages import ChatRequest, Route

HELLO = {"messages": [{"role": "user", "content": "hello"}]}


def sent(router, body=HELLO, *, stream=True, key="k-1", **more):
    request = openai.encode(Route(router, "m", key), ChatRequest(body=body, stream=stream, **more))
    return request, wire.loads(request.body)


def event(value):
    return b"data: " + (value if isinstance(value, bytes) else wire.dumps(value)) + b"\n\n"


def chunk(delta=None, finish=None, **more):
    return {
        "id": "c",
        "object": "chat.completion.chunk",
        "choices": [{"index": 0, "delta": delta or {}, "finish_reason": finish}],
        **more,
    }


USAGE = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10, "prompt_tokens_details": {"cached_tokens": 2}}
DONE = event(b"[DONE]")


def read(*pieces):
    decoder = openai.decoder()
    deltas = [delta for piece in pieces for delta in decoder.feed(piece)]
    return [*deltas, *decoder.close()], decoder
