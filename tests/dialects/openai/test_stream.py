"""What is read in a stream of chat completions, and any chunking of it."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from chomp_mcp import wire
from chomp_mcp.messages import Usage
from tests.dialects.openai.router import DONE, USAGE, chunk, event, read


def test_frames_are_relayed_in_the_routers_own_bytes():
    frame = b'{"choices" : [ {"delta":{"content":"hi"}, "index":0} ], "extra": 1.0}'
    deltas, decoder = read(event(frame), event(chunk({}, "stop")), DONE)
    assert deltas[0].data == frame
    assert (deltas[0].text, decoder.finished, decoder.done) == ("hi", True, True)


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


def test_zens_cost_after_the_end_is_read_and_not_passed_on():
    cost = event({"choices": [], "cost": "0.0003"})
    for stream in (
        [event(chunk({"content": "x"}, "stop")), DONE, cost],
        [event(chunk({"content": "x"}, "stop")), cost, DONE],
    ):
        deltas, decoder = read(*stream)
        assert len(deltas) == 1
        assert decoder.cost_usd == Decimal("0.0003")


def test_chunks_that_are_no_part_of_an_answer_are_left_out():
    deltas, decoder = read(event({}), event({"id": "x", "object": "ping"}), event(chunk({"content": "hi"}, "stop")))
    assert (len(deltas), decoder.error) == (1, None)


def test_reasoning_is_kept_in_a_stream_and_given_its_other_name():
    deltas, _ = read(event(chunk({"reasoning": "h\nm"})), event(chunk({"reasoning_content": "x"})))
    assert wire.loads(deltas[0].data)["choices"][0]["delta"] == {"reasoning": "h\nm", "reasoning_content": "h\nm"}
    assert deltas[1].choice == {"reasoning_content": "x"}


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
