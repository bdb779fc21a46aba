"""The form before tools: what is sent as tools, and what comes back in that form."""

from __future__ import annotations

from chomp_mcp.dialects.openai.functions import as_function_call, as_function_calls, is_legacy, with_tools
from chomp_mcp.messages import ChatRequest, Completion, Delta

WEATHER = {"name": "weather", "parameters": {"type": "object", "properties": {}}}
CALL = {"name": "weather", "arguments": "{}"}
TOOL_CALLS = [
    {"index": 0, "id": "a", "type": "function", "function": CALL},
    {"index": 1, "id": "b", "type": "function", "function": {**CALL, "name": "other"}},
]


def test_functions_become_tools_and_calls_find_their_results_by_name():
    body = {
        "functions": [WEATHER],
        "function_call": {"name": "weather"},
        "messages": [
            {"role": "user", "content": "hi"},
            {"role": "assistant", "content": None, "function_call": CALL},
            {"role": "function", "name": "weather", "content": "sun"},
        ],
    }
    request, notes = with_tools(ChatRequest(body))
    assert notes == ("functions were sent as tools",)
    assert request.body["tools"] == [{"type": "function", "function": WEATHER}]
    assert request.body["tool_choice"] == {"type": "function", "function": {"name": "weather"}}
    assert request.body["parallel_tool_calls"] is False, "an answer of that form holds one call"
    assert not {"functions", "function_call"} & request.body.keys()
    _, asked, answered = request.body["messages"]
    assert (asked["tool_calls"][0]["function"], answered["role"]) == (CALL, "tool")
    assert asked["tool_calls"][0]["id"] == answered["tool_call_id"]
    assert "name" not in answered


def test_a_request_without_functions_is_the_same_one():
    request = ChatRequest({"messages": [{"role": "user", "content": "hi"}], "tools": [WEATHER]})
    assert with_tools(request) == (request, ())
    assert not is_legacy({**request.body, "functions": [WEATHER]}), "who sends tools too reads tool calls"


def test_an_answer_has_its_first_call_in_the_old_form_whole_or_streamed():
    choice = {"index": 0, "finish_reason": "tool_calls"}
    whole = Completion({"choices": [{**choice, "message": {"role": "assistant", "tool_calls": TOOL_CALLS}}]})
    told = as_function_call(whole).body["choices"][0]
    assert told["message"] == {"role": "assistant", "function_call": CALL}
    assert told["finish_reason"] == "function_call"
    pieces = [Delta(chunk={"choices": [{**choice, "delta": {"tool_calls": [call]}}]}) for call in TOOL_CALLS]
    first, second = as_function_calls(pieces)
    assert first.choice == {"function_call": CALL}
    assert second.choice == {}
    text = Delta(data=b'{"choices":[{"delta":{"content":"hi"}}]}', plain="hi")
    assert as_function_calls([text]) == [text]
