"""A router that costs next to nothing: `python -m tests.bench.upstream PORT`.

/v1/chat/completions   one fixed answer, or, with `"stream":true`, BURST events at once;
                       with `"user":"slow"`, PACED events, PACE_SECONDS apart
/v1/messages           the same in Anthropic's words
/v1/responses          the same in Responses' words
/models-N/v1/models    a list of N models, `m0` first
"""

from __future__ import annotations

import asyncio
import json
import re
import sys

BURST, PACED, PACE_SECONDS = 200, 20, 0.005
TEXT = "The quick brown fox jumps over the lazy dog. " * 8


def chunk(delta: dict[str, str], finish: str | None = None, **more: object) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    body = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m0", "choices": [choice], **more}
    event = b"data: %b\n\n" % json.dumps(body).encode()
    return b"%x\r\n%b\r\n" % (len(event), event)


USAGE = {"prompt_tokens": 40, "completion_tokens": 80, "total_tokens": 120}
WHOLE = json.dumps(
    {
        "id": "c",
        "object": "chat.completion",
        "created": 1,
        "model": "m0",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": TEXT}, "finish_reason": "stop"}],
        "usage": USAGE,
    }
).encode()
WORD = chunk({"content": "word "})
END = chunk({}, "stop", usage=USAGE) + b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n"
STREAM = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)


MESSAGE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "m0",
    "content": [{"type": "text", "text": TEXT}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": 40, "output_tokens": 80},
}
WHOLE_MESSAGE = json.dumps(MESSAGE).encode()


def event(**told: object) -> bytes:
    text = b"event: %b\ndata: %b\n\n" % (str(told["type"]).encode(), json.dumps(told).encode())
    return b"%x\r\n%b\r\n" % (len(text), text)


MESSAGE_STREAM = (
    event(type="message_start", message={**MESSAGE, "content": [], "stop_reason": None})
    + event(type="content_block_start", index=0, content_block={"type": "text", "text": ""})
    + event(type="content_block_delta", index=0, delta={"type": "text_delta", "text": "word "}) * BURST
    + event(type="content_block_stop", index=0)
    + event(type="message_delta", delta={"stop_reason": "end_turn", "stop_sequence": None}, usage={"output_tokens": 80})
    + event(type="message_stop")
    + b"0\r\n\r\n"
)


PART = {"type": "output_text", "text": TEXT, "annotations": [], "logprobs": []}
ITEM = {"id": "msg_1", "type": "message", "status": "completed", "role": "assistant", "content": [PART]}
RESPONSE = {
    "id": "resp_1",
    "object": "response",
    "created_at": 1,
    "status": "completed",
    "model": "m0",
    "output": [ITEM],
    "usage": {"input_tokens": 40, "output_tokens": 80, "total_tokens": 120},
}
WHOLE_RESPONSE = json.dumps(RESPONSE).encode()
PLACE = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
RESPONSE_STREAM = (
    event(type="response.created", response={**RESPONSE, "status": "in_progress", "output": []}, sequence_number=0)
    + event(type="response.output_item.added", output_index=0, item={**ITEM, "content": []}, sequence_number=1)
    + event(type="response.content_part.added", **PLACE, part={**PART, "text": ""}, sequence_number=2)
    + event(type="response.output_text.delta", **PLACE, delta="word ", logprobs=[], sequence_number=3) * BURST
    + event(type="response.output_text.done", **PLACE, text=TEXT, logprobs=[], sequence_number=4)
    + event(type="response.content_part.done", **PLACE, part=PART, sequence_number=5)
    + event(type="response.output_item.done", output_index=0, item=ITEM, sequence_number=6)
    + event(type="response.completed", response=RESPONSE, sequence_number=7)
    + b"0\r\n\r\n"
)


def whole(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)


def model_list(count: int) -> bytes:
    return json.dumps({"object": "list", "data": [{"id": f"m{i}", "object": "model"} for i in range(count)]}).encode()


class Upstream(asyncio.Protocol):
    """Keep-alive HTTP/1.1, as far as the clients here need it."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.got = b""

    def data_received(self, data: bytes) -> None:
        self.got += data
        head, blank, rest = self.got.partition(b"\r\n\r\n")
        length = int(found[1]) if (found := LENGTH.search(head)) else 0
        if blank and len(rest) >= length:
            self.got = rest[length:]
            self.answer(head.split(b" ", 2)[1].decode(), rest[:length])

    def answer(self, path: str, body: bytes) -> None:
        if path.endswith("/models"):
            count = re.match(r"/models-(\d+)/", path)
            self.transport.write(whole(model_list(int(count[1]) if count else 1)))
        elif path.endswith("/messages"):
            self.transport.write(STREAM + MESSAGE_STREAM if b'"stream":true' in body else whole(WHOLE_MESSAGE))
        elif path.endswith("/responses"):
            self.transport.write(STREAM + RESPONSE_STREAM if b'"stream":true' in body else whole(WHOLE_RESPONSE))
        elif b'"stream":true' not in body:
            self.transport.write(whole(WHOLE))
        elif b'"user":"slow"' in body:
            self.transport.write(STREAM + WORD)
            asyncio.get_running_loop().call_later(PACE_SECONDS, self.go_on, PACED - 1)
        else:
            self.transport.write(STREAM + WORD * BURST + END)

    def go_on(self, left: int) -> None:
        if left:
            self.transport.write(WORD)
            asyncio.get_running_loop().call_later(PACE_SECONDS, self.go_on, left - 1)
        else:
            self.transport.write(END)


async def serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Upstream, "127.0.0.1", port, backlog=2048)
    await server.serve_forever()


if __name__ == "__main__":
    try:
        import uvloop
    except ImportError:
        asyncio.run(serve(int(sys.argv[1])))
    else:
        uvloop.run(serve(int(sys.argv[1])))
