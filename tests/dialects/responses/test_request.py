"""Chat completions as Responses: what is sent."""

from __future__ import annotations

from openai.types.responses.response_create_params import ToolParam
from pydantic import TypeAdapter

from chomp_mcp import wire
from chomp_mcp.dialects.responses import answer as responses
from chomp_mcp.messages import ChatRequest, Route, Router
from tests.dialects.responses.router import HELLO, ROUTE, ROUTER, sent

FUNCTION = {"name": "weather", "description": "d", "parameters": {"type": "object", "properties": {}}}
TOOLS = [{"type": "function", "function": FUNCTION}]


def told(**more):
    return responses.encode(ROUTE, ChatRequest(body={**HELLO, **more})).notes


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
