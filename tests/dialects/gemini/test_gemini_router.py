"""The gemini dialect: chat completions as generateContent, and its answers as chat completions."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chomp_mcp import wire
from chomp_mcp.dialects.gemini import answer as gemini
from chomp_mcp.messages import ChatRequest, Completion, Failed, FailureKind, Route, Router, Usage
from tests.dialects.chunking import outcome, pieces, read, singly
from tests.dialects.judging import judged
from tests.support.gemini_answers import content, wired

ROUTER = Router("google", "Google", "https://generativelanguage.googleapis.com/v1beta", dialect="gemini", roles={})
HELLO = [{"role": "user", "content": "hello"}]
FUNCTION = {"name": "weather", "description": "d", "parameters": {"type": "object", "properties": {}}}
TOOLS = [{"type": "function", "function": FUNCTION}]
CALL = {"functionCall": {"name": "weather", "args": {"in": "Rome"}}, "thoughtSignature": "c2lnbmVk"}
SIGNED = {"google": {"thought_signature": "c2lnbmVk"}}


def encoded(messages=HELLO, model="gemini-3.5-flash", *, stream=False, **body):
    return gemini.encode(Route(ROUTER, model, "AIza-1"), ChatRequest({"messages": messages, **body}, stream=stream))


def sent(messages=HELLO, model="gemini-3.5-flash", **body):
    return wire.loads(encoded(messages, model, **body).body)


def answer(told):
    return gemini.decode(json.dumps(told).encode())


# ---- what is sent


@pytest.mark.parametrize(("stream", "method"), [(False, ":generateContent"), (True, ":streamGenerateContent?alt=sse")])
def test_the_model_stands_in_the_path_and_the_key_in_googles_own_header(stream, method):
    request = encoded(stream=stream)
    assert request.url == f"{ROUTER.url}/models/gemini-3.5-flash{method}"
    assert request.headers["x-goog-api-key"] == "AIza-1"
    assert "authorization" not in request.headers
    assert wire.loads(request.body) == {"contents": [{"role": "user", "parts": [{"text": "hello"}]}]}


def test_a_conversation_with_parallel_calls_is_turns_of_parts():
    calls = [
        {"id": f"c{n}", "type": "function", "function": {"name": "weather", "arguments": '{"in": "Rome"}'}}
        for n in (1, 2)
    ]
    results = [
        {"role": "tool", "tool_call_id": call["id"], "content": sky} for call, sky in zip(calls, "ab", strict=True)
    ]
    body = sent([{"role": "system", "content": "s"}, *HELLO, {"role": "assistant", "tool_calls": calls}, *results])
    assert body["systemInstruction"] == {"parts": [{"text": "s"}]}
    first, model, user = body["contents"]
    assert first["role"] == "user"
    assert [part["functionCall"]["args"] for part in model["parts"]] == [{"in": "Rome"}] * 2
    assert user == {
        "role": "user",
        "parts": [{"functionResponse": {"name": "weather", "response": {"output": sky}}} for sky in "ab"],
    }


def test_a_signature_goes_back_where_it_came_from_and_a_lost_one_is_named_as_lost():
    call = {"id": "c", "type": "function", "function": {"name": "weather", "arguments": "{}"}}

    def part(model="gemini-3.5-flash", **more):
        return sent([*HELLO, {"role": "assistant", "tool_calls": [{**call, **more}]}], model)["contents"][1]["parts"][0]

    assert part(extra_content=SIGNED)["thoughtSignature"] == "c2lnbmVk"
    assert part()["thoughtSignature"] == "skip_thought_signature_validator"
    assert "thoughtSignature" not in part("gemini-2.5-pro")


def test_media_travel_inside_or_by_their_address():
    parts = [
        {"type": "text", "text": "look"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}},
        {"type": "image_url", "image_url": {"url": "https://a/b.png?x=1"}},
        {"type": "file", "file": {"file_data": "data:application/pdf;base64,AA=="}},
        {"type": "input_audio", "input_audio": {"data": "AA==", "format": "mp3"}},
    ]
    assert sent([{"role": "user", "content": parts}])["contents"][0]["parts"] == [
        {"text": "look"},
        {"inlineData": {"mimeType": "image/png", "data": "AA=="}},
        {"fileData": {"fileUri": "https://a/b.png?x=1", "mimeType": "image/png"}},
        {"inlineData": {"mimeType": "application/pdf", "data": "AA=="}},
        {"inlineData": {"mimeType": "audio/mp3", "data": "AA=="}},
    ]


def test_parameters_have_googles_names_and_what_has_none_is_told():
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    form = {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}
    request = encoded(
        max_tokens=9, temperature=0, top_p=0.5, stop="END", seed=1, n=1, response_format=form, logit_bias={"1": 1}
    )
    assert wire.loads(request.body)["generationConfig"] == {
        "maxOutputTokens": 9,
        "temperature": 0,
        "topP": 0.5,
        "stopSequences": ["END"],
        "seed": 1,
        "responseMimeType": "application/json",
        "responseJsonSchema": schema,
    }
    assert request.notes == ("google takes no logit_bias: dropped",)


@pytest.mark.parametrize(
    ("model", "effort", "thinking"),
    [
        ("gemini-3.5-flash", "high", {"thinkingLevel": "high", "includeThoughts": True}),
        ("gemini-3.5-flash", "none", {"thinkingLevel": "minimal", "includeThoughts": False}),
        ("gemini-3.1-pro", "minimal", {"thinkingLevel": "low", "includeThoughts": True}),
        ("gemini-2.5-flash", "none", {"thinkingBudget": 0, "includeThoughts": False}),
        ("gemini-2.5-flash", "medium", {"thinkingBudget": 8192, "includeThoughts": True}),
    ],
)
def test_an_effort_is_a_level_or_a_budget(model, effort, thinking):
    assert sent(model=model, reasoning_effort=effort)["generationConfig"]["thinkingConfig"] == thinking


@pytest.mark.parametrize(
    ("choice", "config"),
    [
        ("required", {"mode": "ANY"}),
        ("none", {"mode": "NONE"}),
        ({"type": "function", "function": {"name": "weather"}}, {"mode": "ANY", "allowedFunctionNames": ["weather"]}),
        ({"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": TOOLS}}, {"mode": "ANY"}),
    ],
)
def test_a_choice_of_tools_is_a_mode(choice, config):
    other = {"type": "function", "function": {"name": "other"}}
    body = sent(tools=[*TOOLS, other], tool_choice=choice)
    assert body["toolConfig"] == {"functionCallingConfig": config}
    declared = body["tools"][0]["functionDeclarations"]
    assert declared[0] == {"name": "weather", "description": "d", "parametersJsonSchema": FUNCTION["parameters"]}
    assert len(declared) == (1 if isinstance(choice, dict) and choice["type"] == "allowed_tools" else 2)


# ---- what comes back


def test_a_whole_answer():
    usage = {"promptTokenCount": 9, "candidatesTokenCount": 3, "thoughtsTokenCount": 5, "cachedContentTokenCount": 4}
    told = answer(content({"text": "hm", "thought": True}, "hello", CALL, usage=usage))
    assert isinstance(told, Completion)
    assert (told.message["content"], told.message["reasoning_content"]) == ("hello", "hm")
    [call] = told.message["tool_calls"]
    assert call["function"] == {"name": "weather", "arguments": '{"in":"Rome"}'}
    assert call["extra_content"] == SIGNED
    assert told.finish_reason == "tool_calls"
    assert told.usage == Usage(9, 8, 4, reasoning_tokens=5)


@pytest.mark.parametrize(
    ("told", "finish"),
    [
        (content(finish="MAX_TOKENS"), "length"),
        (content(finish="SAFETY"), "content_filter"),
        ({"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, "usageMetadata": {}}, "content_filter"),
    ],
)
def test_an_end_without_a_word_says_why(told, finish):
    assert answer(told).finish_reason == finish


@pytest.mark.parametrize(
    "told", [content(finish="STOP"), content(finish="MALFORMED_FUNCTION_CALL"), {}, {"candidates": []}]
)
def test_nothing_said_is_no_answer(told):
    outcome = answer(told)
    assert isinstance(outcome, Failed)
    assert outcome.kind is FailureKind.TRANSIENT


def test_errors_are_googles_own():
    failed = judged(answer({"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "message": "Quota exceeded"}}))
    assert failed.kind is FailureKind.RATE_LIMITED


STREAM = wired(content({"text": "hm", "thought": True}, "hello", CALL))


def test_a_stream_says_the_same():
    decoder = gemini.decoder()
    deltas = read(decoder, STREAM)
    assert "".join(delta.text for delta in deltas) == "hello"
    assert [delta.finish_reason for delta in deltas if delta.finish_reason] == ["tool_calls"]
    calls = [call for delta in deltas for call in delta.choice.get("tool_calls", ())]
    assert [(call["index"], call["function"]["name"]) for call in calls] == [(0, "weather")]
    assert decoder.usage == Usage(7, 3)
    assert decoder.finished
    assert sum(delta.is_usage_only for delta in deltas) == 1


@given(st.data())
def test_any_cut_of_the_same_bytes_gives_the_same(data):
    whole = content({"text": "hm", "thought": True}, "hello ✓ 🎈", usage=None)
    stream = wired(whole)
    expected = outcome(gemini.decoder(), [stream])
    assert outcome(gemini.decoder(), data.draw(pieces(stream))) == expected
    assert outcome(gemini.decoder(), singly(stream)) == expected


def test_a_stream_that_stops_early_is_cut():
    decoder = gemini.decoder()
    read(decoder, STREAM.split(b"\r\n\r\n")[1] + b"\r\n\r\n")
    assert not decoder.finished


# ---- the list


def test_the_list_holds_what_generates_content():
    rows = [
        {
            "name": "models/gemini-3.5-flash",
            "displayName": "Gemini 3.5 Flash",
            "inputTokenLimit": 1048576,
            "outputTokenLimit": 65536,
            "supportedGenerationMethods": ["generateContent", "countTokens"],
            "thinking": True,
        },
        {"name": "models/gemini-embedding-001", "supportedGenerationMethods": ["embedContent"]},
    ]
    [model] = gemini.decode_list(ROUTER, json.dumps({"models": rows}).encode())
    assert (model.id, model.name) == ("gemini-3.5-flash", "Gemini 3.5 Flash")
    assert (model.context_length, model.max_output) == (1048576, 65536)
    assert model.can == {"reasoning"}
    request = gemini.encode_list(ROUTER, "AIza-1")
    assert request.url == f"{ROUTER.url}/models?pageSize=1000"
    assert request.headers["x-goog-api-key"] == "AIza-1"
