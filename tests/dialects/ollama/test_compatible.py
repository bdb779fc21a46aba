"""Ollama by /v1, and the list of its models."""

from __future__ import annotations

from pathlib import Path

import pytest

from chomp_mcp import wire
from chomp_mcp.dialects.ollama import compatible as ollama
from chomp_mcp.messages import Completion, Usage
from chomp_mcp.routers.catalog import load
from chomp_mcp.settings import Settings
from tests.dialects.chunking import read
from tests.dialects.ollama.router import HELLO, ROUTER, TOOLS, sent, told


def test_a_plain_question_goes_to_v1():
    url, body = sent({**HELLO, "max_completion_tokens": 5, "n": 2}, stream=True)
    assert url == "http://localhost:11434/v1/chat/completions"
    options = {"stream": True, "stream_options": {"include_usage": True}}
    assert body == {**HELLO, "model": "qwen3", "max_tokens": 5, **options}
    assert told({**HELLO, "n": 2}) == ("ollama takes no n: dropped",)


def test_the_url_may_be_written_with_v1_too():
    router = load(Settings(home=Path("nowhere"), environment={"OLLAMA_BASE_URL": "box:11434/v1/"}))["ollama"]
    assert sent(router=router)[0] == "http://box:11434/v1/chat/completions"
    assert ollama.encode_list(router, "").url == "http://box:11434/api/tags"


def test_the_choice_of_no_tool_sends_no_tools():
    assert sent({**HELLO, "tools": TOOLS, "tool_choice": "none"})[1] == sent()[1]
    forced = {**HELLO, "tools": TOOLS, "tool_choice": "required"}
    assert sent(forced)[1]["tools"] == TOOLS
    assert told(forced) == ("ollama heeds no tool_choice: the model decides",)
    assert told({**forced, "num_ctx": 8192}) == ("ollama heeds no tool_choice: the model decides",)


def test_an_answer_of_v1_is_taken_as_it_is():
    body = {"choices": [{"message": {"content": "hi"}}], "usage": {"prompt_tokens": 7, "completion_tokens": 3}}
    answer = ollama.decode(wire.dumps(body))
    assert isinstance(answer, Completion)
    assert (answer.body, answer.usage) == (body, Usage(7, 3))


def test_a_stream_of_v1_is_relayed():
    frame = b'{"choices":[{"index":0,"delta":{"role":"assistant","content":"hi"},"finish_reason":"stop"}]}'
    decoder = ollama.decoder()
    deltas = read(decoder, b"data: " + frame + b"\n\n", b"data: [DONE]\n\n")
    assert (deltas[0].data, decoder.finished, decoder.done) == (frame, True, True)


def test_one_answer_of_v1_instead_of_a_stream_is_an_answer_too():
    decoder = ollama.decoder()
    deltas = read(decoder, b'{"choices": [{"index": 0, "message": {"content": "hi"}, "finish_reason": "stop"}]}')
    assert (deltas[0].text, decoder.finished) == ("hi", True)


def test_the_list_holds_what_is_pulled_and_chats():
    rows = [
        {"name": "qwen3:8b", "model": "qwen3:8b", "details": {"family": "qwen3"}},
        {"name": "nomic-embed-text:latest", "model": "nomic-embed-text:latest"},
        {"name": "mxbai:latest", "model": "mxbai:latest", "details": {"family": "bert"}},
        {"size": 3},
    ]
    (model,) = ollama.decode_list(ROUTER, wire.dumps({"models": rows}))
    assert (model.ref, model.free) == ("ollama/qwen3:8b", True)
    assert ollama.decode_list(ROUTER, b'{"models": []}') == ()
    with pytest.raises(ValueError, match="model list"):
        ollama.decode_list(ROUTER, b"<html>")
