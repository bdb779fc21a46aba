"""What is sent to a router that speaks chat completions."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from chomp_mcp import wire
from chomp_mcp.dialects.openai import request as openai
from chomp_mcp.messages import ChatRequest, Route, Router
from chomp_mcp.routers.catalog import load
from chomp_mcp.settings import Settings
from tests.dialects.openai.router import HELLO, sent

ROUTERS = load(Settings(home=Path("nowhere")))
LAB = Router(id="lab", name="Lab", url="http://lab/v1", max_tokens="")


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
