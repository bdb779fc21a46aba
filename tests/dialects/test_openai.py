"""The openai dialect: what is sent, what is read, and any chunking of a stream."""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chomp_mcp import wire
from chomp_mcp.dialects import DIALECTS, dialect
from chomp_mcp.dialects.openai import request as openai
from chomp_mcp.dialects.stream import framing
from chomp_mcp.messages import ChatRequest, Completion, Delta, Failed, FailureKind, Route, Router, Usage
from chomp_mcp.routers.catalog import load
from chomp_mcp.settings import Settings
from tests.dialects.judging import judged

ROUTERS = load(Settings(home=Path("nowhere")))
LAB = Router(id="lab", name="Lab", url="http://lab/v1", max_tokens="")
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


def test_every_dialect_is_loaded_by_its_name():
    assert dialect("openai") is DIALECTS["openai"] is openai
    assert "telepathy" not in DIALECTS
    with pytest.raises(KeyError):
        dialect("telepathy")


# ---- what is sent


def test_the_callers_fields_travel_on_untouched():
    body = {**HELLO, "temperature": 0.2, "n": 3, "tools": [{"type": "function"}], "anything": {"at": ["all"]}}
    request, got = sent(LAB, body)
    assert request.url == "http://lab/v1/chat/completions"
    assert got == {**body, "model": "m", "stream": True, "stream_options": {"include_usage": True}}


def test_a_whole_answer_is_asked_for_without_a_word_of_streams():
    _, got = sent(LAB, stream=False)
    assert got == {**HELLO, "model": "m"}


def test_the_request_itself_is_never_changed():
    body = {
        "messages": [{"role": "user", "content": "x", "name": "me"}],
        "max_tokens": 5,
        "logprobs": True,
        "seed": None,
    }
    before = wire.dumps(body)
    sent(ROUTERS["groq"], body)
    assert wire.dumps(body) == before


def test_our_own_fields_and_nulls_stay_here():
    _, got = sent(LAB, {**HELLO, "router": "x", "chomp": {}, "stream_options": {"a": 1}, "stop": None}, stream=False)
    assert got == {**HELLO, "model": "m"}


@pytest.mark.parametrize("given_as", ["max_tokens", "max_completion_tokens"])
@pytest.mark.parametrize(
    ("router", "field"),
    [
        ("groq", "max_completion_tokens"),
        ("cerebras", "max_completion_tokens"),
        ("openrouter", "max_completion_tokens"),
        ("openai", "max_completion_tokens"),
        ("zen", "max_tokens"),
        ("sambanova", "max_tokens"),
        ("fireworks", "max_tokens"),
        ("ollama", "max_tokens"),
    ],
)
def test_the_output_limit_is_spelled_as_the_router_reads_it(router, field, given_as):
    _, got = sent(ROUTERS[router], {**HELLO, given_as: 9})
    assert {k: v for k, v in got.items() if k.startswith("max")} == {field: 9}


def test_of_two_output_limits_the_routers_own_spelling_counts():
    _, got = sent(ROUTERS["groq"], {**HELLO, "max_tokens": 1, "max_completion_tokens": 2})
    assert (got.get("max_tokens"), got["max_completion_tokens"]) == (None, 2)


def test_an_unknown_router_gets_the_limit_as_the_caller_wrote_it():
    assert sent(LAB, {**HELLO, "max_completion_tokens": 9})[1]["max_completion_tokens"] == 9


def test_what_groq_refuses_is_dropped_and_told():
    body = {
        "messages": [{"role": "user", "content": "x", "name": "me"}],
        "logprobs": True,
        "top_logprobs": 2,
        "store": None,
    }
    _, got = sent(ROUTERS["groq"], body, stream=False)
    assert got == {"messages": [{"role": "user", "content": "x"}], "model": "m"}
    told = openai.encode(Route(ROUTERS["groq"], "m"), ChatRequest(body=body)).notes
    assert told == ("groq takes no logprobs, top_logprobs, messages[].name: dropped",)


def test_nothing_dropped_is_nothing_told():
    assert openai.encode(Route(ROUTERS["groq"], "m"), ChatRequest(body=HELLO)).notes == ()


