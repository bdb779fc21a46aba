"""Ollama by /api/chat, where a context length is asked for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chomp_mcp import wire
from chomp_mcp.dialects.ollama import compatible as ollama
from chomp_mcp.messages import Completion, Failed, FailureKind, Usage
from tests.dialects.chunking import outcome, pieces, read, singly
from tests.dialects.judging import judged
from tests.dialects.ollama.router import HELLO, TOOLS, sent, told


@pytest.mark.parametrize("more", [{"num_ctx": 32_768}, {"options": {"num_ctx": 32_768}}])
def test_a_context_length_is_asked_for_at_its_own_endpoint(more):
    url, body = sent({**HELLO, "max_tokens": 5, "temperature": 0.1, "stop": ["x"], **more})
    assert url == "http://localhost:11434/api/chat"
    options = {"num_ctx": 32_768, "num_predict": 5, "temperature": 0.1, "stop": ["x"]}
    assert body == {**HELLO, "model": "qwen3", "stream": False, "options": options}
    assert told({**HELLO, "logprobs": True, **more}) == ("ollama takes no logprobs with options: dropped",)


def test_its_own_endpoint_takes_images_arguments_and_tool_names_apart():
    parts = [
        {"type": "text", "text": "this?"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,QUJD"}},
    ]
    call = {"id": "1", "type": "function", "function": {"name": "weather", "arguments": '{"at": "Rome"}'}}
    messages = [
        {"role": "user", "content": parts},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "1", "content": "sun"},
    ]
    _, body = sent({"messages": messages, "options": {}, "tools": TOOLS})
    assert body["messages"] == [
        {"role": "user", "content": "this?", "images": ["QUJD"]},
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [{"id": "1", "function": {"name": "weather", "arguments": {"at": "Rome"}}}],
        },
        {"role": "tool", "content": "sun", "tool_call_id": "1", "tool_name": "weather"},
    ]
    assert body["tools"] == TOOLS


@pytest.mark.parametrize(
    ("field", "value", "name", "becomes"),
    [
        ("response_format", {"type": "json_object"}, "format", "json"),
        (
            "response_format",
            {"type": "json_schema", "json_schema": {"schema": {"type": "object"}}},
            "format",
            {"type": "object"},
        ),
        ("response_format", {"type": "text"}, "format", None),
        ("reasoning_effort", "high", "think", "high"),
        ("reasoning_effort", "none", "think", False),
        ("think", True, "think", True),
        ("keep_alive", "5m", "keep_alive", "5m"),
    ],
)
def test_formats_and_thinking_have_other_names_there(field, value, name, becomes):
    assert sent({**HELLO, "options": {}, field: value})[1].get(name) == becomes


@given(
    st.recursive(
        st.none() | st.integers(0, 9) | st.text(max_size=3),
        lambda x: (
            st.lists(x, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    ["role", "content", "type", "text", "tool_calls", "function", "arguments", "image_url", "url"]
                ),
                x,
                max_size=3,
            )
        ),
    )
)
def test_messages_of_any_shape_are_the_routers_to_judge(odd):
    body = {
        "messages": [odd, {"role": odd, "content": odd, "tool_calls": odd}],
        "options": odd,
        "num_ctx": 1,
        "tool_choice": odd,
    }
    sent(body)
    told(body)


NATIVE = {
    "model": "qwen3",
    "created_at": "2026-11-01T10:00:00Z",
    "message": {"role": "assistant", "content": "hi", "thinking": "hm"},
    "done": True,
    "done_reason": "stop",
    "prompt_eval_count": 7,
    "eval_count": 3,
}


def test_an_answer_of_its_own_becomes_a_completion():
    answer = ollama.decode(wire.dumps(NATIVE))
    assert isinstance(answer, Completion)
    assert answer.usage == Usage(7, 3)
    assert answer.message == {"role": "assistant", "content": "hi", "reasoning_content": "hm"}
    assert answer.body["choices"][0]["finish_reason"] == "stop"


def test_tool_calls_of_its_own_get_ids_and_text_arguments():
    call = {"id": "call_0", "function": {"name": "weather", "arguments": {"at": "Rome"}}}
    answer = ollama.decode(
        wire.dumps({**NATIVE, "message": {"role": "assistant", "content": "", "tool_calls": [call]}})
    )
    assert isinstance(answer, Completion)
    function = {"name": "weather", "arguments": '{"at":"Rome"}'}
    assert answer.message["tool_calls"] == [{"id": "call_0", "type": "function", "function": function}]
    assert answer.body["choices"][0]["finish_reason"] == "tool_calls"


def test_a_limit_that_was_hit_is_told():
    answer = ollama.decode(wire.dumps({**NATIVE, "done_reason": "length"}))
    assert isinstance(answer, Completion)
    assert answer.body["choices"][0]["finish_reason"] == "length"


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"{}", b'{"error": "model \'x\' not found"}'])
def test_a_200_that_is_no_answer_is_a_failure(body):
    assert isinstance(judged(ollama.decode(body)), Failed)


def line(content="", done=False, **more):
    value = {"model": "qwen3", "message": {"role": "assistant", "content": content, **more}, "done": done}
    return (
        wire.dumps({**value, **({"done_reason": "stop", "prompt_eval_count": 7, "eval_count": 3} if done else {})})
        + b"\n"
    )


CALL = {"function": {"name": "weather", "arguments": {"at": "Rome {}"}}}
CALLS = [{"id": f"call_{at}", **CALL} for at in range(2)]
STREAM = [
    line(thinking="hm"),
    line("hé"),
    line("llo"),
    line(tool_calls=CALLS[:1]),
    line(tool_calls=CALLS[1:]),
    line(done=True),
]


def test_a_stream_of_its_own_becomes_chunks():
    decoder = ollama.decoder()
    deltas = read(decoder, *STREAM)
    assert "".join(delta.text for delta in deltas) == "héllo"
    assert deltas[0].choice["reasoning_content"] == "hm"
    calls = [call for delta in deltas for call in delta.choice.get("tool_calls", [])]
    assert [(call["index"], call["id"], call["function"]["arguments"]) for call in calls] == [
        (0, "call_0", '{"at":"Rome {}"}'),
        (1, "call_1", '{"at":"Rome {}"}'),
    ]
    assert (deltas[-2].finish_reason, deltas[-1].is_usage_only) == ("tool_calls", True)
    assert (decoder.usage, decoder.finished, decoder.done) == (Usage(7, 3), True, True)


def test_an_error_line_ends_the_stream():
    decoder = ollama.decoder()
    deltas = read(decoder, line("hi"), b'{"error": "out of memory"}\n', line("more"))
    assert [delta.text for delta in deltas] == ["hi"]
    assert decoder.error
    assert "out of memory" in judged(decoder.error).message


def test_a_stream_that_just_stops_is_not_finished():
    decoder = ollama.decoder()
    read(decoder, line("hi"), line("there")[:20])
    assert (decoder.finished, decoder.error) == (False, None)


def test_the_last_line_may_lack_its_end():
    decoder = ollama.decoder()
    read(decoder, line("hi"), line(done=True).strip())
    assert decoder.finished


@pytest.mark.parametrize("body", [b"", b"\n", b"<html>", b"{]}", b'{"a": 1}', b"Bad gateway"])
def test_something_else_than_a_stream_is_a_failure(body):
    decoder = ollama.decoder()
    assert read(decoder, body) == []
    assert decoder.error
    assert judged(decoder.error).kind is FailureKind.TRANSIENT


@given(
    st.lists(
        st.sampled_from(
            [*STREAM, b"\n", b'{"error": "no luck"}\n', b"}", b'{"a": "\\"{"}', b"{", b'"', b"data: [DONE]\n\n"]
        ),
        max_size=10,
    ),
    st.data(),
)
def test_any_chunking_gives_the_same(frames, data):
    stream = b"".join(frames)
    cut = data.draw(pieces(stream))
    assert outcome(ollama.decoder(), cut) == outcome(ollama.decoder(), [stream])
    assert outcome(ollama.decoder(), singly(stream)) == outcome(ollama.decoder(), [stream])


@given(st.binary(max_size=60))
def test_any_bytes_end_in_deltas_or_an_error(noise):
    decoder = ollama.decoder()
    read(decoder, noise)
    assert decoder.error is None or judged(decoder.error).message
