"""Whatever JSON stands in a client's body: it is translated, or refused as the client's mistake; nothing else."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chomp_mcp import wire
from chomp_mcp.dialects import DIALECTS
from chomp_mcp.dialects.anthropic.door_count import estimate
from chomp_mcp.dialects.anthropic.door_request import chat_of as chat_of_messages
from chomp_mcp.dialects.gemini.door_request import chat_of as chat_of_gemini
from chomp_mcp.dialects.responses.door_request import to_chat
from chomp_mcp.doors.http.chat import chat_request, conversation_of
from chomp_mcp.errors import InvalidRequest
from chomp_mcp.messages import ChatRequest, Route, Router
from chomp_mcp.routers.catalog import load
from chomp_mcp.settings import Settings
from tests.dialects.chunking import read
from tests.support.gemini_answers import content
from tests.support.responses_answers import events_of, response, thought, wired

ROUTERS = load(Settings(home=Path("nowhere")))
ROUTES = [
    *(
        Route(ROUTERS[name], "m", "key")
        for name in ("groq", "sambanova", "openrouter", "anthropic", "gemini", "ollama", "cursor")
    ),
    Route(Router("gpt", "GPT", "https://gpt.example/v1", dialect="responses"), "m", "key"),
]
SCHEMA = {"type": "object", "properties": {"city": {"type": "string", "enum": ["a"]}}, "required": ["city"]}
PNG = "data:image/png;base64,AA=="
FORMAT = {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA, "strict": True}}

CHAT = {
    "model": "m",
    "temperature": 0.5,
    "max_tokens": 5,
    "stop": ["a"],
    "n": 1,
    "user": "u",
    "metadata": {"user_id": "u"},
    "reasoning_effort": "low",
    "response_format": FORMAT,
    "stream_options": {"include_usage": True},
    "options": {"num_ctx": 5},
    "thinking": {"type": "enabled", "budget_tokens": 2000},
    "tools": [{"type": "function", "function": {"name": "f", "description": "d", "parameters": SCHEMA}}],
    "tool_choice": {"type": "function", "function": {"name": "f"}},
    "functions": [{"name": "g", "parameters": SCHEMA}],
    "function_call": {"name": "g"},
    "messages": [
        {"role": "system", "content": [{"type": "text", "text": "s", "cache_control": {"type": "ephemeral"}}]},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "t"},
                {"type": "image_url", "image_url": {"url": PNG, "detail": "low"}},
                {"type": "file", "file": {"filename": "f.pdf", "file_data": "data:application/pdf;base64,AA=="}},
                {"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}},
            ],
        },
        {
            "role": "assistant",
            "content": None,
            "reasoning_content": "r",
            "reasoning_details": [{"type": "reasoning.text", "text": "r", "signature": "s"}],
            "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
        },
        {"role": "tool", "tool_call_id": "c", "content": [{"type": "text", "text": "ok"}]},
        {"role": "assistant", "content": "", "function_call": {"name": "g", "arguments": "{}"}},
        {"role": "function", "name": "g", "content": "ok"},
    ],
}
ALLOWED = {
    **CHAT,
    "tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": CHAT["tools"]}},
}
MESSAGES = {
    "model": "m",
    "max_tokens": 5,
    "stop_sequences": ["a"],
    "thinking": {"type": "enabled", "budget_tokens": 2000},
    "output_config": {"effort": "low", "format": {"type": "json_schema", "schema": SCHEMA}},
    "output_format": {"type": "json_schema", "schema": SCHEMA},
    "metadata": {"user_id": "u"},
    "service_tier": "auto",
    "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
    "system": [{"type": "text", "text": "s", "cache_control": {"type": "ephemeral"}}],
    "tools": [
        {
            "name": "f",
            "description": "d",
            "input_schema": SCHEMA,
            "defer_loading": True,
            "cache_control": {},
            "allowed_callers": ["direct"],
        },
        {"type": "web_search_20250305", "name": "web_search"},
    ],
    "tool_choice": {"type": "tool", "name": "f", "disable_parallel_tool_use": True},
    "messages": [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "t"},
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA=="}},
                {"type": "document", "title": "t", "context": "c", "source": {"type": "text", "data": "d"}},
                {"type": "document", "source": {"type": "content", "content": [{"type": "text", "text": "c"}]}},
                {"type": "search_result", "title": "t", "source": "s", "content": [{"type": "text", "text": "c"}]},
            ],
        },
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "t", "signature": "s"},
                {"type": "redacted_thinking", "data": "d"},
                {"type": "tool_use", "id": "c", "name": "f", "input": {"a": 1}},
            ],
        },
        {
            "role": "user",
            "content": [
                {
                    "type": "tool_result",
                    "tool_use_id": "c",
                    "is_error": True,
                    "cache_control": {"type": "ephemeral"},
                    "content": [{"type": "text", "text": "ok"}, {"type": "tool_reference", "tool_name": "f"}],
                }
            ],
        },
        {"role": "system", "content": "s"},
    ],
}
RESPONSES = {
    "model": "m",
    "instructions": "i",
    "max_output_tokens": 5,
    "reasoning": {"effort": "low", "summary": "auto"},
    "text": {"format": {"type": "json_schema", "name": "n", "schema": SCHEMA}, "verbosity": "low"},
    "tools": [
        {"type": "function", "name": "f", "description": "d", "parameters": SCHEMA, "strict": True},
        {"type": "custom", "name": "p", "format": {"type": "grammar", "syntax": "lark", "definition": "d"}},
        {"type": "namespace", "name": "n", "description": "d", "tools": [{"type": "function", "name": "f"}]},
        {"type": "web_search"},
    ],
    "tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "f"}]},
    "metadata": {"a": "b"},
    "include": ["reasoning.encrypted_content"],
    "prompt_cache_key": "k",
    "input": [
        {
            "role": "user",
            "content": [
                {"type": "input_text", "text": "t"},
                {"type": "input_image", "image_url": PNG, "detail": "low"},
                {"type": "input_file", "filename": "f", "file_data": "data:application/pdf;base64,AA=="},
                {"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}},
            ],
        },
        {"type": "reasoning", "id": "r", "summary": [{"type": "summary_text", "text": "s"}], "encrypted_content": "e"},
        {"type": "message", "role": "assistant", "phase": "final", "content": [{"type": "output_text", "text": "t"}]},
        {"type": "function_call", "id": "i", "call_id": "c", "name": "f", "namespace": "n", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c", "output": [{"type": "input_image", "image_url": PNG}]},
        {"type": "custom_tool_call", "call_id": "d", "name": "p", "input": "x"},
        {"type": "custom_tool_call_output", "call_id": "d", "output": "ok"},
    ],
}
GEMINI = {
    "systemInstruction": {"parts": [{"text": "s"}]},
    "contents": [
        {"role": "user", "parts": [{"text": "t"}, {"inlineData": {"mimeType": "image/png", "data": "AA=="}}]},
        {"role": "model", "parts": [{"functionCall": {"id": "i", "name": "f", "args": {"a": 1}}}]},
        {"role": "user", "parts": [{"functionResponse": {"id": "i", "name": "f", "response": {"a": 1}}}]},
        {"role": "user", "parts": [{"text": "t"}, {"fileData": {"mimeType": "text/csv", "fileUri": "https://a/b"}}]},
    ],
    "tools": [{"functionDeclarations": [{"name": "f", "description": "d", "parameters": SCHEMA}]}],
    "toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["f"]}},
    "generationConfig": {"temperature": 1, "stopSequences": ["a"], "responseSchema": SCHEMA, "responseMimeType": "a"},
}


def as_chat(body: Any) -> ChatRequest:
    conversation_of({}, body)
    return chat_request(body)


def as_messages(body: Any) -> ChatRequest:
    estimate(body)
    conversation_of({}, body)
    return ChatRequest(body=chat_of_messages(body)[0])


def as_responses(body: Any) -> ChatRequest:
    return ChatRequest(body=to_chat(body).body)


def as_gemini(body: Any) -> ChatRequest:
    return ChatRequest(body=chat_of_gemini(body)[0])


DOORS: list[tuple[dict[str, Any], Callable[[Any], ChatRequest]]] = [
    (CHAT, as_chat),
    (ALLOWED, as_chat),
    (MESSAGES, as_messages),
    (RESPONSES, as_responses),
    (GEMINI, as_gemini),
]


def places(value: Any, so_far: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every value below this one."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, item in inside:
        yield (*so_far, name)
        yield from places(item, (*so_far, name))


def with_value(body: dict[str, Any], path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    changed = copy.deepcopy(body)
    place: Any = changed
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    return changed


ANY_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=5,
)
ODD = [
    None,
    True,
    0,
    -1,
    2**70,
    0.5,
    "",
    "x",
    [],
    ["x"],
    [None],
    [[]],
    [{}],
    {},
    {"x": []},
    {"type": []},
    {"type": {}},
    [{"type": []}],
]
IS_LONG = "CHOMP_TEST_EXAMPLES" in os.environ


def odd_at(places: Iterable[tuple[Any, ...]]) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Every place with some of the odd values, and every value in some of the places; in the long form all in all."""
    for at, path in enumerate(places):
        for value in ODD if IS_LONG else ODD[at % 5 :: 5]:
            yield path, value


