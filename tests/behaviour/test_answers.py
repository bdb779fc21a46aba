"""What an answer is, and what every door makes of it."""

from __future__ import annotations

import json

import pytest

from tests.support.scripted import chunk, completion, sse
from tests.support.wires import wires

pytestmark = pytest.mark.anyio

CALL = {"id": "a", "type": "function", "function": {"name": "get_weather", "arguments": '{"city": "Paris"}'}}
SSE = {"content-type": "text/event-stream"}
DONE = b"data: [DONE]\n\n"


def events(*pieces):
    return b"".join(piece if isinstance(piece, bytes) else sse(piece) for piece in pieces)


NO_STREAMS = {
    "nothing but the end": events(DONE),
    "a foreign object": events({"status": "ok"}, DONE),
    "a role": events(chunk(role="assistant", content=""), DONE),
    "a role and an end": events(chunk(role="assistant"), chunk(finish="stop"), DONE),
    "usage alone": events({"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 0}}, DONE),
    "choices of null": events({"choices": [None]}, DONE),
    "no bytes": b"",
    "a comment": b": hi\n\n",
}
NO_ANSWERS = {
    "no choices": {"choices": []},
    "a choice of null": {"choices": [None]},
    "a choice that is a number": {"choices": [5]},
    "no message": {"choices": [{"index": 0, "finish_reason": "stop"}]},
    "an empty message": {"choices": [{"index": 0, "message": {"role": "assistant", "content": ""}}]},
    "a foreign object": {"status": "ok"},
    "a number for a text": {"choices": [{"index": 0, "message": {"role": "assistant", "content": 5}}]},
    "parts without words": {"choices": [{"index": 0, "message": {"content": [{"type": "text", "text": ""}]}}]},
}


@pytest.mark.parametrize("body", NO_STREAMS.values(), ids=NO_STREAMS.keys())
async def test_a_stream_without_an_answer_is_a_failed_attempt(home, body):
    async with wires(home, "groq", "cerebras", LLM_FALLBACKS="groq,cerebras") as w:
        w.groq.reply(200, body, SSE)
        w.cerebras.answer("hello")
        said = await w.deltas("m")
        assert "".join(each.choices[0].delta.content or "" for each in said if each.choices) == "hello"
        assert len(w.cerebras.chats) == 1


@pytest.mark.parametrize("body", NO_ANSWERS.values(), ids=NO_ANSWERS.keys())
async def test_a_body_without_an_answer_is_a_failed_attempt(home, body):
    async with wires(home, "groq", "cerebras", LLM_FALLBACKS="groq,cerebras") as w:
        w.groq.reply(200, body)
        w.cerebras.answer("hello")
        answer = await w.chat("m")
        assert answer.choices[0].message.content == "hello"
        assert [attempt["router"] for attempt in answer.chomp["attempts"]] == ["groq", "groq", "cerebras"]


@pytest.mark.parametrize("reason", ["length", "content_filter"])
async def test_whoever_may_not_speak_has_answered(home, reason):
    async with wires(home, "lab") as w:
        w.lab.stream([chunk(role="assistant", content="")], finish=reason)
        said = await w.deltas("lab/m")
        assert [each.choices[0].finish_reason for each in said if each.choices][-1] == reason
        assert len(w.lab.chats) == 1


async def test_a_choice_without_a_message_beside_a_good_one_is_left_out(home):
    async with wires(home, "lab") as w:
        body = completion("hello")
        w.lab.reply(200, {**body, "choices": [None, *body["choices"], {"index": 1}]})
        assert [choice.message.content for choice in (await w.chat("lab/m")).choices] == ["hello"]


async def test_a_number_that_is_none_costs_no_answer(home):
    async with wires(home, "lab") as w:
        body = json.dumps({**completion("hello"), "score": float("nan"), "far": float("-inf")})
        w.lab.reply(200, body)
        answer = await w.chat("lab/m")
        assert (answer.choices[0].message.content, answer.score, answer.far) == ("hello", None, None)
        w.lab.stream([sse(json.dumps({**chunk("hel"), "score": float("nan")})), "lo"])
        assert (await w.streamed("lab/m")).choices[0].message.content == "hello"
        for line in (await w.raw("lab/m", stream=True)).text.splitlines():
            assert "NaN" not in line


async def test_a_choice_that_is_cut_after_the_other_has_ended_is_an_error(home):
    def said(index, text="", finish=None):
        choice = {"index": index, "delta": {"content": text} if text else {}, "finish_reason": finish}
        return {**chunk(), "choices": [choice]}

    pieces = [said(0, "a"), said(1, "b"), said(0, "c"), said(0, finish="stop"), said(1, "d")]
    async with wires(home, "lab") as w:
        w.lab.stream(pieces, finish=None, done=False)
        text = (await w.raw("lab/m", stream=True, n=2)).text
        assert '"error"' in text
        w.lab.stream([*pieces, said(1, finish="stop")], finish=None, done=False)
        text = (await w.raw("lab/m", stream=True, n=2)).text
        assert '"error"' not in text


async def test_a_choice_that_was_asked_for_and_never_began_is_an_error_unless_the_router_says_that_it_is_done(home):
    told = {**chunk(), "choices": [{"index": 0, "delta": {"content": "a"}, "finish_reason": "stop"}]}
    async with wires(home, "lab", "ollama") as w:
        w.lab.stream([events(told)], done=False)
        assert "stopped in the middle" in (await w.raw("lab/m", stream=True, n=2)).text
        w.lab.stream([events(told)], done=False)
        assert "stopped in the middle" not in (await w.raw("lab/m", stream=True)).text
        w.lab.stream([events(told), DONE], done=False)
        assert "stopped in the middle" not in (await w.raw("lab/m", stream=True, n=2)).text
        w.ollama.stream([events(told)], done=False)
        assert "stopped in the middle" not in (await w.raw("ollama/m", stream=True, n=2)).text, (
            "it is not asked for two"
        )


TEXTS = {
    "text and a call": (
        {"content": "Let me see.", "tool_calls": [CALL]},
        "Let me see.\n\n" + json.dumps({"tool_calls": [CALL]}, separators=(",", ":")),
    ),
    "a call alone": ({"tool_calls": [CALL]}, json.dumps({"tool_calls": [CALL]}, separators=(",", ":"))),
    "a refusal": ({"refusal": "I will not."}, "I will not."),
    "parts": ({"content": [{"type": "text", "text": "hel"}, {"type": "text", "text": "lo"}]}, "hello"),
    "a call of the old form": (
        {"function_call": {"name": "f", "arguments": "{}"}},
        '{"function_call":{"name":"f","arguments":"{}"}}',
    ),
    "a transcript": ({"audio": {"id": "a", "transcript": "hello"}}, "hello"),
    "thoughts alone": ({"reasoning": "It is 4."}, "It is 4."),
}


@pytest.mark.parametrize(("message", "text"), TEXTS.values(), ids=TEXTS.keys())
async def test_every_door_of_texts_says_all_of_an_answer(home, message, text):
    async with wires(home, "lab") as w:
        body = completion("")
        body["choices"][0]["message"] |= {"content": None, **message}
        w.lab.reply(200, body)
        assert (await w.v1_chat("lab/m"))["content"] == text
        delta = {**message}
        if "tool_calls" in delta:
            delta["tool_calls"] = [{"index": 0, **CALL}]
        w.lab.clear()
        w.lab.stream([chunk(**delta)])
        assert await w.v1_chat_stream("lab/m") == text
        assert (await w.job("lab/m"))["result"] == text
        assert text in "".join(block.text for block in (await w.ask("lab/m")).content)
        assert await w.python("lab/m") == text


async def test_halves_of_an_emoji_are_joined(home):
    async with wires(home, "lab") as w:
        halves = [sse(json.dumps(chunk(half))) for half in ("a\ud83d", "\ude00b")]
        w.lab.stream(["x", *halves, "c"])
        for text in (
            await w.python("lab/m"),
            (await w.job("lab/m"))["result"],
            await w.v1_chat_stream("lab/m"),
            (await w.streamed("lab/m")).choices[0].message.content,
        ):
            assert text == "xa\U0001f600bc"
        assert "xa\U0001f600bc" in (await w.ask("lab/m")).content[0].text


CUT = {
    "anthropic": [
        {"type": "message_start", "message": {"id": "m", "usage": {"input_tokens": 1, "output_tokens": 1}}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "a\ud83d"}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "\ude00b"}},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}},
        {"type": "message_stop"},
    ],
    "ollama": [
        {"model": "m", "message": {"role": "assistant", "content": "a\ud83d"}, "done": False},
        {"model": "m", "message": {"role": "assistant", "content": "\ude00b"}, "done": False},
        {"model": "m", "message": {"role": "assistant", "content": ""}, "done": True},
    ],
    "cursor": [
        {"request_id": "r", "status": "processing", "content": "a\ud83d"},
        {"request_id": "r", "status": "processing", "content": "\ude00b"},
        {"request_id": "r", "status": "completed"},
    ],
}