def test_null_fields_of_messages_are_left_out_but_for_the_content_beside_calls():
    call = {"role": "assistant", "content": None, "refusal": None, "tool_calls": [{"id": "1"}]}
    assert sent(LAB, {"messages": [call]})[1]["messages"] == [
        {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]}
    ]


def test_messages_that_are_no_messages_are_the_routers_to_judge():
    assert sent(LAB, {"messages": ["odd", 3]})[1]["messages"] == ["odd", 3]


def test_the_key_is_a_bearer_token_and_never_in_a_repr():
    request, _ = sent(LAB, key="sk-secret-1")
    assert request.headers["authorization"] == "Bearer sk-secret-1"
    assert "sk-secret-1" not in repr(request)


def test_no_key_is_no_authorization():
    assert "authorization" not in sent(LAB, key="")[0].headers


def test_the_headers_of_the_row_win():
    router = Router(id="lab", name="Lab", url="http://lab", headers={"Authorization": "Basic x", "X-Team": "a"})
    headers = sent(router)[0].headers
    assert (headers["authorization"], headers["x-team"]) == ("Basic x", "a")


def test_zen_gets_one_session_for_a_conversation():
    more = [*HELLO["messages"], {"role": "assistant", "content": "hi"}]
    first = sent(ROUTERS["zen"], {"messages": [{"role": "system", "content": "s"}, *more]})[0]
    later = sent(ROUTERS["zen"], {"messages": [{"role": "system", "content": "s"}, *more, *more]})[0]
    other = sent(ROUTERS["zen"], {"messages": [{"role": "system", "content": "t"}, *more]})[0]
    assert first.headers["x-opencode-session"] == later.headers["x-opencode-session"]
    assert first.headers["x-opencode-session"] != other.headers["x-opencode-session"]


@pytest.mark.parametrize("name", ["mine", "clé\r\nx-evil: 1", "half \ud83d", "x" * 100_000])
def test_a_callers_own_name_for_a_session_goes_out_as_a_hash_that_any_header_carries(name):
    told = sent(ROUTERS["zen"], session=name)[0].headers["x-opencode-session"]
    assert re.fullmatch("[0-9a-f]{32}", told)
    assert told == sent(ROUTERS["zen"], session=name)[0].headers["x-opencode-session"]
    assert told != sent(ROUTERS["zen"], session="other")[0].headers["x-opencode-session"]


# ---- whole answers


def test_a_whole_answer_is_the_routers_own_object():
    body = {"id": "1", "choices": [{"index": 0, "message": {"content": "hi"}}], "usage": USAGE, "x_extra": [1]}
    answer = openai.decode(wire.dumps(body))
    assert isinstance(answer, Completion)
    assert (answer.body, answer.text, answer.usage) == (body, "hi", Usage(7, 3, 2))


@pytest.mark.parametrize(
    ("more", "cost"),
    [
        ({"usage": {**USAGE, "cost": 0.00012}}, Decimal("0.00012")),
        ({"cost": "0.5"}, Decimal("0.5")),
        ({"cost": 0}, Decimal(0)),
        ({"cost": -1}, None),
        ({"cost": "free"}, None),
        ({}, None),
    ],
)
def test_the_cost_is_what_the_router_says(more, cost):
    answer = openai.decode(wire.dumps({"choices": [{"message": {"content": "hi"}}], **more}))
    assert isinstance(answer, Completion)
    assert answer.cost_usd == cost


def test_reasoning_is_kept_and_given_the_name_that_clients_read():
    answer = openai.decode(wire.dumps({"choices": [{"message": {"content": "hi", "reasoning": "hm"}}]}))
    assert isinstance(answer, Completion)
    assert answer.message == {"content": "hi", "reasoning": "hm", "reasoning_content": "hm"}


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "nothing"),
        (b" \n", "nothing"),
        (b"<html><title>502 Bad Gateway</title>", "502 Bad Gateway"),
        (b"<html>", "HTML"),
        (b"upstream says no", "not a JSON object"),
        (b"[1]", "not a JSON object"),
        (b"null", "not a JSON object"),
        (b'{"choices": []}', "no choices"),
        (b'{"choices": nul', "not a JSON object"),
        (b"\xff\xfe", "not a JSON object"),
    ],
)
def test_a_200_that_is_no_answer_says_what_came(body, says):
    failed = openai.decode(body)
    assert isinstance(failed, Failed)
    assert failed.kind is FailureKind.TRANSIENT
    assert says in failed.message


