"""Chat completions as Messages: what is sent."""

from __future__ import annotations

import pytest

from chomp_mcp.dialects.anthropic import answer as anthropic
from chomp_mcp.messages import ChatRequest, Model, Route
from tests.dialects.anthropic.router import HELLO, ROUTER, TURN, sent, told


def test_the_key_travels_in_anthropics_own_header():
    request = anthropic.encode(Route(ROUTER, "m", "sk-ant-1"), ChatRequest(body=HELLO))
    assert request.url == "https://api.anthropic.com/v1/messages"
    assert (request.headers["x-api-key"], request.headers["anthropic-version"]) == ("sk-ant-1", "2023-06-01")
    assert "authorization" not in request.headers
    assert "sk-ant-1" not in repr(request)


def test_a_plain_question_needs_only_a_limit_more():
    assert sent() == {"model": "claude-opus-5-5", "max_tokens": 8192, "messages": TURN}
    assert sent(stream=True)["stream"] is True


def test_the_limit_is_the_callers_or_the_models_if_that_is_smaller():
    assert sent({**HELLO, "max_tokens": 5})["max_tokens"] == 5
    assert sent({**HELLO, "max_completion_tokens": 6})["max_tokens"] == 6
    assert sent(listed=Model("anthropic", "m", max_output=4096))["max_tokens"] == 4096


@pytest.mark.parametrize(
    "model",
    ["claude-haiku-4-5", "claude-opus-4-6", "claude-sonnet-4-20250514", "claude-opus-4", "claude-3-5-haiku-latest"],
)
def test_models_that_sample_get_one_temperature_of_at_most_one(model):
    body = sent({**HELLO, "temperature": 1.6, "top_p": 0.9, "top_k": 5}, model)
    assert (body["temperature"], body["top_k"], "top_p" in body) == (1, 5, False)


@pytest.mark.parametrize("model", ["claude-opus-4-7", "claude-opus-5-5", "claude-haiku-5-5"])
def test_later_models_refuse_sampling_and_are_spared_it(model):
    body = {**HELLO, "temperature": 0.5, "reasoning_effort": "high"}
    assert sent(body, model) == {**sent(model=model), "output_config": {"effort": "high"}}
    assert told(body, model) == ("anthropic takes no temperature: dropped",)


def test_stop_and_user_have_other_names():
    body = sent({**HELLO, "stop": "END", "user": "u1", "thinking": {"type": "adaptive"}})
    assert body["stop_sequences"] == ["END"]
    assert body["metadata"] == {"user_id": "u1"}
    assert body["thinking"] == {"type": "adaptive"}


def test_what_has_no_place_is_dropped_and_told():
    audio = {"role": "user", "content": [{"type": "input_audio"}, {"type": "text", "text": "x"}]}
    body = {"messages": [audio], "n": 2, "logprobs": True, "response_format": {"type": "json_object"}, "seed": None}
    assert sent(body).keys() == {"model", "max_tokens", "messages"}
    assert told(body) == ("anthropic takes no n, logprobs, response_format, messages[].input_audio: dropped",)
    assert told({**HELLO, "n": 1, "max_tokens": 3, "stop": ["x"]}) == ()
