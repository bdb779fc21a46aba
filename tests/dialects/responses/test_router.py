"""The responses dialect: chat completions as Responses, and Responses as chat completions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import ResponseInputItemParam
from openai.types.responses.response_create_params import ToolParam
from pydantic import TypeAdapter

from chomp_mcp import wire
from chomp_mcp.dialects.openai import request as chat
from chomp_mcp.dialects.openai.collect import Folder
from chomp_mcp.dialects.responses import answer as responses
from chomp_mcp.messages import ChatRequest, Completion, ErrorObject, Failed, Route, Router, Usage
from tests.dialects.chunking import outcome, pieces, read, singly
from tests.support.responses_answers import events_of, response, said, thought, wired

ROUTER = Router("zen", "Zen", "https://zen.example/v1", dialect="responses")
ROUTE = Route(ROUTER, "gpt-5.5", "sk-1")
HELLO = {"messages": [{"role": "user", "content": "hello"}]}
FUNCTION = {"name": "weather", "description": "d", "parameters": {"type": "object", "properties": {}}}
TOOLS = [{"type": "function", "function": FUNCTION}]
CALL = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"at": "Rome"}'}}
ITEM = {"id": "fc_1", "type": "function_call", "status": "completed", "call_id": "c1", "name": "weather"}
PATCH = {"id": "ctc_1", "type": "custom_tool_call", "call_id": "c2", "name": "apply_patch", "input": "*** é"}


def sent(body=HELLO, *, stream=False, route=ROUTE, **more):
    return wire.loads(responses.at(route).encode(route, ChatRequest(body={**body, **more}, stream=stream)).body)


def told(**more):
    return responses.encode(ROUTE, ChatRequest(body={**HELLO, **more})).notes


def decoded(whole):
    return responses.at(ROUTE).decode(wire.dumps(whole))


def added_up(stream, route=ROUTE):
    decoder, folder = responses.at(route).decoder(), Folder()
    deltas = read(decoder, stream)
    for delta in deltas:
        if b'"custom"' not in delta.data:  # which the SDK knows in whole answers only
            TypeAdapter(ChatCompletionChunk).validate_python(delta.chunk)
    folder.add(deltas)
    return folder.body(), decoder


# ---- what is sent


def test_the_call_has_the_key_and_asks_that_nothing_is_stored():
    request = responses.encode(ROUTE, ChatRequest(body=HELLO, stream=True))
    assert request.url == "https://zen.example/v1/responses"
    assert request.headers["authorization"] == "Bearer sk-1"
    assert wire.loads(request.body) == {
        "model": "gpt-5.5",
        "input": [{"type": "message", "role": "user", "content": "hello"}],
        "store": False,
        "include": ["reasoning.encrypted_content"],
        "stream": True,
    }
    assert request.notes == ()


def test_a_history_becomes_items_in_the_same_order():
    png = "data:image/png;base64,QUJD"
    see = [
        {"type": "text", "text": "see"},
        {"type": "image_url", "image_url": {"url": png, "detail": "low"}},
        {"type": "file", "file": {"file_data": "data:application/pdf;base64,UERG", "filename": "a.pdf"}},
    ]
    messages = [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": see},
        {"role": "assistant", "content": "I look.", "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "sun"}, see[1]]},
        {"role": "system", "content": "in mid-conversation"},
        {"role": "assistant", "content": None, "refusal": "no"},
    ]
    items = sent(messages=messages)["input"]
    assert items == [
        {"type": "message", "role": "system", "content": "be brief"},
        {
            "type": "message",
            "role": "user",
            "content": [
                {"type": "input_text", "text": "see"},
                {"type": "input_image", "image_url": png, "detail": "low"},
                {"type": "input_file", "file_data": "data:application/pdf;base64,UERG", "filename": "a.pdf"},
            ],
        },
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "I look."}]},
        {"type": "function_call", "call_id": "c1", "name": "weather", "arguments": '{"at": "Rome"}'},
        {
            "type": "function_call_output",
            "call_id": "c1",
            "output": [
                {"type": "input_text", "text": "sun"},
                {"type": "input_image", "image_url": png, "detail": "low"},
            ],
        },
        {"type": "message", "role": "system", "content": "in mid-conversation"},
        {"type": "message", "role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]},
    ]
    for item in items:
        if item["type"] != "message" or item["role"] != "assistant":  # the SDK wants ids there, the API does not
            TypeAdapter(ResponseInputItemParam).validate_python(item)


def test_tools_lose_their_nesting_and_are_not_strict_unless_said():
    own = {"type": "web_search"}
    grammar = {"type": "grammar", "grammar": {"syntax": "lark", "definition": "start: x"}}
    custom = {"type": "custom", "custom": {"name": "apply_patch", "format": grammar}}
    body = sent(tools=[*TOOLS, custom, own], tool_choice=TOOLS[0], parallel_tool_calls=False)
    assert body["tools"] == [
        {"type": "function", **FUNCTION, "strict": False},
        {
            "type": "custom",
            "name": "apply_patch",
            "format": {"type": "grammar", "syntax": "lark", "definition": "start: x"},
        },
        own,
    ]
    assert body["tool_choice"] == {"type": "function", "name": "weather"}
    assert body["parallel_tool_calls"] is False
    for tool in body["tools"]:
        TypeAdapter(ToolParam).validate_python(tool)
    some = {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [TOOLS[0]]}}
    choice = sent(tools=TOOLS, tool_choice=some)["tool_choice"]
    assert (choice["type"], choice["mode"], choice["tools"][0]["name"]) == ("allowed_tools", "required", "weather")


def test_a_choice_without_tools_is_not_sent():
    assert not {"tool_choice", "parallel_tool_calls"} & sent(tool_choice="auto", parallel_tool_calls=True).keys()


def test_a_free_form_call_and_its_result_are_items_of_their_own():
    call = {"id": "c2", "type": "custom", "custom": {"name": "apply_patch", "input": "*** é"}}
    turns = [{"role": "assistant", "tool_calls": [call]}, {"role": "tool", "tool_call_id": "c2", "content": "ok"}]
    assert sent(messages=[*HELLO["messages"], *turns])["input"][1:] == [
        {"type": "custom_tool_call", "call_id": "c2", "name": "apply_patch", "input": "*** é"},
        {"type": "custom_tool_call_output", "call_id": "c2", "output": "ok"},
    ]


def test_fields_go_by_their_names_in_responses():
    schema = {"name": "city", "schema": {"type": "object"}, "strict": True}
    body = sent(
        max_completion_tokens=500,
        reasoning_effort="high",
        verbosity="low",
        response_format={"type": "json_schema", "json_schema": schema},
        logprobs=True,
        top_logprobs=2,
        temperature=0.5,
        service_tier="flex",
        prompt_cache_key="k",
        user="u",
    )
    assert body["max_output_tokens"] == 500
    assert body["reasoning"] == {"effort": "high"}
    assert body["text"] == {"verbosity": "low", "format": {"type": "json_schema", **schema}}
    assert body["include"] == ["reasoning.encrypted_content", "message.output_text.logprobs"]
    names = ("top_logprobs", "temperature", "service_tier", "prompt_cache_key", "user")
    assert [body[name] for name in names] == [2, 0.5, "flex", "k", "u"]


def test_what_has_no_place_is_told_and_not_sent():
    assert told(stop=["x"], seed=1, n=1, logit_bias={}) == ("zen takes no logit_bias, seed, stop: dropped",)
    audio = [{"type": "text", "text": "hear"}, {"type": "input_audio", "input_audio": {}}]
    assert "messages[].input_audio" in told(messages=[{"role": "user", "content": audio, "name": "Bob"}])[0]
    assert told(max_tokens=5) == ("zen takes no limit of 5 tokens: 16 was sent",)
    assert sent(max_tokens=5)["max_output_tokens"] == 16


def test_a_row_drops_fields_of_responses_by_their_names():
    route = Route(Router("x", "X", "https://x", dialect="responses", drop=("include", "store")), "m")
    request = responses.encode(route, ChatRequest(body=HELLO, stream=False))
    assert not {"include", "store"} & wire.loads(request.body).keys()


def test_models_that_do_not_reason_are_not_asked_for_their_reasoning():
    assert "include" not in sent(route=Route(ROUTER, "openai/gpt-4.1-mini"))


# ---- what comes back


def test_a_whole_response_is_a_chat_completion():
    counts = {
        "input_tokens": 100,
        "input_tokens_details": {"cached_tokens": 60, "cache_write_tokens": 5},
        "output_tokens": 30,
        "output_tokens_details": {"reasoning_tokens": 20},
        "total_tokens": 130,
        "cost": "0.5",
    }
    item = {**ITEM, "arguments": '{"at": "Rome"}'}
    found = decoded(response(thought("hm", "so"), "hello", item, PATCH, usage=counts, service_tier="flex"))
    assert isinstance(found, Completion)
    ChatCompletion.model_validate(found.body)
    assert found.usage == Usage(100, 30, 60, cache_write_tokens=5, reasoning_tokens=20, service_tier="flex")
    assert str(found.cost_usd) == "0.5"
    assert found.finish_reason == "tool_calls"
    message = found.message
    assert (message["content"], message["reasoning_content"]) == ("hello", "hm\n\nso")
    assert message["tool_calls"] == [
        CALL,
        {"id": "c2", "type": "custom", "custom": {"name": "apply_patch", "input": "*** é"}},
    ]


@pytest.mark.parametrize(
    ("reason", "finish"), [("max_output_tokens", "length"), ("content_filter", "content_filter"), (None, "stop")]
)
def test_why_it_ended(reason, finish):
    more = {"status": "incomplete", "incomplete_details": {"reason": reason}} if reason else {}
    assert decoded(response("hello", **more)).finish_reason == finish
    body, decoder = added_up(wired(events_of(response("hello", **more))))
    assert body["choices"][0]["finish_reason"] == finish
    assert decoder.finished


def test_a_failed_response_is_an_error_with_its_words():
    error = {"code": "server_error", "message": "The model broke."}
    assert decoded(response(status="failed", error=error)) == ErrorObject(error)
    assert isinstance(decoded(response(status="failed")), ErrorObject)
    failed = {"type": "response.failed", "response": response(status="failed", error=error)}
    started = events_of(response("hello"))[:2]
    assert added_up(wired([*started, failed]))[1].error == ErrorObject(error)
    flat = {"type": "error", "code": "rate_limit_exceeded", "message": "Slow down.", "param": None}
    found = added_up(wired([*started, flat]))[1].error
    assert isinstance(found, ErrorObject)
    assert (found.error["code"], found.error["message"]) == ("rate_limit_exceeded", "Slow down.")


def test_a_response_without_a_word_is_no_answer():
    assert isinstance(decoded(response()), Failed)
    assert isinstance(decoded({"object": "response"}), Failed)


WHOLE = response(
    thought("hm", "so"), said("hellö " * 5), {**ITEM, "arguments": '{"at": "Rome"}'}, PATCH, said("and", "msg_2")
)


def test_a_stream_adds_up_to_the_whole():
    body, decoder = added_up(wired(events_of(WHOLE)))
    whole = decoded(WHOLE)
    assert {name: body["choices"][0]["message"].get(name) for name in whole.message} == whole.message
    assert decoder.usage == whole.usage
    assert body["choices"][0]["finish_reason"] == whole.finish_reason


@pytest.mark.parametrize("kept", [("response.output_item.done",), ()])
def test_a_server_that_tells_items_only_when_they_are_done_or_at_the_end_loses_nothing(kept):
    names = {"response.created", "response.completed", *kept}
    body, _ = added_up(wired([event for event in events_of(WHOLE) if event["type"] in names]))
    message, expected = body["choices"][0]["message"], decoded(WHOLE).message
    assert message["content"] == expected["content"]
    assert message["tool_calls"] == expected["tool_calls"]
    assert message["reasoning_details"] == expected["reasoning_details"]


def test_a_stream_that_lacks_its_end_is_not_finished():
    decoder = added_up(wired(events_of(WHOLE)[:-1]))[1]
    assert not decoder.finished


@given(st.data())
def test_any_chunking_gives_the_same(data):
    stream = wired(events_of(WHOLE))
    expected = outcome(responses.decoder(), [stream])
    assert outcome(responses.decoder(), data.draw(pieces(stream))) == expected


def test_every_byte_alone_gives_the_same():
    stream = wired(events_of(response("hé")))
    assert outcome(responses.decoder(), singly(stream)) == outcome(responses.decoder(), [stream])


# ---- what was thought


def test_sealed_reasoning_goes_back_to_the_route_that_made_it_and_to_no_other():
    item = {**ITEM, "arguments": '{"at": "Rome"}'}
    reasoning = [thought("hm", "so"), thought(sealed="bW9yZQ==", ident="rs_2")]
    answers = [decoded(response(*reasoning, item)).message, added_up(wired(events_of(response(*reasoning, item))))[0]]
    answers[1] = answers[1]["choices"][0]["message"]
    for message in answers:
        turns = [*HELLO["messages"], message, {"role": "tool", "tool_call_id": "c1", "content": "sun"}]
        items = sent(messages=turns)["input"]
        assert items[1:3] == reasoning
        assert [each["type"] for each in items[3:]] == ["function_call", "function_call_output"]
        elsewhere = Route(ROUTER, "grok-5")
        assert "reasoning" not in {each["type"] for each in sent(messages=turns, route=elsewhere)["input"]}
        plain = chat.encode(Route(Router("lab", "Lab", "https://lab"), "m"), ChatRequest(body={"messages": turns}))
        assert b"c2VhbGVk" not in plain.body
        assert plain.notes == ("reasoning that only zen/gpt-5.5 can read is left out",)


def test_openrouters_own_details_travel_to_openrouter_as_they_came():
    details = [{"type": "reasoning.encrypted", "data": "x", "format": "openai-responses-v1", "index": 0}]
    turns = [*HELLO["messages"], {"role": "assistant", "content": "hi", "reasoning_details": details}]
    request = chat.encode(Route(Router("or", "OR", "https://or"), "m"), ChatRequest(body={"messages": turns}))
    assert wire.loads(request.body)["messages"][1]["reasoning_details"] == details
