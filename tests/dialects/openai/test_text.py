from __future__ import annotations

import pytest

from chomp_mcp import wire
from chomp_mcp.dialects import dialect
from chomp_mcp.dialects.gemini.door_answer import response_of
from chomp_mcp.dialects.openai.text import as_input
from chomp_mcp.messages import ChatRequest, Completion, Route, Router, Usage

NOTHING = [None, "", " \n", "null", " null ", '""', "[]", {}, []]


@pytest.mark.parametrize("arguments", NOTHING)
def test_no_arguments_in_any_spelling_are_an_empty_object(arguments):
    assert as_input(arguments) == {}


@pytest.mark.parametrize(
    ("arguments", "value"),
    [
        ('{"city": "Paris"}', {"city": "Paris"}),
        ({"city": "Paris"}, {"city": "Paris"}),
        ("Paris", {"arguments": "Paris"}),
        ('"Paris"', {"arguments": "Paris"}),
        ("[1]", {"arguments": [1]}),
        ("0", {"arguments": 0}),
        ('{"half": ', {"arguments": '{"half": '}),
        ("\ud83d", {"arguments": "\ud83d"}),
    ],
)
def test_arguments_that_are_no_object_travel_inside_one(arguments, value):
    assert as_input(arguments) == value


def calls_in(value):
    """Whatever a dialect calls the arguments of a call, wherever it puts them."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if name in {"input", "args", "arguments"} and not isinstance(inner, list):
                yield inner
            else:
                yield from calls_in(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from calls_in(inner)


@pytest.mark.parametrize("name", ["anthropic", "gemini", "ollama"])
@pytest.mark.parametrize("arguments", ["null", "", "{}"])
def test_a_call_without_arguments_reaches_every_router_that_wants_an_object_as_an_empty_one(name, arguments):
    call = {"id": "c1", "type": "function", "function": {"name": "now", "arguments": arguments}}
    body = {
        "messages": [
            {"role": "user", "content": "what time is it?"},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c1", "content": "noon"},
        ],
        **({"num_ctx": 4096} if name == "ollama" else {}),  # its own endpoint, which takes objects
    }
    route = Route(Router(id="lab", name="Lab", url="http://lab/v1", dialect=name), "m", "k")

    sent = wire.loads(dialect(name).encode(route, ChatRequest(body=body)).body)

    assert list(calls_in(sent)) == [{}]


@pytest.mark.parametrize("arguments", ["null", ""])
def test_an_answer_whose_call_has_no_arguments_has_an_empty_object_in_every_shape(arguments):
    calls = [{"id": "c1", "type": "function", "function": {"name": "now", "arguments": arguments}}]
    message = {"role": "assistant", "content": None, "tool_calls": calls}
    whole = {"id": "1", "object": "chat.completion", "choices": [{"index": 0, "message": message}]}
    completion = dialect("openai").decode(wire.dumps(whole))
    assert isinstance(completion, Completion)
    assert completion.message["tool_calls"][0]["function"]["arguments"] == "{}"

    response = response_of(completion, Usage(1, 1), model="m")

    assert list(calls_in(response)) == [{}]


@pytest.mark.parametrize("pieces", [["null"], ["", "null"], [""], ["{}"], ["{", "}"]])
def test_streamed_arguments_add_up_to_an_object_also_where_the_model_wrote_null(pieces):
    first, *more = pieces
    calls = [
        {"index": 0, "id": "c1", "type": "function", "function": {"name": "now", "arguments": first}},
        *({"index": 0, "function": {"arguments": each}} for each in more),
    ]
    choices = [({"tool_calls": [call]}, None) for call in calls] + [({}, "tool_calls")]
    decoder = dialect("openai").decoder()
    told = []
    for delta, finish in choices:
        event = {"id": "1", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}
        told += decoder.feed(b"data: %b\n\n" % wire.dumps(event))

    parts = [call["function"].get("arguments") or "" for each in told for call in each.choice.get("tool_calls", ())]
    assert "".join(parts) == "{}"


def test_null_inside_of_streamed_arguments_stays():
    pieces = ['{"a": ', "null", "}"]
    decoder = dialect("openai").decoder()
    told = []
    for at, piece in enumerate(pieces):
        head = {"id": "c1", "type": "function"} if not at else {}
        call = {"index": 0, **head, "function": {**({"name": "f"} if not at else {}), "arguments": piece}}
        event = {"id": "1", "choices": [{"index": 0, "delta": {"tool_calls": [call]}, "finish_reason": None}]}
        told += decoder.feed(b"data: %b\n\n" % wire.dumps(event))

    assert "".join(each.choice["tool_calls"][0]["function"]["arguments"] for each in told) == '{"a": null}'