@pytest.mark.parametrize(
    "body",
    [
        {"error": {"message": "no luck", "code": 502}},
        {"error": "no luck"},
        {"message": "no luck", "type": "server_error", "param": None, "code": None},
        {"object": "error", "message": "no luck", "code": 400},
        {"detail": "no luck"},
        {"choices": [{"error": {"message": "no luck", "code": 502}, "finish_reason": "error"}]},
    ],
)
def test_an_error_inside_a_200_is_a_failure(body):
    failed = judged(openai.decode(wire.dumps(body)))
    assert isinstance(failed, Failed)
    assert "no luck" in failed.message


def test_half_an_emoji_does_no_harm():
    answer = openai.decode(b'{"choices": [{"message": {"content": "hi \\ud83d"}}]}')
    assert isinstance(answer, Completion)
    assert wire.dumps(answer.body)


# ---- streams


def test_frames_are_relayed_in_the_routers_own_bytes():
    frame = b'{"choices" : [ {"delta":{"content":"hi"}, "index":0} ], "extra": 1.0}'
    deltas, decoder = read(event(frame), event(chunk({}, "stop")), DONE)
    assert deltas[0].data == frame
    assert (deltas[0].text, decoder.finished, decoder.done) == ("hi", True, True)


def test_a_stream_without_its_end_mark_is_finished_by_its_finish_reason():
    _, decoder = read(event(chunk({"content": "hi"}, "stop")))
    assert (decoder.finished, decoder.done) == (True, False)


def test_a_stream_that_just_stops_is_not_finished():
    deltas, decoder = read(event(chunk({"content": "hi"})), b'data: {"choices": [{"del')
    assert [delta.text for delta in deltas] == ["hi"]
    assert (decoder.finished, decoder.error) == (False, None)


def test_the_last_event_may_lack_its_blank_line():
    deltas, decoder = read(event(chunk({"content": "hi"})), b"data: " + wire.dumps(chunk({}, "stop")))
    assert (len(deltas), decoder.finished) == (2, True)


def test_usage_and_cost_are_read_where_they_come():
    deltas, decoder = read(
        event(chunk({"content": "hi"}, "stop")), event({"choices": [], "usage": {**USAGE, "cost": 0.25}}), DONE
    )
    assert deltas[-1].is_usage_only
    assert (decoder.usage, decoder.cost_usd) == (Usage(7, 3, 2), Decimal("0.25"))


def test_openrouters_usage_chunk_loses_its_repeated_choice_and_keeps_its_cost():
    last = chunk({"role": "assistant", "content": ""}, "stop", usage={**USAGE, "cost": 0.25})
    deltas, _ = read(event(chunk({"content": "hi"}, "stop")), event(last), DONE)
    assert deltas[-1].is_usage_only
    assert deltas[-1].chunk["usage"]["cost"] == 0.25
    assert wire.loads(deltas[-1].data)["choices"] == []


def test_usage_in_the_finish_chunk_moves_into_one_chunk_of_its_own_at_the_end():
    usage = {**USAGE, "cost": 0.25}
    frames = [event(chunk({"content": "hi"}, usage=None)), event(chunk({}, "stop", usage=usage, x_groq={"id": "r"}))]
    deltas, decoder = read(*frames, DONE)
    assert deltas[0].data == frames[0][6:-2]
    assert (deltas[1].finish_reason, "usage" in deltas[1].chunk, deltas[1].chunk["x_groq"]) == (
        "stop",
        False,
        {"id": "r"},
    )
    assert [delta.chunk["usage"] for delta in deltas if delta.is_usage_only] == [usage]
    assert decoder.usage == Usage(7, 3, 2)


def test_usage_that_grows_with_every_chunk_is_told_once():
    first, last = {"prompt_tokens": 7, "completion_tokens": 1}, {"prompt_tokens": 7, "completion_tokens": 2}
    deltas, _ = read(event(chunk({"content": "a"}, usage=first)), event(chunk({"content": "b"}, "stop", usage=last)))
    assert [delta.text for delta in deltas] == ["a", "b", ""]
    assert [wire.loads(delta.data).get("usage") for delta in deltas] == [None, None, last]


