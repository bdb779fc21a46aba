"""Tool calls that a client can run, whatever the router made of them: whole, streamed, and folded."""

from __future__ import annotations

import json

import pytest

from tests.support.scripted import chunk
from tests.support.wires import wires

pytestmark = pytest.mark.anyio

TOOLS = [
    {"type": "function", "function": {"name": name, "parameters": {"type": "object", "properties": {}}}}
    for name in ("get_weather", "get_time")
]
WEATHER, TIME = '{"city": "Paris"}', '{"zone": "CET"}'


def piece(arguments=None, *, name=None, **fields):
    function = {} if name is None else {"name": name}
    function |= {} if arguments is None else {"arguments": arguments}
    return chunk(tool_calls=[{**fields, "function": function}])


def both(first, second):
    return chunk(tool_calls=[{**first}, {**second}])


def function(name, arguments):
    return {"type": "function", "function": {"name": name, "arguments": arguments}}


STREAMS = {
    "both have the index 0": [
        piece(WEATHER, name="get_weather", index=0, id="a"),
        piece(TIME, name="get_time", index=0, id="b"),
    ],
    "both have the index 0, in pieces": [
        piece("", name="get_weather", index=0, id="a"),
        piece(WEATHER[:5], index=0),
        piece(WEATHER[5:], index=0),
        piece("", name="get_time", index=0, id="b"),
        piece(TIME, index=0),
    ],
    "the index begins at 1": [
        piece(WEATHER, name="get_weather", index=1, id="a"),
        piece(TIME, name="get_time", index=2, id="b"),
    ],
    "the index begins at 1, in pieces that take turns": [
        piece("", name="get_weather", index=1, id="a"),
        piece("", name="get_time", index=2, id="b"),
        piece(WEATHER[:5], index=1),
        piece(TIME[:5], index=2),
        piece(WEATHER[5:], index=1),
        piece(TIME[5:], index=2),
    ],
    "no index": [piece(WEATHER, name="get_weather", id="a"), piece(TIME, name="get_time", id="b")],
    "no index and no id": [piece(WEATHER, name="get_weather"), piece(TIME, name="get_time")],
    "an id of null": [
        piece(WEATHER, name="get_weather", index=0, id=None),
        piece(TIME, name="get_time", index=1, id=None),
    ],
    "an empty id, all at index 0": [
        piece(WEATHER, name="get_weather", index=0, id=""),
        piece(TIME, name="get_time", index=0, id=""),
    ],
    "the same id twice": [
        piece(WEATHER, name="get_weather", index=0, id="call_0"),
        piece(TIME, name="get_time", index=1, id="call_0"),
    ],
    "id and name in every piece": [
        piece(WEATHER[:5], name="get_weather", index=0, id="a"),
        piece(WEATHER[5:], name="get_weather", index=0, id="a"),
        piece(TIME[:5], name="get_time", index=1, id="b"),
        piece(TIME[5:], name="get_time", index=1, id="b"),
    ],
    "the name in every piece, and no id": [
        piece(WEATHER[:5], name="get_weather", index=0),
        piece(WEATHER[5:], name="get_weather", index=0),
        piece(TIME[:5], name="get_time", index=1),
        piece(TIME[5:], name="get_time", index=1),
    ],
    "arguments as an object": [
        piece(json.loads(WEATHER), name="get_weather", index=0, id="a"),
        piece(json.loads(TIME), name="get_time", index=1, id="b"),
    ],
    "both in one piece, both at index 0": [
        both(
            {"index": 0, "id": "a", **function("get_weather", WEATHER)},
            {"index": 0, "id": "b", **function("get_time", TIME)},
        )
    ],
    "a new index for every piece": [
        piece(WEATHER[:5], name="get_weather", index=0, id="a"),
        piece(WEATHER[5:], index=1),
        piece(TIME[:5], name="get_time", index=2, id="b"),
        piece(TIME[5:], index=3),
    ],
    "the id comes late": [
        piece("", name="get_weather", index=0),
        piece(WEATHER, index=0, id="a"),
        piece("", name="get_time", index=1),
        piece(TIME, index=1, id="b"),
    ],
}


def is_right(calls):
    assert [(call.function.name, json.loads(call.function.arguments)) for call in calls] == [
        ("get_weather", {"city": "Paris"}),
        ("get_time", {"zone": "CET"}),
    ]
    ids = [call.id for call in calls]
    assert all(isinstance(each, str) and each for each in ids)
    assert len(set(ids)) == len(ids)
    assert {call.type for call in calls} == {"function"}


