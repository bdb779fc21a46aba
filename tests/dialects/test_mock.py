"""The mock router: what each of its models plays, read back through its own decoder."""

from __future__ import annotations

import pytest

from chomp_mcp import wire
from chomp_mcp.dialects import mock
from chomp_mcp.messages import ChatRequest, Completion, Failed, FailureKind, Route, Router

ROUTER = Router(id="mock", name="Mock", url="mock://local", dialect="mock", free=True)


def played(model, stream=True, prompt="Say it again", **options):
    request = ChatRequest.from_prompt(prompt, options=options).with_stream(stream)
    sent = mock.encode(Route(ROUTER, model), request)
    return mock.play(wire.loads(sent.body), stream)


def read(script):
    decoder = mock.decoder()
    deltas = [delta for frame in script.frames for delta in decoder.feed(frame.data)]
    if not script.cut:
        deltas += decoder.close()
    return "".join(delta.text for delta in deltas), decoder


def body(script):
    return b"".join(frame.data for frame in script.frames)


def test_echo_streams_the_last_message_and_its_usage():
    text, decoder = read(played("echo", prompt="one  two\nthree "))
    assert text == "one  two\nthree "
    assert decoder.finished
    assert decoder.usage
    assert decoder.usage.output_tokens > 0


def test_echo_reads_the_text_parts_of_a_message():
    parts = [{"type": "text", "text": "a "}, {"type": "image_url", "image_url": {}}, {"type": "text", "text": "b"}]
    text, _ = read(played("echo", prompt="", messages=[{"role": "user", "content": parts}]))
    assert text == "a b"


@pytest.mark.parametrize("model", ["echo", "lorem?tokens=7"])
def test_a_whole_answer_says_the_same_as_the_stream(model):
    whole = mock.decode(body(played(model, stream=False)))
    text, decoder = read(played(model))
    assert isinstance(whole, Completion)
    assert (whole.text, whole.usage) == (text, decoder.usage)


def test_lorem_has_as_many_words_as_asked_for():
    assert len(read(played("lorem?tokens=30"))[0].split()) == 30
    assert len(read(played("lorem"))[0].split()) == 200


def test_the_output_limit_holds():
    text, decoder = read(played("lorem", max_tokens=5))
    assert len(text.split()) == 5
    assert decoder.usage
    assert decoder.usage.output_tokens == 5


def test_slow_takes_its_seconds_a_word_at_a_time():
    script = played("slow?seconds=3")
    assert sum(frame.delay_seconds for frame in script.frames) == pytest.approx(3)
    assert [frame.delay_seconds for frame in script.frames].count(1) == 3
    assert sum(frame.delay_seconds for frame in played("slow", stream=False).frames) == pytest.approx(70)
    assert sum(frame.delay_seconds for frame in played("slow?seconds=0.25").frames) == pytest.approx(0.25)


def test_429_says_when_to_come_back():
    script = played("429?retry_after=7")
    assert (script.status, script.headers["retry-after"]) == (429, "7")
    assert wire.loads(body(script))["error"]["code"] == "rate_limit_exceeded"


def test_500_is_a_server_error():
    script = played("500")
    assert script.status == 500
    assert wire.loads(body(script))["error"]["type"] == "server_error"


def test_cut_dies_after_its_characters():
    script = played("cut?after=40")
    text, decoder = read(script)
    assert (len(text), script.cut, decoder.finished, decoder.error) == (40, True, False, None)


def test_cut_dies_in_the_middle_of_a_whole_answer():
    script = played("cut", stream=False)
    assert script.cut
    with pytest.raises(ValueError, match="unexpected"):
        wire.loads(body(script))


@pytest.mark.parametrize("model", ["garbage", "empty"])
def test_garbage_and_nothing_are_failures_streamed_or_not(model):
    _, decoder = read(played(model))
    assert decoder.error
    assert decoder.error.kind is FailureKind.TRANSIENT
    whole = mock.decode(body(played(model, stream=False)))
    assert isinstance(whole, Failed)
    assert whole.kind is FailureKind.TRANSIENT


def test_an_unknown_name_is_told_as_openai_words_it():
    script = played("gpt-9")
    error = wire.loads(body(script))["error"]
    assert script.status == 404
    assert error["code"] == "model_not_found"
    assert error["message"] == "The model `gpt-9` does not exist or you do not have access to it."


@pytest.mark.parametrize(
    "model", ["lorem?tokens=many", "lorem?words=3", "echo?tokens=3", "slow?seconds=-1", "429?retry_after="]
)
def test_a_wrong_parameter_is_refused_by_name(model):
    script = played(model)
    assert script.status == 400
    assert model.partition("?")[2].partition("=")[0] in wire.loads(body(script))["error"]["message"]


def test_the_same_request_gets_the_same_bytes():
    assert played("lorem") == played("lorem")


def test_the_list_is_a_table_and_needs_no_call():
    assert mock.encode_list(ROUTER, "") is None
    listed = mock.decode_list(ROUTER, b"")
    assert [model.id for model in listed] == ["echo", "lorem", "slow", "429", "500", "cut", "garbage", "empty"]
    assert all(model.free and model.router == "mock" for model in listed)


def test_an_echo_of_megabytes_stays_a_bounded_number_of_frames():
    script = played("echo", prompt="a " * 1_000_000)
    assert len(script.frames) <= 100_002
    assert read(script)[0] == "a " * 1_000_000