@pytest.mark.parametrize("router", CUT)
async def test_halves_of_an_emoji_are_joined_in_every_dialect(home, router):
    lines = [json.dumps(each) for each in CUT[router]]
    body = "".join(f"data: {line}\n\n" if router == "anthropic" else f"{line}\n" for line in lines)
    async with wires(home, router) as w:
        w.routers[router].reply(200, body)
        options = {"num_ctx": 8192} if router == "ollama" else {}
        assert (await w.job(f"{router}/m", **options))["result"] == "a\U0001f600b"
        assert await w.v1_chat_stream(f"{router}/m", **options) == "a\U0001f600b"


@pytest.mark.parametrize("at", [0, 1])
async def test_half_an_emoji_without_the_other_spoils_nothing(home, at):
    async with wires(home, "lab") as w:
        half = [rb"\ud83d", rb"\ude00"][at]
        w.lab.stream([b'data: {"choices":[{"index":0,"delta":{"content":"a%b"}}]}' % half + b"\n\n", "b"])
        assert (await w.job("lab/m"))["result"] == "a\ufffdb"


@pytest.mark.parametrize("streamed", [True, False])
async def test_a_picture_is_told_in_words_and_kept_in_the_structured_result(home, streamed):
    url = "data:image/png;base64,QUJD"
    picture = {"type": "image_url", "image_url": {"url": url}}
    async with wires(home, "lab") as w:
        if streamed:
            w.lab.stream([chunk(images=[picture])])
        else:
            body = completion("")
            body["choices"][0]["message"]["content"] = [picture]
            w.lab.reply(200, body)
        result = await w.ask("lab/m")
        assert result.content[0].text.startswith("(1 picture: image/png, 3 bytes)")
        assert result.structured_content["images"] == [url]
        assert (await w.job("lab/m"))["result"] == "(1 picture: image/png, 3 bytes)"
        w.lab.answer("hello")
        assert "images" not in (await w.ask("lab/m")).structured_content


