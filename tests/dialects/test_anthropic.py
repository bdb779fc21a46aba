"""The anthropic dialect: chat completions as Messages, and Messages as chat completions."""

from __future__ import annotations

from pathlib import Path

import pytest
from anthropic.types import Message, RawMessageStreamEvent
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from chomp_mcp import wire
from chomp_mcp.dialects.anthropic import answer as anthropic
from chomp_mcp.messages import ChatRequest, Completion, Failed, FailureKind, Model, Route, Usage
from chomp_mcp.routers.catalog import load
from chomp_mcp.settings import Settings
from tests.dialects.chunking import outcome, pieces, read, singly
from tests.dialects.judging import judged

ROUTER = load(Settings(home=Path("nowhere")))["anthropic"]
HELLO = {"messages": [{"role": "user", "content": "hello"}]}
TURN = [{"role": "user", "content": [{"type": "text", "text": "hello"}]}]
FUNCTION = {"name": "weather", "description": "d", "parameters": {"type": "object", "properties": {}}}


def sent(body=HELLO, model="claude-opus-5-5", *, stream=False, listed=None):
    request = anthropic.encode(Route(ROUTER, model, "sk-ant-1", listed=listed), ChatRequest(body=body, stream=stream))
    return wire.loads(request.body)


def told(body, model="claude-opus-5-5"):
    return anthropic.encode(Route(ROUTER, model), ChatRequest(body=body)).notes


# ---- what is sent


def test_the_key_travels_in_anthropics_own_header():
    request = anthropic.encode(Route(ROUTER, "m", "sk-ant-1"), ChatRequest(body=HELLO))
    assert request.url == "https://api.anthropic.com/v1/messages"
    assert (request.headers["x-api-key"], request.headers["anthropic-version"]) == ("sk-ant-1", "2023-06-01")
    assert "authorization" not in request.headers
    assert "sk-ant-1" not in repr(request)


def test_a_plain_question_needs_only_a_limit_more():
    assert sent() == {"model": "claude-opus-5-5", "max_tokens": 8192, "messages": TURN}
    assert sent(stream=True)["stream"] is True


def test_the_limit_is_the_callers_or_the_models_if_that_is_smaller():
    assert sent({**HELLO, "max_tokens": 5})["max_tokens"] == 5
    assert sent({**HELLO, "max_completion_tokens": 6})["max_tokens"] == 6
    assert sent(listed=Model("anthropic", "m", max_output=4096))["max_tokens"] == 4096


def test_system_and_developer_messages_become_the_system_prompt():
    body = {"messages": [{"role": "system", "content": "a"}, *HELLO["messages"], {"role": "developer", "content": "b"}]}
    assert sent(body)["system"] == [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    assert sent(body)["messages"] == TURN


def test_images_travel_as_base64_or_by_url():
    parts = [
        {"type": "text", "text": "what is this?"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,QUJD"}},
        {"type": "image_url", "image_url": {"url": "https://example.org/a.png", "detail": "low"}},
        {"type": "file", "file": {"file_data": "data:application/pdf;base64,UERG", "filename": "a.pdf"}},
    ]
    assert sent({"messages": [{"role": "user", "content": parts}]})["messages"][0]["content"] == [
        {"type": "text", "text": "what is this?"},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "QUJD"}},
        {"type": "image", "source": {"type": "url", "url": "https://example.org/a.png"}},
        {
            "type": "document",
            "source": {"type": "base64", "media_type": "application/pdf", "data": "UERG"},
            "title": "a.pdf",
        },
    ]


def test_a_round_of_tools_becomes_uses_and_results_in_alternating_turns():
    calls = [
        {"id": "1", "type": "function", "function": {"name": "weather", "arguments": '{"at": "Rome"}'}},
        {"id": "2", "type": "function", "function": {"name": "weather", "arguments": ""}},
    ]
    messages = [
        *HELLO["messages"],
        {"role": "assistant", "content": None, "tool_calls": calls},
        {"role": "tool", "tool_call_id": "1", "content": "sun"},
        {"role": "tool", "tool_call_id": "2", "content": [{"type": "text", "text": "rain"}]},
        {"role": "user", "content": "and now?"},
    ]
    _, uses, results = sent({"messages": messages})["messages"]
    assert uses == {
        "role": "assistant",
        "content": [
            {"type": "tool_use", "id": "1", "name": "weather", "input": {"at": "Rome"}},
            {"type": "tool_use", "id": "2", "name": "weather", "input": {}},
        ],
    }
    assert results == {
        "role": "user",
        "content": [
            {"type": "tool_result", "tool_use_id": "1", "content": [{"type": "text", "text": "sun"}]},
            {"type": "tool_result", "tool_use_id": "2", "content": [{"type": "text", "text": "rain"}]},
            {"type": "text", "text": "and now?"},
        ],
    }


