"""The cursor dialect: text in, text out, and `pending` is no answer."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chomp_mcp import wire
from chomp_mcp.dialects import cursor
from chomp_mcp.messages import ChatRequest, Completion, Failed, FailureKind, Route, Usage
from chomp_mcp.routers.catalog import load
from chomp_mcp.settings import Settings
from tests.dialects.chunking import outcome, pieces, read, singly
from tests.dialects.judging import judged

ROUTER = load(Settings(home=Path("nowhere")))["cursor"]
HELLO = {"messages": [{"role": "user", "content": "hello"}]}


def sent(body=HELLO, *, stream=False):
    request = cursor.encode(Route(ROUTER, "cursor-agent"), ChatRequest(body=body, stream=stream))
    return request.url, wire.loads(request.body)


def test_the_model_is_never_sent_and_every_call_has_its_own_id():
    url, body = sent()
    request_id = body.pop("request_id")
    assert url == "http://localhost:3210/v1/complete"
    assert request_id.startswith("cursor-")
    assert request_id != sent()[1]["request_id"]
    assert body == {**HELLO, "agent_id": "chomp", "priority": "normal", "wait_timeout_ms": 115_000}


def test_a_stream_is_asked_for_at_another_path():
    assert sent(stream=True)[0] == "http://localhost:3210/v1/stream"


def test_the_adapters_own_fields_pass():
    _, body = sent({**HELLO, "agent_id": "a1", "priority": "high", "context": {"file": "x"}})
    assert (body["agent_id"], body["priority"], body["context"]) == ("a1", "high", {"file": "x"})


def test_contents_are_sent_as_text():
    parts = [{"type": "text", "text": "a"}, {"type": "image_url", "image_url": {}}, {"type": "text", "text": "b"}]
    messages = [{"role": "system", "content": None}, {"role": "user", "content": parts}, "odd"]
    assert sent({"messages": messages})[1]["messages"] == [
        {"role": "system", "content": ""},
        {"role": "user", "content": "a\nb"},
    ]


def test_what_the_adapter_does_not_take_is_told():
    route = Route(ROUTER, "cursor-agent")
    told = cursor.encode(route, ChatRequest(body={**HELLO, "temperature": 0.5, "tools": [], "seed": None})).notes
    assert told == ("cursor takes text only, no temperature, tools: dropped",)
    assert cursor.encode(route, ChatRequest(body=HELLO)).notes == ()


def answer(**fields):
    return wire.dumps({"request_id": "r", "status": "completed", "content": "hi", "model": "m", **fields})


def test_a_completed_answer_becomes_a_completion():
    usage = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
    got = cursor.decode(answer(usage=usage))
    assert isinstance(got, Completion)
    assert (got.text, got.usage, got.body["model"]) == ("hi", Usage(7, 3), "m")


def test_counts_of_zero_are_no_counts():
    got = cursor.decode(answer(usage={"prompt_tokens": 0, "completion_tokens": 0}))
    assert isinstance(got, Completion)
    assert got.usage is None


@pytest.mark.parametrize("status", ["pending", "processing"])
def test_an_unfinished_answer_is_a_timeout(status):
    got = cursor.decode(answer(status=status, content=""))
    assert isinstance(got, Failed)
    assert (got.kind, got.status) == (FailureKind.TIMEOUT, 504)
    assert status in got.message


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (answer(status="error", error="no luck"), "no luck"),
        (answer(status="error"), "without a reason"),
        (answer(status=["odd"]), "status"),
        (b"{}", "status"),
        (b"", "nothing"),
        (b"<html>", "HTML"),
        (b"[]", "JSON"),
    ],
)
def test_a_200_that_is_no_answer_is_a_failure(body, says):
    got = judged(cursor.decode(body))
    assert isinstance(got, Failed)
    assert says in got.message


def piece(content="", status="processing", **more):
    return wire.dumps({"request_id": "r", "status": status, "content": content, **more})


@pytest.mark.parametrize("between", [b"\n", b"", b"\r\n", b" \n\n"])
def test_each_content_is_a_delta_with_or_without_line_ends(between):
    decoder = cursor.decoder()
    stream = between.join([piece("a {"), piece(), piece('"b"'), piece("!", "completed"), piece("more")])
    deltas = read(decoder, stream)
    assert "".join(delta.text for delta in deltas) == 'a {"b"!'
    assert (deltas[-1].finish_reason, decoder.finished, decoder.done) == ("stop", True, True)


def test_the_end_without_a_word_is_the_end_of_the_answer():
    decoder = cursor.decoder()
    deltas = read(decoder, piece("a"), piece("b"))
    assert (deltas[-1].finish_reason, decoder.finished) == ("stop", True)


def test_the_end_in_the_middle_of_an_object_is_not():
    decoder = cursor.decoder()
    read(decoder, piece("a"), piece("b")[:10])
    assert (decoder.finished, decoder.error) == (False, None)


def test_an_error_ends_the_stream():
    decoder = cursor.decoder()
    deltas = read(decoder, piece("a"), piece(status="error", error="no luck"), piece("b"))
    assert [delta.text for delta in deltas] == ["a"]
    assert decoder.error
    assert "no luck" in judged(decoder.error).message


@pytest.mark.parametrize("body", [b"", b"\n", b"<html>", b"{]}", b"Bad gateway"])
def test_something_else_than_a_stream_is_a_failure(body):
    decoder = cursor.decoder()
    assert read(decoder, body) == []
    assert decoder.error
    assert not decoder.finished


@given(
    st.lists(
        st.sampled_from(
            [
                piece("é{"),
                piece('"\\'),
                piece(),
                piece("!", "completed"),
                piece(status="error", error="x"),
                b"\n",
                b"}",
                b"{",
                b"x",
            ]
        ),
        max_size=10,
    ),
    st.data(),
)
def test_any_chunking_gives_the_same(frames, data):
    stream = b"".join(frames)
    cut = data.draw(pieces(stream))
    assert outcome(cursor.decoder(), cut) == outcome(cursor.decoder(), [stream])
    assert outcome(cursor.decoder(), singly(stream)) == outcome(cursor.decoder(), [stream])


def test_the_adapter_has_no_list_but_a_label():
    assert cursor.encode_list(ROUTER, "") is None
    assert [model.ref for model in cursor.decode_list(ROUTER, b"")] == ["cursor/cursor-agent"]