def test_every_choice_keeps_its_finish_reason_beside_the_usage():
    second = {**chunk(usage=USAGE), "choices": [{"index": 1, "delta": {}, "finish_reason": "length"}]}
    deltas, _ = read(event(chunk({"content": "hi"}, "stop")), event(second))
    assert [delta.finish_reason for delta in deltas] == ["stop", "length", None]


def test_usage_that_nobody_can_mean_is_not_passed_on():
    deltas, decoder = read(event(chunk({"content": "hi"}, "stop", usage={"prompt_tokens": -5, "completion_tokens": 1})))
    assert ["usage" in delta.chunk for delta in deltas] == [False]
    assert decoder.usage is None


def test_zens_cost_after_the_end_is_read_and_not_passed_on():
    cost = event({"choices": [], "cost": "0.0003"})
    for stream in (
        [event(chunk({"content": "x"}, "stop")), DONE, cost],
        [event(chunk({"content": "x"}, "stop")), cost, DONE],
    ):
        deltas, decoder = read(*stream)
        assert len(deltas) == 1
        assert decoder.cost_usd == Decimal("0.0003")


def test_groqs_usage_is_found_in_its_own_field():
    _, decoder = read(event(chunk({}, "stop", x_groq={"id": "r", "usage": USAGE})), DONE)
    assert decoder.usage == Usage(7, 3, 2)


@pytest.mark.parametrize(
    "frame",
    [
        {
            "error": {"message": "no luck", "code": 502},
            "choices": [{"delta": {"content": ""}, "finish_reason": "error"}],
        },
        {"choices": [], "x_groq": {"error": "no luck"}},
        {"message": "no luck", "type": "server_error", "code": "x", "status_code": 503},
        {"error": {"message": "no luck"}, "status_code": 429},
        {"error": "no luck"},
    ],
)
def test_an_error_event_ends_the_stream(frame):
    deltas, decoder = read(event(chunk({"content": "hi"})), event(frame), event(chunk({"content": "more"})))
    assert [delta.text for delta in deltas] == ["hi"]
    assert decoder.error
    assert "no luck" in judged(decoder.error).message
    assert not decoder.finished


def test_a_finish_reason_of_error_is_an_error():
    _, decoder = read(event(chunk({"content": "hi"}, "error")))
    assert decoder.error


@pytest.mark.parametrize("data", [b'{"message": "no luck"}', b'{"error": {"message": "no luck"}}', b"no luck"])
def test_an_event_named_error_is_an_error(data):
    _, decoder = read(b"event: error\ndata: " + data + b"\n\n")
    assert decoder.error
    assert "no luck" in judged(decoder.error).message


@pytest.mark.parametrize("frame", [b"{]", b"hello", b"[1]", b"<html>"])
def test_garbage_in_a_stream_is_an_error(frame):
    deltas, decoder = read(event(chunk({"content": "hi"})), event(frame))
    assert len(deltas) == 1
    assert decoder.error
    assert judged(decoder.error).kind is FailureKind.TRANSIENT


def test_comments_events_without_data_and_unknown_fields_are_passed_over():
    noise = b": OPENROUTER PROCESSING\n\nevent: ping\n\nid: 3\nretry: 10\n\ndata:\n\n\n\n"
    deltas, decoder = read(noise, event(chunk({"content": "hi"})), noise, DONE)
    assert [delta.text for delta in deltas] == ["hi"]
    assert decoder.error is None


def test_chunks_that_are_no_part_of_an_answer_are_left_out():
    deltas, decoder = read(event({}), event({"id": "x", "object": "ping"}), event(chunk({"content": "hi"}, "stop")))
    assert (len(deltas), decoder.error) == (1, None)


def test_data_over_several_lines_comes_out_on_one():
    deltas, _ = read(b'data: {"choices": [{"index": 0,\ndata: "delta": {"content": "hi"}}]}\n\n')
    assert (deltas[0].text, b"\n" in deltas[0].data) == ("hi", False)


