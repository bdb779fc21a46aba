"""Chat completions as generateContent: what is sent."""

from __future__ import annotations

import pytest

from chomp_mcp import wire
from tests.dialects.gemini.router import ROUTER, encoded, sent

FUNCTION = {"name": "weather", "description": "d", "parameters": {"type": "object", "properties": {}}}
TOOLS = [{"type": "function", "function": FUNCTION}]


@pytest.mark.parametrize(("stream", "method"), [(False, ":generateContent"), (True, ":streamGenerateContent?alt=sse")])
def test_the_model_stands_in_the_path_and_the_key_in_googles_own_header(stream, method):
    request = encoded(stream=stream)
    assert request.url == f"{ROUTER.url}/models/gemini-3.5-flash{method}"
    assert request.headers["x-goog-api-key"] == "AIza-1"
    assert "authorization" not in request.headers
    assert wire.loads(request.body) == {"contents": [{"role": "user", "parts": [{"text": "hello"}]}]}


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
