"""The Responses API, judged by the official package and its stream accumulator."""

from __future__ import annotations

import json
from dataclasses import replace

import openai
import pytest
from openai import AsyncOpenAI
from pydantic import BaseModel

from tests.support.scripted import chunk
from tests.support.serving import Served, serving, settings_for

pytestmark = pytest.mark.anyio
ASK = {"type": "function", "name": "ask", "parameters": {"type": "object", "properties": {"q": {"type": "string"}}}}
PATCH = {
    "type": "custom",
    "name": "apply_patch",
    "format": {"type": "grammar", "syntax": "lark", "definition": "start: x"},
}
EDIT = '*** Begin Patch\n*** Add File: a.py\n+print("é\\n")\n*** End Patch'


@pytest.fixture
async def client(gateway: Served):
    async with AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key="none", max_retries=0) as client:
        yield client


def tool_call(index: int, name: str, arguments: str, call_id: str = "c1") -> dict:
    return {"index": index, "id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


async def streamed(client: AsyncOpenAI, **body: object) -> tuple[list, object]:
    """All events, and the response that the SDK put together from them."""
    async with client.responses.stream(model="lab/m", **body) as stream:
        events = [event async for event in stream]
        return events, await stream.get_final_response()


async def test_what_was_thought_comes_back_to_the_router_that_thought_it(client, upstream):
    upstream.answer("", reasoning_content="hm", tool_calls=[tool_call(0, "ask", "{}")])
    answer = await client.responses.create(
        model="lab/m", input="hi", tools=[ASK], include=["reasoning.encrypted_content"], store=False
    )
    items = [item.model_dump(exclude_none=True) for item in answer.output]
    result = {"type": "function_call_output", "call_id": "c1", "output": "1"}
    await client.responses.create(
        model="lab/m",
        input=[
            {"role": "user", "content": "hi"},
            *items,
            result,
        ],
        tools=[ASK],
    )
    turn = upstream.chats[1].json["messages"][1]
    assert turn["reasoning_content"] == "hm"
    assert turn["tool_calls"][0]["id"] == "c1"
    assert upstream.chats[1].json["messages"][2] == {"role": "tool", "tool_call_id": "c1", "content": "1"}


@pytest.mark.parametrize("arguments", [json.dumps({"input": EDIT}), EDIT])
async def test_a_freeform_call_loses_nothing_of_its_text(client, upstream, arguments):
    half = len(arguments) // 2
    upstream.stream(
        [
            chunk(tool_calls=[tool_call(0, "apply_patch", arguments[:half])]),
            chunk(tool_calls=[{"index": 0, "function": {"arguments": arguments[half:]}}]),
        ],
        finish="tool_calls",
    )
    events, final = await streamed(client, input="hi", tools=[PATCH])
    assert final.output[0].type == "custom_tool_call"
    assert final.output[0].input == EDIT
    done = [event for event in events if event.type == "response.output_item.done"]
    assert done[0].item.input == EDIT


class City(BaseModel):
    name: str


async def test_a_schema_is_parsed_by_the_official_client(client, upstream):
    upstream.answer('{"name": "Rome"}')
    answer = await client.responses.parse(model="lab/m", input="hi", text_format=City)
    assert answer.output_parsed == City(name="Rome")
    sent = upstream.chats[0].json["response_format"]
    assert sent["type"] == "json_schema"
    assert sent["json_schema"]["name"] == "City"


async def test_what_does_not_travel_is_told(gateway, upstream):
    body = {"model": "lab/m", "input": "hi", "tools": [{"type": "web_search"}]}
    answer = await gateway.http.post("/v1/responses", json=body)
    note = "the built-in tool web_search is left out: a chat model does not have it"
    assert note in answer.json()["chomp"]["notes"]
    assert answer.headers["x-chomp-notes"] == note


async def test_what_of_a_list_of_instructions_does_not_travel_is_told_too(gateway, upstream):
    told = [{"role": "developer", "content": "be kind"}, {"type": "computer_call"}]
    answer = await gateway.http.post("/v1/responses", json={"model": "lab/m", "input": "hi", "instructions": told})
    assert (
        "instructions[1], a computer_call, is left out: a chat model cannot read it" in answer.headers["x-chomp-notes"]
    )
    assert [turn["content"] for turn in upstream.chats[0].json["messages"]] == ["be kind", "hi"]
    refused = await gateway.http.post("/v1/responses", json={"model": "lab/m", "input": "hi", "instructions": [5]})
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "instructions[0]")


async def test_an_answer_that_breaks_off_fails_and_keeps_what_was_said(client, upstream):
    upstream.cut(["Hel"])
    stream = await client.responses.create(model="lab/m", input="hi", stream=True)
    events = [event async for event in stream]
    assert events[-1].type == "response.failed"
    assert events[-1].response.status == "failed"
    assert "incomplete" in events[-1].response.error.message


async def test_a_plan_that_ran_out_is_told_once_to_a_client_that_hammers(gateway, upstream):
    upstream.fail(500)
    body = {"model": "lab/m", "input": "hi", "stream": True}
    codex = await gateway.http.post("/v1/responses", json=body, headers={"originator": "codex_exec"})
    other = await gateway.http.post("/v1/responses", json=body)
    assert codex.status_code == 400
    assert other.status_code == 502
    assert other.headers["x-should-retry"] == "false"
    assert codex.json()["error"]["message"]


async def test_state_is_refused_with_the_reason(client):
    with pytest.raises(openai.BadRequestError) as refused:
        await client.responses.create(model="lab/m", input="hi", previous_response_id="resp_1")
    assert refused.value.param == "previous_response_id"
    with pytest.raises(openai.NotFoundError, match="not stored"):
        await client.responses.retrieve("resp_1")


async def test_a_model_name_of_the_agent_stands_for_what_the_user_chose(home, upstream):
    settings = settings_for(home, lab=upstream.url)
    settings = replace(settings, agents={"codex": {"gpt-5": "lab/m"}})
    async with serving(settings) as gateway:
        answer = await gateway.http.post("/v1/responses", json={"model": "gpt-5.4", "input": "hi"})
    assert answer.json()["chomp"]["model"] == "m"