@pytest.mark.parametrize("end", [b"\r\n", b"\r"])
def test_other_line_ends_are_line_ends(end):
    stream = (event(chunk({"content": "hi"})) + event(chunk({}, "stop")) + DONE).replace(b"\n", end)
    deltas, decoder = read(*[stream[at : at + 1] for at in range(len(stream))])
    assert ([delta.text for delta in deltas], decoder.done) == (["hi", ""], True)


def test_reasoning_is_kept_in_a_stream_and_given_its_other_name():
    deltas, _ = read(event(chunk({"reasoning": "h\nm"})), event(chunk({"reasoning_content": "x"})))
    assert wire.loads(deltas[0].data)["choices"][0]["delta"] == {"reasoning": "h\nm", "reasoning_content": "h\nm"}
    assert deltas[1].choice == {"reasoning_content": "x"}


def test_tool_calls_without_an_index_get_one():
    def call(**fields):
        return event(chunk({"tool_calls": [fields]}))

    deltas, _ = read(
        call(id="a", function={"name": "f", "arguments": ""}),
        call(function={"arguments": "{}"}),
        call(id="a", function={"arguments": " "}),
        call(id="b", function={"name": "g", "arguments": ""}),
        event(chunk({"tool_calls": [{"id": "c", "function": {"name": "h"}}, {"id": "d", "function": {"name": "i"}}]})),
    )
    indexes = [c["index"] for delta in deltas for c in wire.loads(delta.data)["choices"][0]["delta"]["tool_calls"]]
    assert indexes == [0, 0, 0, 1, 2, 3]


def test_tool_calls_with_an_index_stay_as_they_came():
    frame = b'{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{"}}]}}]} '
    deltas, _ = read(event(frame))
    assert deltas[0].data == frame


def test_one_json_body_instead_of_a_stream_is_an_answer_too():
    body = {"id": "1", "object": "chat.completion", "model": "m", "usage": USAGE}
    calls = [{"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": "hi", "tool_calls": calls},
        "finish_reason": "stop",
    }
    deltas, decoder = read(wire.dumps({**body, "choices": [choice]}))
    assert (deltas[0].text, deltas[0].choice["tool_calls"][0]["index"], deltas[1].finish_reason) == ("hi", 0, "stop")
    assert deltas[2].is_usage_only
    assert (decoder.usage, decoder.finished) == (Usage(7, 3, 2), True)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "nothing"),
        (b"<html>", "HTML"),
        (b'{"error": "no luck"}', "no luck"),
        (b"Bad gateway", "JSON"),
        (b"\n\n", "nothing"),
    ],
)
def test_something_else_than_a_stream_says_what_came(body, says):
    deltas, decoder = read(body)
    assert deltas == []
    assert decoder.error
    assert says in judged(decoder.error).message


@pytest.mark.parametrize("ended", [True, False])
def test_an_endless_event_is_an_error_and_not_kept(ended):
    piece = b"x" * (framing.MAX_ANSWER_BYTES // 4)
    _, decoder = read(event(chunk({"content": "hi"})), b"data: {", *[piece] * 5, b"}\n\n" if ended else b"")
    assert decoder.error
    assert "MiB" in judged(decoder.error).message


def test_the_events_before_an_oversized_one_are_kept():
    huge = b'data: "' + b"x" * framing.MAX_ANSWER_BYTES + b'"\n\n'
    deltas, decoder = read(event(chunk({"content": "hi"})) + huge + event(chunk({"content": "more"})))
    assert [delta.text for delta in deltas] == ["hi"]
    assert decoder.error


FRAMES = [
    event(chunk({"role": "assistant", "content": ""})),
    event(chunk({"content": 'Grüße 👋 \\n " {}'})),
    event(chunk({"reasoning": "hm"})),
    event(chunk({"tool_calls": [{"id": "a", "function": {"name": "f"}}]})),
    event(chunk({"tool_calls": [{"index": 1, "function": {"arguments": "{"}}]})),
    event(chunk({}, "stop")),
    event(chunk({"content": ""}, "stop", usage={**USAGE, "cost": 0.5})),
    event({"choices": [], "usage": USAGE}),
    event({"choices": [], "cost": "0.25"}),
    event({"error": {"message": "no luck", "code": 502}}),
    b"event: error\r\ndata: no luck\r\n\r\n",
    b": comment\n\n",
    b"event: ping\n\n",
    b"data: a\ndata: b\n\n",
    b"\n\n\n",
    b"\r",
    b"{",
    b"<",
    DONE,
]


def outcome(pieces):
    deltas, decoder = read(*pieces)
    return (
        [delta.data for delta in deltas],
        decoder.usage,
        decoder.cost_usd,
        decoder.finished,
        decoder.done,
        decoder.error,
    )


@given(st.lists(st.sampled_from(FRAMES), max_size=8), st.data())
def test_any_chunking_gives_the_same(frames, data):
    stream = b"".join(frames)
    ends = data.draw(st.sampled_from([b"\n", b"\r\n"]))
    stream = stream.replace(b"\n", ends)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=12)))
    pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert outcome(pieces) == outcome([stream]) == outcome([stream[at : at + 1] for at in range(len(stream))])


