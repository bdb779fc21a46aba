"""70 of 70 models of OpenCode Zen answer, streamed and whole, with tools, through every door.

Each model through the chat door; a whole round of tools and the other doors with one model of each dialect, or, with
`CHOMP_TEST_ZEN=all`, with every one.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from anthropic import AsyncAnthropic
from mcp.client import Client
from openai import AsyncOpenAI

from chomp_mcp.doors.mcp.server import build_server
from chomp_mcp.settings import Settings
from tests.support.scripted import ScriptedRouter
from tests.support.serving import Served, serving
from tests.support.world import environment
from tests.support.zen import DIALECT_OF, script_zen

pytestmark = pytest.mark.anyio

SCHEMA = {"type": "object", "properties": {"at": {"type": "string"}}, "required": ["at"]}
TOOLS: Any = [{"type": "function", "function": {"name": "weather", "description": "d", "parameters": SCHEMA}}]
ASKED: Any = [{"role": "system", "content": "be brief"}, {"role": "user", "content": "the weather at Rome?"}]
SOME = list({dialect: model for model, dialect in DIALECT_OF.items()}.values())
MODELS = list(DIALECT_OF) if os.environ.get("CHOMP_TEST_ZEN") == "all" else SOME


@pytest.fixture
async def zen() -> AsyncIterator[ScriptedRouter]:
    async with ScriptedRouter() as upstream:
        script_zen(upstream)
        yield upstream


@pytest.fixture
async def served(home: Path, zen: ScriptedRouter) -> AsyncIterator[Served]:
    settings = Settings.load(environment(home, {"zen": zen}, GATEWAY_RATE_RPS="0"))
    async with serving(settings) as gateway:
        yield gateway


def test_there_are_seventy() -> None:
    assert Counter(DIALECT_OF.values()) == {"openai": 18, "responses": 29, "anthropic": 16, "gemini": 7}


async def test_all_are_listed(served: Served) -> None:
    listed = (await served.http.get("/v1/models")).json()["data"]
    assert {model["id"] for model in listed} == {f"zen/{model}" for model in DIALECT_OF}


async def test_every_model_answers_with_tools_whole_and_streamed(served: Served) -> None:
    answered: Counter[str] = Counter()
    for model in DIALECT_OF:
        body = {"model": f"zen/{model}", "messages": ASKED, "tools": TOOLS}
        told = (await served.http.post("/v1/chat/completions", json=body)).json()["choices"][0]
        assert told["finish_reason"] == "tool_calls", model
        answered[named(told["message"]["tool_calls"])] += 1
        streamed = await served.http.post("/v1/chat/completions", json={**body, "stream": True})
        assert streamed.text.endswith("data: [DONE]\n\n"), model
        chunks = [json.loads(line[6:]) for line in streamed.text.splitlines() if line.startswith("data: {")]
        deltas = [choice["delta"] for chunk in chunks for choice in chunk["choices"]]
        calls = [call["function"] for delta in deltas for call in delta.get("tool_calls", ())]
        arguments = "".join(call.get("arguments", "") for call in calls)
        answered[named([{"function": {"name": calls[0]["name"], "arguments": arguments}}])] += 1
    assert answered == {"weather at Rome": 140}


def named(calls: list[dict[str, Any]]) -> str:
    [call] = calls
    return f"{call['function']['name']} at {json.loads(call['function']['arguments'])['at']}"


@pytest.mark.parametrize("stream", [False, True])
async def test_the_result_of_a_tool_goes_back_at_the_chat_door(served: Served, stream: bool) -> None:
    async with AsyncOpenAI(base_url=f"{served.url}/v1", api_key="none", max_retries=0) as client:

        async def turn(model: str, messages: Any) -> Any:
            if not stream:
                told = await client.chat.completions.create(model=f"zen/{model}", messages=messages, tools=TOOLS)
                return told.choices[0]
            async with client.chat.completions.stream(model=f"zen/{model}", messages=messages, tools=TOOLS) as events:
                return (await events.get_final_completion()).choices[0]

        for model in MODELS:
            first = (await turn(model, ASKED)).message
            said = first.model_dump(exclude_none=True, exclude={"parsed"})
            result = {"role": "tool", "tool_call_id": first.tool_calls[0].id, "content": "21 degrees"}
            second = await turn(model, [*ASKED, said, result])
            assert (second.message.content, second.finish_reason) == ("hello", "stop"), model


@pytest.mark.parametrize("stream", [False, True])
async def test_they_answer_at_the_messages_door(served: Served, stream: bool) -> None:
    tools: Any = [{"name": "weather", "input_schema": SCHEMA}]
    async with AsyncAnthropic(base_url=served.url, api_key="none", max_retries=0) as client:
        for model in MODELS:
            given: Any = {"model": f"zen/{model}", "max_tokens": 99, "messages": ASKED[1:]}
            if stream:
                async with client.messages.stream(**given, tools=tools) as events:
                    told = await events.get_final_message()
            else:
                told = await client.messages.create(**given, tools=tools)
            assert [(block.name, block.input) for block in told.content if block.type == "tool_use"] == [
                ("weather", {"at": "Rome"})
            ], model
            plain = await client.messages.create(**given)
            assert plain.content[-1].text == "hello", model


@pytest.mark.parametrize("stream", [False, True])
async def test_they_answer_at_the_responses_door(served: Served, stream: bool) -> None:
    tools: Any = [{"type": "function", "name": "weather", "parameters": SCHEMA, "strict": False}]
    async with AsyncOpenAI(base_url=f"{served.url}/v1", api_key="none", max_retries=0) as client:
        for model in MODELS:
            given: Any = {"model": f"zen/{model}", "input": "the weather at Rome?"}
            if stream:
                async with client.responses.stream(**given, tools=tools) as events:
                    told = await events.get_final_response()
            else:
                told = await client.responses.create(**given, tools=tools)
            [call] = [item for item in told.output if item.type == "function_call"]
            assert (call.name, json.loads(call.arguments)) == ("weather", {"at": "Rome"}), model
            assert (await client.responses.create(**given)).output_text == "hello", model


@pytest.mark.parametrize("method", ["generateContent", "streamGenerateContent?alt=sse"])
async def test_they_answer_at_the_gemini_door(served: Served, method: str) -> None:
    tools = [{"functionDeclarations": [{"name": "weather", "parametersJsonSchema": SCHEMA}]}]
    body = {"contents": [{"role": "user", "parts": [{"text": "the weather at Rome?"}]}]}
    for model in MODELS:
        for more in ({"tools": tools}, {}):
            path = f"/v1beta/models/zen/{model}:{method}"
            told = await served.http.post(path, json={**body, **more})
            assert told.status_code == 200, told.text
            events = [json.loads(line.removeprefix("data: ")) for line in told.text.splitlines() if line]
            parts = [part for event in events for part in event["candidates"][0]["content"]["parts"]]
            called = [part["functionCall"]["args"] for part in parts if "functionCall" in part]
            assert called == ([{"at": "Rome"}] if more else []), model
            assert "".join(part.get("text", "") for part in parts) == ("" if more else "hello"), model


async def test_they_answer_at_the_other_doors(served: Served) -> None:
    async with Client(build_server(served.chomp)) as client:
        for model in MODELS:
            asked = await client.call_tool("ask", {"prompt": "hi", "model": f"zen/{model}"})
            assert "hello" in str(asked.content), model
            assert (await served.chomp.ask("hi", model=f"zen/{model}")).text == "hello"
            chat = {"agent_id": "a", "messages": [{"role": "user", "content": "hi"}], "model": f"zen/{model}"}
            assert (await served.http.post("/v1/chat", json=chat)).json()["content"] == "hello"
            job = (await served.http.post("/api/dispatch", json={"prompt": "hi", "model": f"zen/{model}"})).json()
            done = (await served.http.get(f"/api/result/{job['id']}?wait=10")).json()
            assert (done["status"], done["result"]) == ("done", "hello"), model