async def test_an_event_may_be_as_large_as_an_answer(home):
    image = "data:image/png;base64," + "A" * 9_000_000
    async with wires(home, "lab") as w:
        w.lab.stream([chunk(images=[{"type": "image_url", "image_url": {"url": image}}])])
        said = await w.deltas("lab/m")
        assert said[0].choices[0].delta.images[0]["image_url"]["url"] == image


async def test_a_byte_order_mark_before_the_first_event_is_nothing(home):
    async with wires(home, "lab") as w:
        w.lab.reply(200, b"\xef\xbb\xbf" + events(chunk("hel"), chunk("lo"), chunk(finish="stop"), DONE), SSE)
        assert (await w.streamed("lab/m")).choices[0].message.content == "hello"
        w.lab.reply(200, b"\xef\xbb\xbf" + json.dumps(completion("hello")).encode())
        assert (await w.chat("lab/m")).choices[0].message.content == "hello"


@pytest.mark.parametrize("kind", ["text/event-stream", "application/json"])
async def test_a_router_that_streams_unasked_is_added_up(home, kind):
    usage = {"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}}
    body = events(chunk(role="assistant"), chunk("hel"), chunk("lo"), chunk(finish="stop"), usage, DONE)
    async with wires(home, "lab") as w:
        w.lab.reply(200, body, {"content-type": kind})
        answer = await w.chat("lab/m")
        assert (answer.choices[0].message.content, answer.usage.total_tokens) == ("hello", 10)


async def test_a_router_that_answers_whole_although_asked_to_stream_is_streamed(home):
    async with wires(home, "lab") as w:
        w.lab.reply(200, completion("hello", tool_calls=[{"function": {"name": "f", "arguments": {}}}]))
        answer = await w.streamed("lab/m")
        assert answer.choices[0].message.content == "hello"
        assert answer.choices[0].message.tool_calls[0].function.arguments == "{}"
        assert answer.choices[0].finish_reason == "tool_calls"


async def test_all_choices_of_a_stream_are_added_up(home):
    def said(index, text, finish=None):
        return {**chunk(), "choices": [{"index": index, "delta": {"content": text}, "finish_reason": finish}]}

    body = events(said(0, "a"), said(1, "b"), said(0, "c", "stop"), said(1, "d", "length"), DONE)
    async with wires(home, "lab") as w:
        w.lab.reply(200, body, SSE)
        answer = await w.chat("lab/m", n=2)
        assert [(c.message.content, c.finish_reason) for c in answer.choices] == [("ac", "stop"), ("bd", "length")]


SCHEMA = {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}}


@pytest.mark.parametrize("router", ["groq", "cerebras"])
@pytest.mark.parametrize("form", [SCHEMA, {"type": "json_object"}])
async def test_json_is_asked_for_whole_where_a_router_refuses_to_stream_it(home, router, form):
    def refuse_streams(upstream):
        async def play(request, wire):
            if request.wants_stream:
                await wire.whole(400, b'{"error": {"message": "response_format is not supported with streaming"}}')
            else:
                await wire.whole(200, json.dumps(completion('{"a":1}', request.model)).encode())

        upstream.play(play)

    async with wires(home, router) as w:
        refuse_streams(w.routers[router])
        model = f"{router}/m"
        asked = await w.ask(model, options={"response_format": form})
        assert not asked.is_error
        assert asked.content[0].text.startswith('{"a":1}')
        assert (await w.job(model, response_format=form))["result"] == '{"a":1}'
        assert await w.v1_chat_stream(model, response_format=form) == '{"a":1}'
        said = await w.deltas(model, response_format=form, stream_options={"include_usage": True})
        assert "".join(each.choices[0].delta.content or "" for each in said if each.choices) == '{"a":1}'
        assert [each.usage.total_tokens for each in said if each.usage] == [10]
        assert not any(request.wants_stream for request in w.routers[router].chats)


async def test_text_and_tools_are_streamed_all_the_same(home):
    async with wires(home, "groq") as w:
        w.groq.answer("hello")
        assert await w.v1_chat_stream("groq/m", response_format={"type": "text"}) == "hello"
        assert w.groq.chats[-1].wants_stream
