"""Sealed reasoning: where it goes back to, and where not."""

from __future__ import annotations

from chomp_mcp import wire
from chomp_mcp.dialects.openai import request as chat
from chomp_mcp.messages import ChatRequest, Route, Router
from tests.dialects.responses.router import HELLO, ITEM, ROUTER, added_up, decoded, sent
from tests.support.responses_answers import events_of, response, thought, wired


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