def test_arguments_that_are_no_object_travel_inside_one():
    call = {"id": "1", "function": {"name": "f", "arguments": "not json"}}
    turn = sent({"messages": [*HELLO["messages"], {"role": "assistant", "tool_calls": [call]}]})["messages"][1]
    assert turn["content"][0]["input"] == {"arguments": "not json"}


def test_functions_become_tools_and_its_own_tools_stay():
    own = {"type": "web_search_20250305", "name": "web_search"}
    tools = sent({**HELLO, "tools": [{"type": "function", "function": {**FUNCTION, "strict": True}}, own]})["tools"]
    assert tools[0] == {
        "name": "weather",
        "description": "d",
        "strict": True,
        "input_schema": {"type": "object", "properties": {}, "additionalProperties": False},
    }
    assert tools[1] == own


@pytest.mark.parametrize(
    ("choice", "becomes"),
    [
        ("auto", None),
        ("required", {"type": "any"}),
        ("none", {"type": "none"}),
        ({"type": "function", "function": {"name": "weather"}}, {"type": "tool", "name": "weather"}),
        ({"type": "any"}, {"type": "any"}),
    ],
)
def test_the_tool_choice_is_translated(choice, becomes):
    body = {**HELLO, "tools": [{"type": "function", "function": FUNCTION}], "tool_choice": choice}
    assert sent(body).get("tool_choice") == becomes


def test_one_call_at_a_time_is_part_of_the_tool_choice():
    body = {**HELLO, "tools": [{"type": "function", "function": FUNCTION}], "parallel_tool_calls": False}
    assert sent(body)["tool_choice"] == {"type": "auto", "disable_parallel_tool_use": True}


@pytest.mark.parametrize(
    "model",
    ["claude-haiku-4-5", "claude-opus-4-6", "claude-sonnet-4-20250514", "claude-opus-4", "claude-3-5-haiku-latest"],
)
def test_models_that_sample_get_one_temperature_of_at_most_one(model):
    body = sent({**HELLO, "temperature": 1.6, "top_p": 0.9, "top_k": 5}, model)
    assert (body["temperature"], body["top_k"], "top_p" in body) == (1, 5, False)


@pytest.mark.parametrize("model", ["claude-opus-4-7", "claude-opus-5-5", "claude-haiku-5-5"])
def test_later_models_refuse_sampling_and_are_spared_it(model):
    body = {**HELLO, "temperature": 0.5, "reasoning_effort": "high"}
    assert sent(body, model) == {**sent(model=model), "output_config": {"effort": "high"}}
    assert told(body, model) == ("anthropic takes no temperature: dropped",)


def test_a_schema_becomes_the_output_format():
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}}
    assert sent({**HELLO, "response_format": wanted})["output_config"] == {
        "format": {"type": "json_schema", "schema": {"type": "object", "additionalProperties": False}}
    }
    assert told({**HELLO, "response_format": wanted}) == ()


def test_stop_and_user_have_other_names():
    body = sent({**HELLO, "stop": "END", "user": "u1", "thinking": {"type": "adaptive"}})
    assert body["stop_sequences"] == ["END"]
    assert body["metadata"] == {"user_id": "u1"}
    assert body["thinking"] == {"type": "adaptive"}


def test_what_has_no_place_is_dropped_and_told():
    audio = {"role": "user", "content": [{"type": "input_audio"}, {"type": "text", "text": "x"}]}
    body = {"messages": [audio], "n": 2, "logprobs": True, "response_format": {"type": "json_object"}, "seed": None}
    assert sent(body).keys() == {"model", "max_tokens", "messages"}
    assert told(body) == ("anthropic takes no n, logprobs, response_format, messages[].input_audio: dropped",)
    assert told({**HELLO, "n": 1, "max_tokens": 3, "stop": ["x"]}) == ()


