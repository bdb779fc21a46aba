"""A stream of Messages as chunks of a chat completion."""

from __future__ import annotations

import pytest
from anthropic.types import RawMessageStreamEvent
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from chomp_mcp import wire
from chomp_mcp.dialects.anthropic import answer as anthropic
from chomp_mcp.messages import Usage
from tests.dialects.anthropic.router import MESSAGE, OVERLOADED
from tests.dialects.chunking import outcome, pieces, read, singly
from tests.dialects.judging import judged


def event(kind, **fields):
    return f"event: {kind}\ndata: ".encode() + wire.dumps({"type": kind, **fields}) + b"\n\n"


def block_delta(index, kind, **fields):
    return event("content_block_delta", index=index, delta={"type": kind, **fields})


START = event(
    "message_start",
    message={**MESSAGE, "content": [], "stop_reason": None, "usage": {"input_tokens": 5, "output_tokens": 1}},
)
STOP = event("message_stop")
STREAM = [
    START,
    event("content_block_start", index=0, content_block={"type": "thinking", "thinking": "", "signature": ""}),
    event("ping"),
    block_delta(0, "thinking_delta", thinking="hm"),
    block_delta(0, "signature_delta", signature="s"),
    event("content_block_stop", index=0),
    event("content_block_start", index=1, content_block={"type": "text", "text": ""}),
    block_delta(1, "text_delta", text="I "),
    block_delta(1, "text_delta", text="löok."),
    event("content_block_stop", index=1),
    event(
        "content_block_start", index=2, content_block={"type": "tool_use", "id": "t1", "name": "weather", "input": {}}
    ),
    block_delta(2, "input_json_delta", partial_json=""),
    block_delta(2, "input_json_delta", partial_json='{"at":'),
    block_delta(2, "input_json_delta", partial_json='"Rome"}'),
    event("content_block_stop", index=2),
    event("content_block_start", index=3, content_block={"type": "tool_use", "id": "t2", "name": "now", "input": {}}),
    event("content_block_stop", index=3),
    event(
        "message_delta",
        delta={"stop_reason": "tool_use", "stop_sequence": None},
        usage={"output_tokens": 7, "cache_read_input_tokens": 2, "input_tokens": 5},
    ),
    STOP,
]


def test_the_sample_stream_is_what_the_official_client_reads():
    for frame in STREAM:
        if b"event: ping" not in frame:
            TypeAdapter(RawMessageStreamEvent).validate_json(frame.partition(b"data: ")[2])


def test_a_streamed_message_becomes_chunks():
    decoder = anthropic.decoder()
    deltas = read(decoder, *STREAM)
    assert "".join(delta.text for delta in deltas) == "I löok."
    assert "".join(delta.choice.get("reasoning_content", "") for delta in deltas) == "hm"
    assert [delta.finish_reason for delta in deltas[-2:]] == ["tool_calls", None]
    assert deltas[-1].is_usage_only
    assert (decoder.usage, decoder.finished, decoder.done) == (Usage(7, 7, 2), True, True)
    assert {delta.chunk["id"] for delta in deltas} == {"msg_1"}
    assert deltas[0].choice == {"role": "assistant", "content": ""}


def test_streamed_tool_uses_become_calls_with_whole_arguments():
    said = [call for delta in read(anthropic.decoder(), *STREAM) for call in delta.choice.get("tool_calls", [])]
    named = {call["index"]: (call["id"], call["function"]["name"]) for call in said if "id" in call}
    arguments = {index: "".join(c["function"]["arguments"] for c in said if c["index"] == index) for index in named}
    assert named == {0: ("t1", "weather"), 1: ("t2", "now")}
    assert arguments == {0: '{"at":"Rome"}', 1: "{}"}


def test_an_error_event_ends_the_stream():
    decoder = anthropic.decoder()
    deltas = read(decoder, START, event("error", error=OVERLOADED["error"]), STREAM[7])
    assert [delta.text for delta in deltas] == [""]
    assert decoder.error
    assert (judged(decoder.error).message, decoder.finished) == ("Overloaded", False)


def test_a_stream_that_just_stops_is_not_finished():
    decoder = anthropic.decoder()
    read(decoder, *STREAM[:8], STREAM[8][:30])
    assert (decoder.finished, decoder.error) == (False, None)


def test_a_stream_without_its_last_event_still_tells_its_usage():
    decoder = anthropic.decoder()
    deltas = read(decoder, *STREAM[:-1])
    assert deltas[-1].is_usage_only
    assert decoder.finished


def test_one_message_instead_of_a_stream_is_an_answer_too():
    decoder = anthropic.decoder()
    deltas = read(decoder, wire.dumps(MESSAGE))
    assert (deltas[0].text, decoder.usage, decoder.finished) == (
        "I look. Wait.",
        Usage(8, 7, 2, cache_write_tokens=1),
        True,
    )


@pytest.mark.parametrize("body", [b"", b"<html>", b"data: x\n\n", wire.dumps(OVERLOADED)])
def test_something_else_than_a_stream_is_a_failure(body):
    decoder = anthropic.decoder()
    assert read(decoder, body) == []
    assert decoder.error


NOISE = [
    b": comment\n\n",
    event("error", error=OVERLOADED["error"]),
    b"data: {\n\n",
    event("brand_new", x=1),
    b'data: {"type":"content_block_start","index":[]}\n\n',
]


@given(st.lists(st.sampled_from([*STREAM, *NOISE]), max_size=12), st.data())
def test_any_chunking_gives_the_same(frames, data):
    stream = b"".join(frames)
    cut = data.draw(pieces(stream))
    assert outcome(anthropic.decoder(), cut) == outcome(anthropic.decoder(), [stream])
    assert outcome(anthropic.decoder(), singly(stream)) == outcome(anthropic.decoder(), [stream])
