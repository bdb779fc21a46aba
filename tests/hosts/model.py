"""A model on loopback that plays a script in three dialects, and keeps every request that its host sends.

It calls the tools that the script names, one a turn, and then says one sentence. What the host sends back with each
turn is all that a real model would have seen.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

__all__ = ["SAID", "Call", "ScriptedModel"]

SAID = "That is all."
Body = dict[str, Any]


@dataclass(frozen=True)
class Call:
    """A tool of our server, by its own name, and its arguments."""

    tool: str
    arguments: dict[str, Any]


@dataclass
class ScriptedModel:
    """Serves `/messages` (Anthropic), `/responses` and `/chat/completions` (OpenAI) below its `url`."""

    calls: Sequence[Call] = ()
    requests: list[Body] = field(default_factory=list)
    _came: threading.Condition = field(default_factory=threading.Condition, repr=False)

    def __enter__(self) -> Self:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (_Handler,), {"model": self}))
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)

    def answer(self, path: str, body: Body) -> Iterator[Body] | Body | None:
        """Events, a whole body, or None for what is not played."""
        dialect = next((play for end, play in _PLAYS.items() if path.endswith(end)), None)
        if dialect is None:
            return {"input_tokens": 10} if path.endswith("/count_tokens") else None
        with self._came:
            self.requests.append(body)
            self._came.notify_all()
        return dialect(self, body)

    def next_call(self, done: int) -> Call | None:
        return self.calls[done] if done < len(self.calls) else None

    # What a model would have seen.

    def tool_names(self) -> list[str]:
        """The tools of ours that were loaded in the first turn that had any, by the names they go by there."""
        for body in self.requests:
            names = [name for tool in body.get("tools", ()) for name in _names(tool)]
            if any("chomp" in name for name in names):
                return [name for name in names if "chomp" in name]
        return []

    def results(self) -> list[str]:
        """The text of every tool result, as it stood in the last turn."""
        return [text for text, _ in self._results()]

    def saw(self, text: str, seconds: float) -> bool:
        """Whether the text stands in a request, after waiting for one that has it."""
        with self._came:
            return self._came.wait_for(lambda: any(text in json.dumps(body) for body in self.requests), seconds)

    def errors(self) -> list[bool]:
        """Whether each was called an error."""
        return [is_error for _, is_error in self._results()]

    def _results(self) -> list[tuple[str, bool]]:
        last = max(self.requests, key=lambda body: len(json.dumps(body)))
        if "input" in last:
            items = [item for item in last["input"] if item.get("type") == "function_call_output"]
            return [(_text(item["output"]), False) for item in items]
        found = []
        for message in last["messages"]:
            if message["role"] == "tool":
                found.append((_text(message["content"]), False))
            for block in message["content"] if isinstance(message.get("content"), list) else ():
                if block.get("type") == "tool_result":
                    found.append((_text(block["content"]), bool(block.get("is_error"))))
        return found


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    model: ScriptedModel

    def do_GET(self) -> None:
        self._send(404, b"{}", "application/json")

    do_HEAD = do_GET  # noqa: N815 - the name that http.server calls

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("content-length") or 0)) or b"{}")
        answer = self.model.answer(self.path.partition("?")[0], body)
        if answer is None:
            self.do_GET()
        elif isinstance(answer, dict):
            self._send(200, json.dumps(answer).encode(), "application/json")
        else:
            events = [(f"event: {each['type']}\n" if "type" in each else "", json.dumps(each)) for each in answer]
            end = "data: [DONE]\n\n" if self.path.endswith("/chat/completions") else ""
            text = "".join(f"{name}data: {data}\n\n" for name, data in events) + end
            self._send(200, text.encode(), "text/event-stream")

    def _send(self, status: int, data: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


def _messages(model: ScriptedModel, body: Body) -> Iterator[Body]:
    blocks = [b for m in body["messages"] if isinstance(m["content"], list) for b in m["content"]]
    call = model.next_call(sum(block.get("type") == "tool_result" for block in blocks)) if body.get("tools") else None
    block: Body = {"type": "text", "text": ""}
    delta: Body = {"type": "text_delta", "text": SAID}
    if call:
        block = {"type": "tool_use", "id": f"toolu_{len(blocks)}", "name": f"mcp__chomp__{call.tool}", "input": {}}
        delta = {"type": "input_json_delta", "partial_json": json.dumps(call.arguments)}
    stop = {"stop_reason": "tool_use" if call else "end_turn", "stop_sequence": None}
    usage = {"input_tokens": 1, "output_tokens": 1}
    head = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": body["model"],
        "content": [],
        "usage": usage,
    }
    yield {"type": "message_start", "message": {**head, "stop_reason": None, "stop_sequence": None}}
    yield {"type": "content_block_start", "index": 0, "content_block": block}
    yield {"type": "content_block_delta", "index": 0, "delta": delta}
    yield {"type": "content_block_stop", "index": 0}
    yield {"type": "message_delta", "delta": stop, "usage": {"output_tokens": 1}}
    yield {"type": "message_stop"}


def _responses(model: ScriptedModel, body: Body) -> Iterator[Body]:
    done = sum(item.get("type") == "function_call_output" for item in body["input"])
    call = model.next_call(done)
    item: Body = {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed"}
    item["content"] = [{"type": "output_text", "text": SAID, "annotations": []}]
    if call:
        name = {"name": call.tool, "namespace": "mcp__chomp"}
        item = {"type": "function_call", "id": f"fc_{done}", "call_id": f"call_{done}", "status": "completed", **name}
        item["arguments"] = json.dumps(call.arguments)
    usage = {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2}
    response = {"id": "resp_1", "object": "response", "model": body["model"], "output": [item], "usage": usage}
    yield {"type": "response.created", "response": {**response, "output": [], "status": "in_progress"}}
    yield {"type": "response.output_item.done", "output_index": 0, "item": item}
    yield {"type": "response.completed", "response": {**response, "status": "completed"}}


def _chat(model: ScriptedModel, body: Body) -> Iterator[Body] | Body:
    call = model.next_call(sum(m["role"] == "tool" for m in body["messages"])) if body.get("tools") else None
    said: Body = {"role": "assistant", "content": SAID}
    if call:
        function = {"name": f"chomp_{call.tool}", "arguments": json.dumps(call.arguments)}
        called = {"index": 0, "id": f"call_{len(body['messages'])}", "type": "function", "function": function}
        said = {"role": "assistant", "content": None, "tool_calls": [called]}
    head = {"id": "chatcmpl-1", "created": 0, "model": body["model"]}
    finish = "tool_calls" if call else "stop"
    if not body.get("stream"):
        choice = {"index": 0, "message": said, "finish_reason": finish}
        return {**head, "object": "chat.completion", "choices": [choice]}
    return iter(
        {**head, "object": "chat.completion.chunk", "choices": [{"index": 0, "delta": delta, "finish_reason": why}]}
        for delta, why in ((said, None), ({}, finish))
    )


_PLAYS = {"/messages": _messages, "/responses": _responses, "/chat/completions": _chat}


def _names(tool: Body) -> Iterator[str]:
    """A tool's name in any dialect; of a namespace those of its tools; of one that is only announced none."""
    if tool.get("defer_loading"):
        return
    if tool.get("type") == "namespace":
        yield from (f"{tool['name']}/{inner['name']}" for inner in tool["tools"])
    else:
        yield tool.get("name") or tool.get("function", {}).get("name", "")


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "\n".join(part.get("text", "") for part in content)