doors = pytest.mark.parametrize(
    ("body", "read"), DOORS, ids=["chat", "allowed tools", "messages", "responses", "gemini"]
)


def translate(body: dict[str, Any], read: Callable[[Any], ChatRequest]) -> int:
    """How many routers it can be sent to."""
    sent = 0
    try:
        request = read(body)
    except InvalidRequest:
        return sent
    for route in ROUTES:
        try:
            assert DIALECTS[route.router.dialect].encode(route, request).body
        except InvalidRequest:
            continue
        sent += 1
    return sent


@doors
def test_the_whole_body_goes_to_every_router(body, read):
    assert translate(body, read) == len(ROUTES)


def test_every_dialect_is_among_them():
    assert {route.router.dialect for route in ROUTES} | {"mock"} == set(DIALECTS), "a router for each, in ROUTES"


@doors
def test_an_odd_value_in_any_place_is_translated_or_refused(body, read):
    broken = {}
    for path, value in odd_at(places(body)):
        try:
            translate(with_value(body, path, value), read)
        except Exception as error:  # noqa: BLE001 - all of them at once, each with its place
            broken[".".join(map(str, path))] = (value, error)
    assert broken == {}


@doors
@given(data=st.data())
def test_any_json_in_any_place_is_translated_or_refused(body, read, data):
    path = data.draw(st.sampled_from(list(places(body))))
    translate(with_value(body, path, data.draw(ANY_JSON)), read)


