"""Recorded sessions of Responses and of Messages, through chat completions and out again: nothing is lost in silence.

What is compared are the facts of a conversation: who said which words, which calls were made with which arguments,
what came of each, and which pictures and files were shown. A fact that is missing must be in a note.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from openai.types.responses import Response

from chomp_mcp import wire
from chomp_mcp.dialects.anthropic.door_request import chat_of
from chomp_mcp.dialects.anthropic.request import translate
from chomp_mcp.dialects.openai.collect import Folder
from chomp_mcp.dialects.openai.shapes import as_chunks
from chomp_mcp.dialects.responses import answer as responses
from chomp_mcp.dialects.responses.door_answer import response, skeleton
from chomp_mcp.dialects.responses.door_request import to_chat
from chomp_mcp.dialects.responses.door_stream import ResponseEvents
from chomp_mcp.dialects.responses.request import body_of
from chomp_mcp.messages import ChatRequest, Completion, Route, Router
from tests.dialects.chunking import read

CORPUS = Path(__file__).parents[1] / "corpus"
SAMPLES = Path(__file__).parent / "anthropic" / "samples"
RESPONSES = [json.loads(line) for line in (CORPUS / "openai_responses.jsonl").read_text("utf-8").splitlines()]
WHOLE = [row for row in RESPONSES if isinstance(row["answer"], dict)]
STREAMED = [row for row in RESPONSES if isinstance(row["answer"], str)]
MESSAGES = [
    *(json.loads(path.read_text()) for path in sorted(SAMPLES.glob("*.json"))),
    *(
        row["request"]
        for line in (CORPUS / "anthropic.jsonl").read_text("utf-8").splitlines()
        if (row := json.loads(line))["api"] == "messages"
    ),
]
GPT = Route(Router("gpt", "GPT", "https://gpt.example/v1", dialect="responses"), "gpt-5.5")
CLAUDE = Route(Router("claude", "Claude", "https://claude.example/v1", dialect="anthropic"), "claude-opus-5-5")
Fact = tuple[str, ...]


def name(row: Any) -> str:
    return str(row.get("cassette", ""))[-40:]


def parts_of(content: Any) -> Iterator[Fact]:
    """The words, and what was shown, of one message or result."""
    if isinstance(content, str):
        content = [{"type": "text", "text": content}]
    for part in content or ():
        kind = part.get("type")
        if isinstance(part.get("text"), str):
            if part["text"].strip():
                yield ("text", part["text"].strip())
        elif kind in ("input_image", "image"):
            source = part.get("source", {})
            yield (
                "picture",
                (part.get("image_url") or source.get("data") or source.get("url") or "").rpartition(",")[2],
            )
        elif kind == "input_file":
            yield ("file", (part.get("file_data") or part.get("file_url") or "").rpartition(",")[2])
        elif kind == "document":
            source = part["source"]
            yield ("file", (source.get("data") or source.get("url") or json.dumps(source.get("content"))).strip())


def facts_of_items(items: Any) -> list[Fact]:
    facts: list[Fact] = []
    for item in [{"role": "user", "content": items}] if isinstance(items, str) else items:
        kind = item.get("type", "message")
        if kind == "message":
            facts += [
                ("user" if item["role"] != "assistant" else "assistant", *fact) for fact in parts_of(item["content"])
            ]
        elif kind == "function_call":
            named = f"{item['namespace']}__{item['name']}" if item.get("namespace") else item["name"]
            facts.append(("call", item["call_id"], named, json.dumps(json.loads(item["arguments"] or "{}"))))
        elif kind == "custom_tool_call":
            facts.append(("call", item["call_id"], item["name"], item["input"]))
        elif kind in ("function_call_output", "custom_tool_call_output"):
            facts += [("result", item["call_id"], *fact) for fact in parts_of(item["output"])]
        elif kind == "reasoning" and item.get("encrypted_content"):
            facts.append(("sealed", item["encrypted_content"]))
    return facts


def facts_of_messages(body: dict[str, Any]) -> list[Fact]:
    facts: list[Fact] = [("user", *fact) for fact in parts_of(body.get("system"))]
    for message in body["messages"]:
        who = "assistant" if message["role"] == "assistant" else "user"
        facts += [(who, *fact) for fact in parts_of(message["content"])]
        for block in message["content"] if isinstance(message["content"], list) else ():
            if block.get("type") == "tool_use":
                facts.append(("call", block["id"], block["name"], json.dumps(block["input"], sort_keys=True)))
            elif block.get("type") == "tool_result":
                facts += [("result", block["tool_use_id"], *fact) for fact in parts_of(block.get("content"))]
    return facts


def words_of(facts: list[Fact]) -> str:
    return "\n".join(" ".join(fact) for fact in facts)


@pytest.mark.parametrize("row", RESPONSES, ids=name)
def test_a_responses_session_comes_out_of_chat_completions_as_it_went_in(row):
    asked = to_chat(row["request"])
    sent, _ = body_of(GPT, ChatRequest(body=asked.body))
    before, after = facts_of_items(row["request"]["input"]), facts_of_items(sent["input"])
    told = " ".join(asked.notes)
    for fact in before:
        if fact[0] == "sealed":
            assert "reasoning that only its maker can read" in told
        elif fact[0] == "result" and fact[2] in ("picture", "file"):  # shown by the user right behind it
            assert fact[3] in words_of(after)
        elif fact not in after:
            assert fact[0] in ("result", "user"), fact
            assert fact[-1] in words_of(after), (fact, told)
    kinds = {item.get("type", "message") for item in row["request"]["input"] if isinstance(item, dict)}
    for kind in kinds - {"message", "function_call", "function_call_output", "reasoning", "custom_tool_call"}:
        assert kind in told
    named, choice = {tool.get("name") for tool in sent.get("tools", ())}, row["request"].get("tool_choice")
    for tool in row["request"].get("tools", ()) if not isinstance(choice, dict) else ():  # a choice leaves some out
        assert tool.get("name") in named or tool["type"] in told or tool["type"] == "namespace"


@pytest.mark.parametrize("row", RESPONSES, ids=name)
def test_a_responses_session_reaches_a_messages_router_whole(row):
    translated = translate(CLAUDE, ChatRequest(body=to_chat(row["request"]).body))
    there = words_of(facts_of_messages(translated.body)) + " ".join(translated.lost)
    for fact in facts_of_items(row["request"]["input"]):
        assert fact[0] == "sealed" or fact[-1] in there or fact[0] == "call", fact


@pytest.mark.parametrize("body", MESSAGES, ids=lambda body: str(len(body["messages"])))
def test_a_messages_session_comes_out_of_chat_completions_as_it_went_in(body):
    chat, notes = chat_of(body)
    translated = translate(CLAUDE, ChatRequest(body=chat))
    before, after = facts_of_messages(body), facts_of_messages(translated.body)
    calls = {(fact[1], fact[2]) for fact in after if fact[0] == "call"}
    there, told = words_of(after), " ".join((*notes, *translated.lost))
    for fact in before:
        if fact[0] == "call":
            assert (fact[1], fact[2]) in calls
        else:
            assert fact[-1] in there or fact[1] in told or "left out" in told, fact
    sent, _ = body_of(GPT, ChatRequest(body=chat))
    items = words_of(facts_of_items(sent["input"]))
    assert all(fact[-1] in items or "left out" in told for fact in before if fact[0] != "call")


def message_of_response(answer: dict[str, Any]) -> tuple[str, list[tuple[str, str]]]:
    texts = [
        part["text"]
        for item in answer["output"]
        if item["type"] == "message"
        for part in item["content"]
        if part["type"] == "output_text"
    ]
    calls = [(item["name"], item["arguments"]) for item in answer["output"] if item["type"] == "function_call"]
    return "".join(texts), calls


@pytest.mark.parametrize("row", WHOLE, ids=name)
def test_a_recorded_answer_is_a_completion_and_a_response_again(row):
    told = responses.at(GPT).decode(wire.dumps(row["answer"]))
    text, calls = message_of_response(row["answer"])
    if not isinstance(told, Completion):
        assert not text, row["answer"]["status"]
        assert not calls
        return
    assert (told.message.get("content") or "") == text
    assert [(c["function"]["name"], c["function"]["arguments"]) for c in told.message.get("tool_calls", ())] == calls
    assert told.usage.output_tokens == row["answer"]["usage"]["output_tokens"]
    sealed = [item for item in row["answer"]["output"] if item.get("encrypted_content") and item["type"] == "reasoning"]
    turns = [{"role": "user", "content": "hi"}, told.message]
    sent, _ = body_of(GPT, ChatRequest(body={"messages": turns}))
    kept = [item for item in sent["input"] if item["type"] == "reasoning"]
    assert [item["encrypted_content"] for item in kept] == [item["encrypted_content"] for item in sealed]
    assert [item["summary"] for item in kept] == [item["summary"] for item in sealed]
    asked = to_chat({"input": "hi", "include": ["reasoning.encrypted_content"], "tools": row["request"].get("tools")})
    again = response(asked, skeleton({}, response_id="resp_1", created_at=1), told, told.usage, GPT.ref)
    Response.model_validate(again)
    assert message_of_response(again) == (text, calls)


@pytest.mark.parametrize("row", STREAMED, ids=name)
def test_a_recorded_stream_adds_up_to_the_answer_that_ends_it(row):
    end = next(line for line in reversed(row["answer"].splitlines()) if '"response.completed"' in line)
    whole = responses.at(GPT).decode(json.dumps(json.loads(end.removeprefix("data: "))["response"]).encode())
    folder, decoder = Folder(), responses.at(GPT).decoder()
    deltas = read(decoder, row["answer"].encode())
    folder.add(deltas)
    message = folder.body()["choices"][0]["message"]
    for told in (message, whole.message):  # sealed anew in every event
        for entry in told.get("reasoning_details", ()):
            entry.pop("data", None)
    assert {field: message.get(field) for field in whole.message if whole.message[field]} == {
        field: value for field, value in whole.message.items() if value
    }
    assert decoder.usage == whole.usage
    events = ResponseEvents(to_chat({"input": "hi"}), skeleton({}, response_id="resp_1", created_at=1))
    made = [*events.start(GPT.ref), *events.take(deltas), *events.finish(decoder.usage)]
    Response.model_validate(made[-1]["response"])
    assert message_of_response(made[-1]["response"]) == (
        whole.message.get("content") or "",
        [(c["function"]["name"], c["function"]["arguments"]) for c in whole.message.get("tool_calls", ())],
    )
    assert [event["sequence_number"] for event in made] == list(range(len(made)))


def test_a_completion_streams_as_the_response_that_it_is():
    for row in WHOLE:
        told = responses.decode(wire.dumps(row["answer"]))
        if not isinstance(told, Completion):
            continue
        events = ResponseEvents(to_chat({"input": "hi"}), skeleton({}, response_id="resp_1", created_at=1))
        made = [*events.start(GPT.ref), *events.take(as_chunks(told.body)), *events.finish(told.usage)]
        assert message_of_response(made[-1]["response"]) == message_of_response(row["answer"])