# ---- frames that differ in their text alone are not parsed


def said(delta):
    return (delta.data, delta.text, delta.characters, delta.is_real, delta.finish_reason, delta.is_usage_only)


def parsed_each(frames):
    """What the frames say when each is parsed for itself."""
    return [said(Delta(data=frame)) for frame in frames]


def test_a_frame_like_the_one_before_is_not_parsed_and_says_the_same():
    frames = [wire.dumps(chunk({"content": text})) for text in ("Hi", " there", ", 👋", "Hi")]
    deltas, _ = read(*map(event, frames))
    assert [delta.plain for delta in deltas] == ["", " there", ", 👋", "Hi"]
    assert [said(delta) for delta in deltas] == parsed_each(frames)
    assert [delta.chunk for delta in deltas] == [wire.loads(frame) for frame in frames]


LIKENESSES = [
    b'{"choices":[{"index":0,"delta":{"content":"%s"}}]}',
    b'{"choices":[{"index":0,"delta":{"role":"assistant","content":"%s","refusal":null}}],"usage":null}',
    b'{"id":"%s","choices":[{"delta":{"content":"%s"}}]}',
    b'{"id":"hi","choices":[{"delta":{"content":"%s"}}]}',
    b'{"id":"say \\"%s","choices":[{"delta":{"content":"%s"}}]}',
    b'{ "choices": [ { "delta": {"content" : "%s"} , "index" : 0 } ] }',
    b'{"choices":[{"delta":{"content":"a","content":"%s"}}]}',
    b'{"choices":[{"delta":{"content":"%s","reasoning_content":"%s"}}]}',
    b'{"choices":[{"delta":{"content":"%s"},"index":1}]}',
    b'{"choices":[{"delta":{"content":"%s"}},{"index":1,"delta":{"content":"%s"}}]}',
]
TEXTS = [
    "hi",
    "?",
    "",
    " ",
    "a",
    "choices",
    "delta",
    "content",
    "role",
    '\\"',
    "\\n",
    "\\u00e4",
    "👋",
    "\u200b",
    "\x7f",
]


@given(st.lists(st.tuples(st.sampled_from(LIKENESSES), st.sampled_from(TEXTS)), max_size=12))
def test_frames_that_are_more_or_less_alike_say_what_they_say_alone(pairs):
    frames = [likeness.replace(b"%s", text.encode()) for likeness, text in pairs]
    deltas, _ = read(*map(event, frames))
    assert [said(delta) for delta in deltas] == parsed_each(frames)


@pytest.mark.parametrize("text", [b'"', b'a","b', b"\\", b"\t", b"\x00", b"\xff"])
def test_a_frame_that_only_looks_like_the_one_before_is_garbage_all_the_same(text):
    before, after = wire.dumps(chunk({"content": "%s"})).split(b"%s")
    deltas, decoder = read(event(before + b"hi" + after), event(before + text + after))
    assert len(deltas) == 1
    assert decoder.error


def test_a_frame_in_which_the_ends_of_the_one_before_overlap_is_garbage():
    before, after = wire.dumps(chunk({"content": "%s"})).split(b"%s")
    deltas, decoder = read(event(before + b"hi" + after), event(before + after[1:]))
    assert len(deltas) == 1
    assert decoder.error


def test_frames_that_each_bring_their_own_noise_come_through():
    frames = [wire.dumps(chunk({"content": "hi"}, noise="x" * at)) for at in range(20)]
    deltas, _ = read(*map(event, frames))
    assert [said(delta) for delta in deltas] == parsed_each(frames)