RESPONSE = response(
    thought("hm"),
    "hello",
    {"id": "fc_1", "type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
    {"id": "ctc_1", "type": "custom_tool_call", "call_id": "d", "name": "p", "input": "x"},
    {"id": "ig_1", "type": "image_generation_call", "result": "AA==", "output_format": "png"},
    incomplete_details={"reason": "max_output_tokens"},
)


def test_an_odd_value_in_any_place_of_a_response_or_its_events_is_read_or_is_an_error():
    speak, broken = DIALECTS["responses"], {}
    events = events_of(RESPONSE)
    for path, value in odd_at(places(RESPONSE)):
        try:
            assert speak.decode(wire.dumps(with_value(RESPONSE, path, value))) is not None
        except Exception as error:  # noqa: BLE001 - all of them at once, each with its place
            broken[".".join(map(str, path))] = (value, error)
    for at in {event["type"]: at for at, event in enumerate(events)}.values():
        event = events[at]
        for path, value in odd_at(places({name: value for name, value in event.items() if name != "response"})):
            told = wired([*events[:at], with_value(event, path, value), *events[at + 1 :]])
            try:
                read(speak.decoder(), told)
            except Exception as error:  # noqa: BLE001
                broken[f"{event['type']} {'.'.join(map(str, path))}"] = (value, error)
    assert broken == {}


GEMINI_TOLD = content(
    {"text": "t", "thought": True},
    {"text": "t", "thoughtSignature": "s"},
    {"functionCall": {"id": "i", "name": "f", "args": {"a": 1}}, "thoughtSignature": "s"},
    {"inlineData": {"mimeType": "image/png", "data": "AA=="}},
    usage={"promptTokenCount": 1, "candidatesTokenCount": 1, "thoughtsTokenCount": 1, "cachedContentTokenCount": 1},
    promptFeedback={"blockReason": "SAFETY"},
)


def test_an_odd_value_in_any_place_of_a_gemini_answer_or_its_events_is_read_or_is_an_error():
    speak, broken = DIALECTS["gemini"], {}
    for path in places(GEMINI_TOLD):
        for value in ODD:
            told = wire.dumps(with_value(GEMINI_TOLD, path, value))
            try:
                assert speak.decode(told) is not None
                read(speak.decoder(), b"data: %b\n\n" % told)
            except Exception as error:  # noqa: BLE001 - all of them at once, each with its place
                broken[".".join(map(str, path))] = (value, error)
    assert broken == {}