@pytest.mark.parametrize("pieces", STREAMS.values(), ids=STREAMS.keys())
async def test_the_official_client_puts_streamed_calls_together(home, pieces):
    async with wires(home, "lab") as w:
        w.lab.stream(pieces, finish="tool_calls")
        answer = await w.streamed("lab/m", tools=TOOLS)
        is_right(answer.choices[0].message.tool_calls)
        indexes = [
            call.index
            for each in await w.deltas("lab/m", tools=TOOLS)
            for choice in each.choices
            for call in choice.delta.tool_calls or ()
        ]
        assert sorted(set(indexes)) == [0, 1]


@pytest.mark.parametrize("pieces", STREAMS.values(), ids=STREAMS.keys())
async def test_ask_says_streamed_calls_as_json(home, pieces):
    async with wires(home, "lab") as w:
        w.lab.stream(["Let me see.", *pieces], finish="tool_calls")
        text = await w.python("lab/m", tools=TOOLS)
        words, _, calls = text.partition("\n\n")
        assert words == "Let me see."
        assert [call["function"]["name"] for call in json.loads(calls)["tool_calls"]] == ["get_weather", "get_time"]
        assert [json.loads(call["function"]["arguments"]) for call in json.loads(calls)["tool_calls"]] == [
            {"city": "Paris"},
            {"zone": "CET"},
        ]


WHOLE = {
    "no id": [function("get_weather", WEATHER), function("get_time", TIME)],
    "an id of null": [
        {"id": None, **function("get_weather", WEATHER)},
        {"id": None, **function("get_time", TIME)},
    ],
    "one id for both": [
        {"id": "x", **function("get_weather", WEATHER)},
        {"id": "x", **function("get_time", TIME)},
    ],
    "arguments as an object": [
        {"id": "a", **function("get_weather", {"city": "Paris"})},
        {"id": "b", **function("get_time", {"zone": "CET"})},
    ],
    "no type and no id": [
        {"function": {"name": "get_weather", "arguments": WEATHER}},
        {"function": {"name": "get_time", "arguments": TIME}},
    ],
    "no function around it": [
        {"id": "a", "name": "get_weather", "arguments": WEATHER},
        {"id": "b", "name": "get_time", "arguments": TIME},
    ],
    "what is no call between them": [
        {"id": "a", **function("get_weather", WEATHER)},
        None,
        "x",
        {"id": "b", **function("get_time", TIME)},
    ],
}


@pytest.mark.parametrize("calls", WHOLE.values(), ids=WHOLE.keys())
async def test_a_whole_answer_has_calls_that_can_be_run(home, calls):
    async with wires(home, "lab") as w:
        w.lab.answer("", tool_calls=calls)
        answer = await w.chat("lab/m", tools=TOOLS)
        is_right(answer.choices[0].message.tool_calls)


@pytest.mark.parametrize("arguments", [None, "", " "])
async def test_a_call_without_arguments_has_an_empty_object(home, arguments):
    async with wires(home, "lab") as w:
        w.lab.answer("", tool_calls=[{"id": "a", **function("now", arguments)}])
        answer = await w.chat("lab/m", tools=TOOLS)
        assert answer.choices[0].message.tool_calls[0].function.arguments == "{}"
        w.lab.stream([piece(arguments, name="now", index=0, id="a")], finish="tool_calls")
        streamed = await w.streamed("lab/m", tools=TOOLS)
        assert json.loads(streamed.choices[0].message.tool_calls[0].function.arguments) == {}


async def test_calls_without_an_id_get_another_in_every_turn(home):
    async with wires(home, "lab") as w:
        w.lab.answer("", tool_calls=[function("get_weather", WEATHER)])
        answers = [await w.chat("lab/m", tools=TOOLS) for _ in range(3)]
        assert len({answer.choices[0].message.tool_calls[0].id for answer in answers}) == 3


async def test_calls_that_are_right_stay_as_they_came(home):
    calls = [{"id": "functions.get:0", **function("get_weather", '{"city":\n "Paris"}')}]
    async with wires(home, "lab") as w:
        w.lab.answer("", tool_calls=calls)
        answer = (await w.raw("lab/m", tools=TOOLS)).json()
        assert answer["choices"][0]["message"]["tool_calls"] == calls


async def test_function_calls_of_the_old_form_are_mended_and_said(home):
    async with wires(home, "lab") as w:
        w.lab.answer("", function_call={"name": "get_weather", "arguments": {"city": "Paris"}})
        answer = await w.chat("lab/m")
        assert answer.choices[0].message.function_call.arguments == '{"city":"Paris"}'
        w.lab.stream(
            [
                chunk(function_call={"name": "get_weather", "arguments": ""}),
                chunk(function_call={"arguments": WEATHER}),
            ],
            finish="function_call",
        )
        said = json.loads(await w.python("lab/m"))
        assert said == {"function_call": {"name": "get_weather", "arguments": WEATHER}}