@given(st.binary(max_size=60))
def test_any_bytes_end_in_deltas_or_an_error(noise):
    _, decoder = read(noise)
    assert decoder.error is None or judged(decoder.error).message


# ---- lists


def listed(router, *rows, **more):
    return openai.decode_list(ROUTERS[router], wire.dumps({"object": "list", "data": list(rows), **more}))


def test_a_list_is_asked_for_where_the_router_keeps_it():
    def url(router):
        return openai.encode_list(ROUTERS[router], "k")

    assert url("groq").url == "https://api.groq.com/openai/v1/models"
    assert url("cerebras").url == "https://api.cerebras.ai/v1/models?format=openrouter"
    assert url("fireworks").url == "https://api.fireworks.ai/v1/serverless/models"
    assert url("groq").headers["authorization"] == "Bearer k"
    assert "authorization" not in openai.encode_list(ROUTERS["openrouter"], "").headers


def test_openrouters_prices_are_per_token_and_minus_one_is_unknown():
    row = {
        "id": "z-ai/glm",
        "name": "GLM",
        "context_length": 200_000,
        "top_provider": {"context_length": 128_000, "max_completion_tokens": None},
        "pricing": {
            "prompt": "0.00000006",
            "completion": "0.0000004",
            "input_cache_read": "0.00000001",
            "request": "0",
        },
    }
    model, auto = listed("openrouter", row, {"id": "openrouter/auto", "pricing": {"prompt": "-1", "completion": "-1"}})
    assert (model.price_in, model.price_out, model.price_cached) == (Decimal("0.06"), Decimal("0.4"), Decimal("0.01"))
    assert (model.name, model.context_length, model.max_output, model.free) == ("GLM", 128_000, None, False)
    assert (auto.price_in, auto.price_out, auto.free) == (None, None, False)


@pytest.mark.parametrize(
    ("row", "free"),
    [
        ({"id": "a", "pricing": {"prompt": "0", "completion": "0.0"}}, True),
        ({"id": "a", "pricing": {"prompt": "0", "completion": "0", "request": "0.01"}}, False),
        ({"id": "a", "pricing": {"prompt": "0", "completion": "0", "discount": 0.5}}, True),
        ({"id": "a", "pricing": {"prompt": "0"}}, False),
        ({"id": "a", "pricing": {"prompt": "?", "completion": "?"}}, False),
        ({"id": "a", "pricing": {}}, False),
        ({"id": "a"}, False),
        ({"id": "a:free"}, True),
        ({"id": "openrouter/free", "pricing": {"prompt": "-1", "completion": "-1"}}, True),
    ],
)
def test_free_is_read_from_the_prices(row, free):
    assert listed("openrouter", row)[0].free is free


def test_groqs_context_is_in_its_own_field():
    row = {"id": "openai/gpt-oss-120b", "context_window": 131_072, "max_completion_tokens": 65_536, "active": True}
    model = listed("groq", row)[0]
    assert (model.context_length, model.max_output, model.price_in) == (131_072, 65_536, None)


def test_cerebras_lists_in_openrouters_form():
    row = {
        "id": "gpt-oss-120b",
        "context_length": 131_072,
        "max_output_length": 40_000,
        "pricing": {"prompt": "0.00000035", "completion": "0.00000075"},
    }
    model = listed("cerebras", row)[0]
    assert (model.context_length, model.max_output, model.price_in) == (131_072, 40_000, Decimal("0.35"))


def test_sambanovas_prices_are_numbers():
    row = {
        "id": "x",
        "context_length": 16_384,
        "max_completion_tokens": 4096,
        "pricing": {"prompt": 6e-07, "completion": 1.2e-06, "duration_per_hour": 3},
    }
    model = listed("sambanova", row)[0]
    assert (model.price_in, model.price_out, model.max_output) == (Decimal("0.6"), Decimal("1.2"), 4096)


