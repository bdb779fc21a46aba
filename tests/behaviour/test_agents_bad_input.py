"""What agents send wrongly, or no route can do: the API's own error with what to do, or a truthful translation."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.support.scripted import ScriptedRouter
from tests.support.serving import Served, serving, settings_for

pytestmark = pytest.mark.anyio

PNG = "iVBORw0KGgo="
SCHEMA = {"type": "object", "properties": {}}


@pytest.fixture
async def upstream():
    async with ScriptedRouter() as router:
        router.models(["m", {"id": "blind", "architecture": {"input_modalities": ["text"]}}])
        yield router


@pytest.fixture
async def served(home, upstream):
    rows = {"lab": {"url": upstream.url}, "plain": {"url": upstream.url, "media": [], "cannot": ["tools"]}}
    async with serving(replace(settings_for(home), router_rows=rows)) as gateway:
        yield gateway


async def messages(served: Served, *turns: Any, model: str = "lab/m", **more: Any):
    return await served.http.post(
        "/v1/messages", json={"model": model, "max_tokens": 9, "messages": list(turns), **more}
    )


async def responses(served: Served, *items: Any, model: str = "lab/m", **more: Any):
    return await served.http.post("/v1/responses", json={"model": model, "input": list(items), **more})


def refused(answer: Any) -> dict[str, Any]:
    """The error of a 400, in the shape of either API."""
    body = answer.json()
    assert answer.status_code == 400, body
    assert body["error"]["type"] == "invalid_request_error"
    return body["error"]


USER = {"role": "user", "content": "hi"}
USE = {"type": "tool_use", "id": "t1", "name": "f", "input": {}}
RESULT = {"type": "tool_result", "tool_use_id": "t1", "content": "the result"}
CALL = {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"}
OUTPUT = {"type": "function_call_output", "call_id": "c1", "output": "the result"}


def sent(upstream: ScriptedRouter) -> list[dict[str, Any]]:
    return upstream.chats[-1].json["messages"]


async def test_a_result_of_no_call_is_told_as_text(served, upstream):
    answers = [
        await messages(served, USER, {"role": "assistant", "content": "ok"}, {"role": "user", "content": [RESULT]}),
        await responses(served, USER, OUTPUT),
    ]
    for answer, request in zip(answers, upstream.chats, strict=True):
        assert answer.status_code == 200
        said = request.json["messages"]
        assert not any(message["role"] == "tool" for message in said)
        assert "the result" in str(said[-1]["content"])
        assert "sent as text" in answer.headers["x-chomp-notes"]


async def test_a_call_without_a_result_gets_one_that_says_so(served, upstream):
    answers = [
        await messages(served, USER, {"role": "assistant", "content": [USE]}, {"role": "user", "content": "go on"}),
        await responses(served, USER, CALL, {"role": "user", "content": "go on"}),
    ]
    for answer, request in zip(answers, upstream.chats, strict=True):
        assert answer.status_code == 200
        assert [message["role"] for message in request.json["messages"]] == ["user", "assistant", "tool", "user"]
        assert "no result" in answer.headers["x-chomp-notes"]


async def test_two_calls_of_one_id_stay_two_pairs(served, upstream):
    twice = {"role": "assistant", "content": [USE]}, {"role": "user", "content": [RESULT]}
    for answer in (
        await messages(served, USER, *twice, *twice, USER),
        await responses(served, USER, CALL, OUTPUT, CALL, OUTPUT, USER),
        await responses(served, USER, CALL, CALL, OUTPUT, OUTPUT, USER),
    ):
        assert answer.status_code == 200
        said = sent(upstream)
        asked = [call["id"] for message in said for call in message.get("tool_calls", ())]
        told = [message["tool_call_id"] for message in said if message["role"] == "tool"]
        assert asked == told
        assert len(asked) == 2


async def test_a_picture_that_no_route_can_see_is_refused_before_a_call(served, upstream):
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}
    shown = {"type": "input_image", "image_url": f"data:image/png;base64,{PNG}"}
    for answer in (
        await messages(served, {"role": "user", "content": [image]}, model="lab/blind"),
        await messages(
            served,
            USER,
            {"role": "assistant", "content": [USE]},
            {"role": "user", "content": [{**RESULT, "content": [image]}]},
            model="lab/blind",
        ),
        await responses(served, {"role": "user", "content": [shown]}, model="lab/blind"),
        await responses(served, USER, CALL, {**OUTPUT, "output": [shown]}, model="lab/blind"),
    ):
        error = refused(answer)
        assert "cannot see pictures" in error["message"]
    assert not upstream.chats


async def test_a_model_without_tools_is_not_asked_for_any(served, upstream):
    tools = [{"name": "f", "input_schema": SCHEMA}]
    for answer in (
        await messages(served, USER, model="plain/m", tools=tools),
        await responses(served, USER, model="plain/m", tools=[{"type": "function", "name": "f", "parameters": SCHEMA}]),
        await responses(served, USER, model="plain/m", tools=[{"type": "custom", "name": "apply_patch"}]),
    ):
        assert "cannot call tools" in refused(answer)["message"]
    assert not upstream.chats


async def test_tools_of_a_form_that_nobody_knows_are_named_and_left_out(served, upstream):
    known = {"name": "f", "input_schema": SCHEMA}
    function = {"type": "function", "name": "f", "parameters": SCHEMA}
    for answer in (
        await messages(served, USER, tools=[known, {"type": "teleport_20270101", "name": "teleport"}]),
        await responses(served, USER, tools=[function, {"type": "teleport", "speed": 1}]),
    ):
        assert answer.status_code == 200
        assert "teleport" in answer.headers["x-chomp-notes"]
        assert [tool["function"]["name"] for tool in upstream.chats[-1].json["tools"]] == ["f"]


async def test_items_and_blocks_of_tomorrow_are_named_and_left_out(served, upstream):
    block = {"type": "hologram", "data": "x"}
    for answer in (
        await messages(served, {"role": "user", "content": [{"type": "text", "text": "hi"}, block]}, tomorrow={"a": 1}),
        await responses(served, USER, {"type": "hologram", "data": "x"}),
        await responses(served, {"role": "user", "content": [{"type": "input_text", "text": "hi"}, block]}),
    ):
        assert answer.status_code == 200
        assert "hologram" in answer.headers["x-chomp-notes"]
        assert sent(upstream) == [{"role": "user", "content": "hi"}]


@pytest.mark.parametrize(
    "wrong",
    [
        [{"role": "user", "content": [{"type": "tool_result", "content": "x"}]}],
        [{"role": "assistant", "content": [{"type": "tool_use", "name": "f"}]}],
        [{"role": "robot", "content": "x"}],
        [{"role": "user", "content": 5}],
        [],
    ],
)
async def test_what_is_no_message_is_refused_in_anthropics_shape(served, upstream, wrong):
    answer = await messages(served, *wrong)
    assert answer.json()["type"] == "error"
    assert refused(answer)["message"]
    assert not upstream.chats


@pytest.mark.parametrize(
    "wrong",
    [
        [{"type": "function_call", "name": "f"}],
        [{"type": "function_call_output", "output": "x"}],
        [{"role": "robot", "content": "x"}],
        ["x"],
        [],
    ],
)
async def test_what_is_no_item_is_refused_in_openais_shape(served, upstream, wrong):
    error = refused(await responses(served, *wrong))
    assert error["param"].startswith("input")
    assert not upstream.chats


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/responses"])
async def test_a_stream_that_breaks_is_one_error_and_no_second_answer(home, path):
    """Another router could answer, but nobody may go on from another's words."""
    async with ScriptedRouter() as one, ScriptedRouter() as two:
        for each in (one, two):
            each.models(["m"])
        one.cut(["Hel", "lo"])
        rows = {"one": {"url": one.url}, "two": {"url": two.url}}
        async with serving(replace(settings_for(home), router_rows=rows)) as gateway:
            body = {"model": "m", "max_tokens": 9, "messages": [USER], "input": [USER], "stream": True}
            del body["input" if path == "/v1/messages" else "messages"]
            told = (await gateway.http.post(path, json=body)).text
        assert not two.chats
        assert told.count("event: error") + told.count("event: response.failed") == 1
        assert "message_stop" not in told
        assert "response.completed" not in told
