"""Exchanges recorded in the world: right answers come through unchanged, and every request fits every router."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest

from chomp_mcp.dialects import DIALECTS
from chomp_mcp.dialects.anthropic import answer as anthropic
from chomp_mcp.dialects.openai import request as openai
from chomp_mcp.dialects.openai.answer import share_reasoning
from chomp_mcp.dialects.openai.collect import Folder
from chomp_mcp.errors import InvalidRequest
from chomp_mcp.messages import ChatRequest, Completion, Route
from chomp_mcp.routers.catalog import load
from chomp_mcp.settings import Settings
from tests.dialects.chunking import read
from tests.support.wires import wires

FILES = sorted((Path(__file__).parents[1] / "corpus").glob("*.jsonl"))
ROUTERS = load(Settings(home=Path("nowhere")))
MEANT = {
    "test_openai/test_compatible_api_with_tool_calls_without_id",
    "test_openrouter/test_openrouter_tool_optional_parameters",
}
"""Answers that are not right as they came: a call without an id, one without arguments."""


def recorded(file, api, *, streamed):
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    return [row for row in rows if row["api"] == api and isinstance(row["answer"], str) == streamed]


def expected(row):
    """The answer itself, with the name for thoughts that most clients read."""
    answer = copy.deepcopy(row["answer"])
    for choice in answer["choices"]:
        share_reasoning(choice["message"])
    return answer


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_right_answers_come_through_unchanged(file):
    for row in recorded(file, "chat", streamed=False):
        got = openai.decode(json.dumps(row["answer"]).encode())
        assert isinstance(got, Completion), row["cassette"]
        if row["cassette"] not in MEANT:
            assert got.body == expected(row), row["cassette"]
        for choice in got.body["choices"]:
            for call in choice["message"].get("tool_calls") or ():
                assert call["id"]
                json.loads(call["function"]["arguments"])


def chunks_of(row):
    lines = row["answer"].splitlines()
    return [json.loads(line[6:]) for line in lines if line.startswith("data: {")]


def added_up(chunks, name):
    """What choice 0 says in these chunks, by its plain sum."""
    deltas = [choice["delta"] for chunk in chunks for choice in chunk.get("choices", ()) if "delta" in choice]
    return "".join(delta.get(name) or "" for delta in deltas)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_streams_add_up_to_what_was_said(file):
    for row in recorded(file, "chat", streamed=True):
        if any("error" in chunk for chunk in chunks_of(row)):
            continue
        decoder, folder = openai.decoder(), Folder()
        deltas = read(decoder, row["answer"].encode())
        assert decoder.error is None, row["cassette"]
        assert decoder.finished, row["cassette"]
        folder.add(deltas)
        message = folder.body()["choices"][0]["message"]
        assert (message["content"] or "") == added_up(chunks_of(row), "content"), row["cassette"]
        for call in message.get("tool_calls") or ():
            assert call["id"]
            assert call["function"]["name"]
            json.loads(call["function"]["arguments"])


def test_messages_keep_their_thoughts_and_calls():
    (file,) = [file for file in FILES if file.stem == "anthropic"]
    seen = 0
    for row in recorded(file, "messages", streamed=False):
        got = anthropic.decode(json.dumps(row["answer"]).encode())
        assert isinstance(got, Completion), row["cassette"]
        blocks = row["answer"]["content"]
        thoughts = [block for block in blocks if block["type"] in ("thinking", "redacted_thinking")]
        uses = [(block["id"], block["input"]) for block in blocks if block["type"] == "tool_use"]
        calls = got.message.get("tool_calls", [])
        assert got.message.get("thinking_blocks", []) == thoughts
        assert [(call["id"], json.loads(call["function"]["arguments"])) for call in calls] == uses
        back = [{"role": "user", "content": "hi"}, got.message, *map(result, calls)]
        sent = json.loads(anthropic.encode(Route(ROUTERS["anthropic"], "m"), ChatRequest(body={"messages": back})).body)
        kept = (
            [block for block in sent["messages"][1]["content"] if block["type"] in ("thinking", "redacted_thinking")]
            if (len(sent["messages"]) > 1)
            else []
        )
        assert kept == [{name: value for name, value in block.items() if name in _SIGNED} for block in thoughts]
        seen += bool(thoughts)
    assert seen > 10


_SIGNED = ("type", "thinking", "signature", "data")


def result(call):
    return {"role": "tool", "tool_call_id": call["id"], "content": "ok"}


@pytest.mark.parametrize("router", [name for name in ROUTERS if name != "mock"])
def test_every_recorded_request_fits_every_router(router):
    route = Route(ROUTERS[router], "m")
    speak = DIALECTS[route.router.dialect]
    known = set(route.router.message_fields)
    sent, refused = 0, []
    for file in FILES:
        for row in [*recorded(file, "chat", streamed=False), *recorded(file, "chat", streamed=True)]:
            body = {name: value for name, value in row["request"].items() if name not in ("model", "stream")}
            before = copy.deepcopy(body)
            request = ChatRequest(body=body, model=f"{router}/m", stream=False)
            try:
                encoded = speak.encode(route, request)
            except InvalidRequest as error:
                refused.append(error)
                continue
            assert body == before
            told = json.loads(encoded.body)
            messages = told.get("messages") or told["contents"]
            assert not known or all(message.keys() <= known for message in messages)
            assert not any(message["role"] in route.router.roles for message in messages)
            lost = {name for message in body["messages"] for name in message if known and name not in known}
            assert all(
                any(f"messages[].{name}" in note for note in encoded.notes) for name in lost if _is_said(body, name)
            )
            sent += 1
    assert sent > 50
    assert all("holds nothing else" in str(error) for error in refused)


def _is_said(body, name):
    """Somewhere it says something, and more than another name for the same thought."""
    return name != "reasoning_content" and any(message.get(name) for message in body["messages"])


@pytest.mark.anyio
@pytest.mark.parametrize("name", ["groq", "openrouter", "cerebras", "mistral"])
async def test_recorded_answers_pass_the_door_unchanged(home, name):
    (file,) = [file for file in FILES if file.stem == name]
    rows = [row for row in recorded(file, "chat", streamed=False) if row["cassette"] not in MEANT][:12]
    async with wires(home, "lab") as w:
        for row in rows:
            w.lab.clear()
            w.lab.reply(200, row["answer"])
            got = (await w.raw("lab/m")).json()
            got.pop("chomp")
            assert got == expected(row), row["cassette"]