def test_fireworks_sells_by_sku():
    pricing = [
        {"sku": "LLM input tokens (uncached)", "amount": "0.15", "unit": "1M tokens"},
        {"sku": "LLM input tokens (cached)", "amount": "0.03", "unit": "1M tokens"},
        {"sku": "LLM output tokens", "amount": "0.50", "unit": "1M tokens"},
    ]
    model = listed(
        "fireworks", {"id": "accounts/fireworks/models/glm", "pricing": pricing, "context_length": 1_048_576}
    )[0]
    assert (model.price_in, model.price_cached, model.price_out) == (Decimal("0.15"), Decimal("0.03"), Decimal("0.5"))
    assert format(model.price_out, "f") == "0.5"


@pytest.mark.parametrize(
    "row",
    [
        {"id": "whisper-large-v3"},
        {"id": "canopylabs/orpheus-v1-english"},
        {"id": "meta-llama/llama-prompt-guard-2-22m"},
        {"id": "openai/gpt-oss-safeguard-20b"},
        {"id": "text-embedding-3-large"},
        {"id": "qwen3-reranker-8b"},
        {"id": "gpt-image-2"},
        {"id": "black-forest-labs/flux-1"},
        {"id": "x", "active": False},
        {"id": "x", "type": "embedding"},
        {"id": "x", "architecture": {"output_modalities": ["image"]}},
        {"id": "x", "output_modalities": ["audio"]},
        {"id": ""},
        {"id": 3},
        {},
    ],
)
def test_what_cannot_chat_is_left_out(row):
    assert listed("groq", row) == ()


def test_zen_shows_its_models_whatever_dialect_each_speaks():
    ids = ["grok-5", "grok-build-0.1", "muse-spark-1.1", "qwen3.8-flash", "qwen3.8-max", "glm-5.3-flash"]
    assert [model.id for model in listed("zen", *({"id": i} for i in ids))] == ids


@pytest.mark.parametrize("stream", [True, False])
def test_a_value_that_a_model_refuses_is_replaced_and_told(stream):
    request = ChatRequest(body={**HELLO, "reasoning_effort": "none"}, stream=stream)
    oss, qwen = (Route(ROUTERS["groq"], model, "k-1") for model in ("openai/gpt-oss-120b", "qwen/qwen3.8-27b"))
    assert wire.loads(openai.encode(oss, request).body)["reasoning_effort"] == "low"
    assert openai.encode(oss, request).notes == (
        "groq/openai/gpt-oss-120b takes no reasoning_effort none: low was sent",
    )
    assert wire.loads(openai.encode(qwen, request).body)["reasoning_effort"] == "none"
    assert openai.encode(qwen, request).notes == ()


@pytest.mark.parametrize("value", ["high", None, 0, ["none"], {"none": 1}])
def test_a_value_that_it_takes_or_that_is_none_of_ours_travels_as_it_is(value):
    route = Route(ROUTERS["groq"], "openai/gpt-oss-20b", "k-1")
    request = ChatRequest(body={**HELLO, "reasoning_effort": value})
    assert wire.loads(openai.encode(route, request).body).get("reasoning_effort") == value
    assert openai.encode(route, request).notes == ()


def test_zen_hides_what_only_opencode_may_use():
    shown = ["deepseek-v4.1-flash", "gpt-6", "claude-opus-5", "qwen3-max", "gemini-3"]
    hidden = ["big-pickle", "glm-5-free", "alpha-x", "jev-1"]
    assert [model.id for model in listed("zen", *({"id": i} for i in (*shown, *hidden)))] == shown


def test_what_chats_stays_whatever_else_its_name_says():
    ids = [
        "z-ai/glm-4.7-flash",
        "openai/gpt-oss-20b",
        "mistral-large",
        "qwen-vl-max",
        "gemma-3-27b-it",
        "groq/compound",
        "llama-3.2-11b-vision",
    ]
    assert [model.id for model in listed("groq", *({"id": i} for i in ids))] == ids


@pytest.mark.parametrize("body", [b'[{"id": "a"}]', b'{"data": [{"id": "a"}, 3]}', b'{"models": [{"id": "a"}]}'])
def test_a_list_may_be_bare_or_named(body):
    assert [model.ref for model in openai.decode_list(LAB, body)] == ["lab/a"]


@pytest.mark.parametrize("body", [b"", b"<html>", b'{"error": "no luck"}', b'"x"', b'{"data": {}}'])
def test_what_is_no_list_is_said_so(body):
    with pytest.raises(ValueError, match="model list"):
        openai.decode_list(LAB, body)