@given(
    st.recursive(
        st.none() | st.integers(0, 9) | st.text(max_size=3),
        lambda x: (
            st.lists(x, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    ["role", "content", "type", "text", "tool_calls", "function", "image_url", "url", "messages"]
                ),
                x,
                max_size=3,
            )
        ),
    )
)
def test_messages_of_any_shape_are_the_routers_to_judge(odd):
    body = {
        "messages": [odd, {"role": odd, "content": odd}],
        "tools": [odd],
        "tool_choice": odd,
        "response_format": odd,
    }
    sent(body)
    told(body)


# ---- whole answers


MESSAGE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-opus-5-5",
    "content": [
        {"type": "thinking", "thinking": "hm", "signature": "s"},
        {"type": "text", "text": "I look. "},
        {"type": "text", "text": "Wait."},
        {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"at": "Rome"}},
    ],
    "stop_reason": "tool_use",
    "stop_sequence": None,
    "usage": {"input_tokens": 5, "output_tokens": 7, "cache_read_input_tokens": 2, "cache_creation_input_tokens": 1},
}


def test_a_message_becomes_a_completion():
    Message.model_validate(MESSAGE)  # the sample is what the official client reads
    answer = anthropic.decode(wire.dumps(MESSAGE))
    assert isinstance(answer, Completion)
    assert answer.usage == Usage(8, 7, 2, cache_write_tokens=1)
    assert answer.body == {
        "id": "msg_1",
        "object": "chat.completion",
        "created": 0,
        "model": "claude-opus-5-5",
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": "I look. Wait.",
                    "reasoning_content": "hm",
                    "thinking_blocks": [{"type": "thinking", "thinking": "hm", "signature": "s"}],
                    "tool_calls": [
                        {
                            "id": "toolu_1",
                            "type": "function",
                            "function": {"name": "weather", "arguments": '{"at":"Rome"}'},
                        }
                    ],
                },
                "finish_reason": "tool_calls",
            }
        ],
        "usage": {
            "prompt_tokens": 8,
            "completion_tokens": 7,
            "total_tokens": 15,
            "prompt_tokens_details": {"cached_tokens": 2, "cache_write_tokens": 1},
        },
    }


@pytest.mark.parametrize(
    ("reason", "finish"),
    [("end_turn", "stop"), ("max_tokens", "length"), ("refusal", "content_filter"), ("something_new", "stop")],
)
def test_every_stop_reason_has_a_finish_reason(reason, finish):
    answer = anthropic.decode(wire.dumps({**MESSAGE, "stop_reason": reason}))
    assert isinstance(answer, Completion)
    assert answer.body["choices"][0]["finish_reason"] == finish


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"{}", b'{"content": "x"}'])
def test_a_200_that_is_no_message_is_a_failure(body):
    failed = anthropic.decode(body)
    assert isinstance(failed, Failed)
    assert failed.kind is FailureKind.TRANSIENT


OVERLOADED = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}


def test_an_error_inside_a_200_is_judged():
    failed = judged(anthropic.decode(wire.dumps(OVERLOADED)))
    assert isinstance(failed, Failed)
    assert failed.message == "Overloaded"


# ---- streams


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


# ---- lists


def test_the_list_leaves_out_the_retired_and_knows_no_prices():
    request = anthropic.encode_list(ROUTER, "k")
    assert (request.url, request.headers["x-api-key"]) == ("https://api.anthropic.com/v1/models?limit=1000", "k")
    rows = [
        {
            "id": "claude-new",
            "display_name": "New",
            "lifecycle": "active",
            "max_input_tokens": 1_000_000,
            "max_tokens": 64_000,
        },
        {"id": "claude-old", "lifecycle": "retired"},
    ]
    (model,) = anthropic.decode_list(ROUTER, wire.dumps({"data": rows, "has_more": False}))
    assert model == Model("anthropic", "claude-new", "New", 1_000_000, 64_000)
    with pytest.raises(ValueError, match="model list"):
        anthropic.decode_list(ROUTER, b"{}")
