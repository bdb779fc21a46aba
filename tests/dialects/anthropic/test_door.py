"""The Messages door's half of the dialect: in -> chat -> out, judged by what a router is sent and an SDK reads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from anthropic.types import Message
from hypothesis import given
from hypothesis import strategies as st

from chomp_mcp import wire
from chomp_mcp.dialects.anthropic.door_answer import message_of
from chomp_mcp.dialects.anthropic.door_count import estimate
from chomp_mcp.dialects.anthropic.door_request import chat_of
from chomp_mcp.dialects.anthropic.door_stream import MessageEvents
from chomp_mcp.dialects.anthropic.request import translate
from chomp_mcp.dialects.openai.shapes import as_chunks
from chomp_mcp.messages import ChatRequest, Completion, Delta, Route, Usage
from chomp_mcp.routers.catalog import load
from chomp_mcp.settings import Settings

ANTHROPIC = load(Settings(home=Path("nowhere")))["anthropic"]
SAMPLES = sorted((Path(__file__).parent / "samples").glob("*.json"))
HELLO = [{"role": "user", "content": "hi"}]
USAGE = Usage(10, 5, 4)


def chat(**body: Any) -> dict[str, Any]:
    return chat_of({"messages": HELLO, **body})[0]


def notes(**body: Any) -> tuple[str, ...]:
    return chat_of({"messages": HELLO, **body})[1]


def texts_in(value: Any) -> str:
    """Everything that is said in it, in order."""
    return wire.dumps(value).decode()


# ---- what programs really send


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: path.stem)
def test_what_programs_send_becomes_a_history_that_chat_completions_takes(sample):
    body = json.loads(sample.read_text())
    sent, told = chat_of(body)
    messages = sent["messages"]
    for index, message in enumerate(messages):
        assert message["role"] in {"system", "user", "assistant", "tool"}
        asked = [call["id"] for call in message.get("tool_calls", ())]
        answered = [each["tool_call_id"] for each in messages[index + 1 : index + 1 + len(asked)]]
        assert sorted(answered) == sorted(asked), "each call has its result right behind it"
        assert all(json.loads(call["function"]["arguments"]) is not None for call in message.get("tool_calls", ()))
    names = [tool["function"]["name"] for tool in sent.get("tools", ())]
    deferred = [tool["name"] for tool in body.get("tools", ()) if tool.get("defer_loading")]
    assert len(set(names)) == len(names)
    assert set(names) <= {tool["name"] for tool in body.get("tools", ())}
    assert bool(set(deferred) - set(names)) == any("deferred" in note for note in told)


def test_a_tool_that_a_reference_names_is_there_from_then_on():
    body = json.loads((Path(__file__).parent / "samples" / "tool_references.json").read_text())
    names = [tool["function"]["name"] for tool in chat_of(body)[0]["tools"]]
    assert "mcp__chomp__ask" in names
    assert "mcp__other__unseen" not in names


# ---- requests


def test_the_system_prompt_and_later_system_messages_stand_where_they_were():
    turns = [
        *HELLO,
        {"role": "assistant", "content": "a"},
        {"role": "system", "content": [{"type": "text", "text": "s2"}]},
    ]
    sent = chat(system="s1", messages=[*turns, *HELLO])["messages"]
    assert [(message["role"], message["content"]) for message in sent] == [
        ("system", "s1"),
        ("user", "hi"),
        ("assistant", "a"),
        ("system", "s2"),
        ("user", "hi"),
    ]


def test_a_system_message_does_not_part_calls_from_their_results():
    use = {"type": "tool_use", "id": "t1", "name": "f", "input": {}}
    turns = [
        {"role": "assistant", "content": [use]},
        {"role": "system", "content": "between"},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "r"}]},
    ]
    assert [message["role"] for message in chat(messages=turns)["messages"]] == ["assistant", "tool", "system"]


def test_pictures_of_a_result_go_with_the_next_message():
    picture = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "QUJD"}}
    use = {"type": "tool_use", "id": "t1", "name": "f", "input": {}}
    result = {"type": "tool_result", "tool_use_id": "t1", "content": [picture, {"type": "text", "text": "seen"}]}
    turns = [*HELLO, {"role": "assistant", "content": [use]}, {"role": "user", "content": [result]}]
    _, _, tool, user = chat(messages=turns)["messages"]
    assert "seen" in texts_in(tool)
    assert "image" not in {part["type"] for part in tool["content"]}
    assert user["content"][1] == {"type": "image_url", "image_url": {"url": "data:image/png;base64,QUJD"}}


def test_a_result_without_its_call_and_a_call_without_its_result_are_told_as_they_are():
    use = {"type": "tool_use", "id": "t1", "name": "f", "input": {}}
    turns = [
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "gone", "content": "old"}]},
        {"role": "assistant", "content": [use]},
        *HELLO,
    ]
    sent, told = chat_of({"messages": turns})
    first, _, missing, _ = sent["messages"]
    assert first["role"] == "user"
    assert "gone" in texts_in(first)
    assert "old" in texts_in(first)
    assert missing["tool_call_id"] == "t1"
    assert len(told) == 2


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ({"type": "base64", "media_type": "application/pdf", "data": "UERG"}, "data:application/pdf;base64,UERG"),
        ({"type": "url", "url": "https://example.org/a.pdf"}, "https://example.org/a.pdf"),
        ({"type": "text", "media_type": "text/plain", "data": "words"}, "words"),
        ({"type": "content", "content": [{"type": "text", "text": "inner"}]}, "inner"),
    ],
)
def test_documents_go_as_files_or_words(source, expected):
    block = {"type": "document", "source": source, "title": "T", "context": "C"}
    sent = texts_in(chat(messages=[{"role": "user", "content": [block]}]))
    assert expected in sent
    assert "title: T" in sent
    assert "context: C" in sent


@pytest.mark.parametrize(
    "block",
    [
        {"type": "image", "source": {"type": "file", "file_id": "file_1"}},
        {"type": "container_upload", "file_id": "file_1"},
        {"type": "web_search_tool_result", "tool_use_id": "x", "content": []},
        {"type": "a_block_of_tomorrow"},
    ],
)
def test_what_no_chat_router_has_is_noted(block):
    told = notes(messages=[{"role": "user", "content": [{"type": "text", "text": "see"}, block]}])
    assert any(block["type"] in note for note in told)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"thinking": {"type": "enabled", "budget_tokens": 1024}}, {"reasoning_effort": "low"}),
        ({"thinking": {"type": "enabled", "budget_tokens": 10_000}}, {"reasoning_effort": "medium"}),
        ({"thinking": {"type": "enabled", "budget_tokens": 31_999}}, {"reasoning_effort": "high"}),
        ({"thinking": {"type": "adaptive"}}, {}),
        ({"thinking": {"type": "adaptive"}, "output_config": {"effort": "max"}}, {"reasoning_effort": "xhigh"}),
        ({"stop_sequences": ["a", "b"]}, {"stop": ["a", "b"]}),
        ({"metadata": {"user_id": "u1"}}, {"user": "u1"}),
        ({"temperature": 1, "top_k": 5}, {"temperature": 1, "top_k": 5}),
        ({"service_tier": "auto"}, {}),
        ({"context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]}}, {}),
    ],
)
def test_fields_that_have_a_word_for_it_travel_without_a_note(body, expected):
    sent, told = chat_of({"messages": HELLO, **body})
    assert {name: value for name, value in sent.items() if name != "messages"} == expected
    assert told == ()


@pytest.mark.parametrize(
    "body",
    [
        {"stop_sequences": list("abcde")},
        {"service_tier": "standard_only"},
        {"context_management": {"edits": [{"type": "clear_tool_uses_20250919"}]}},
        {"container": "c"},
        {"mcp_servers": [{"url": "u"}]},
        {"output_config": {"task_budget": 5}},
        {"tools": [{"type": "web_search_20260209", "name": "web_search"}]},
        {"tools": [{"name": "f", "input_schema": {}, "allowed_callers": ["code_execution_20260120"]}]},
    ],
)
def test_what_has_no_word_for_it_is_noted(body):
    assert len(notes(**body)) == 1


def test_a_schema_becomes_a_response_format():
    schema = {"type": "object", "properties": {}}
    for body in (
        {"output_config": {"format": {"type": "json_schema", "schema": schema}}},
        {"output_format": {"type": "json_schema", "schema": schema}},
    ):
        assert chat(**body)["response_format"]["json_schema"]["schema"] == schema


def test_deferred_tools_go_at_once_where_anthropics_search_was_to_find_them():
    tools = [{"name": "f", "input_schema": {}, "defer_loading": True}]
    assert "tools" not in chat(tools=tools)
    search = {"type": "tool_search_tool_regex_20251119", "name": "tool_search_tool_regex"}
    assert [tool["function"]["name"] for tool in chat(tools=[*tools, search])["tools"]] == ["f"]


# ---- any history

IDS = st.integers(0, 3).map("toolu_{}".format)
TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=12).map("w{}w".format)
"""Without blanks at its ends, which Messages refuses of an assistant."""
MARK = st.sampled_from([{}, {"cache_control": {"type": "ephemeral"}}])
WORDS = st.builds(lambda text, mark: {"type": "text", "text": text, **mark}, TEXT, MARK)
PICTURE = st.just({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "QUJD"}})
USE = st.builds(lambda i, text: {"type": "tool_use", "id": i, "name": "f", "input": {"a": text}}, IDS, TEXT)
INSIDE = st.one_of(TEXT, st.lists(st.one_of(WORDS, PICTURE), max_size=3))
RESULT = st.builds(
    lambda i, content, e: {"type": "tool_result", "tool_use_id": i, "content": content, "is_error": e},
    IDS,
    INSIDE,
    st.booleans(),
)
USER = st.one_of(TEXT, st.lists(st.one_of(WORDS, PICTURE, RESULT), min_size=1, max_size=4))
ASSISTANT = st.one_of(
    TEXT, st.lists(st.one_of(WORDS, USE), min_size=1, max_size=3, unique_by=lambda b: b.get("id", id(b)))
)
TURN = st.one_of(
    st.builds(lambda content: {"role": "user", "content": content}, USER),
    st.builds(lambda content: {"role": "assistant", "content": content}, ASSISTANT),
    st.builds(lambda content: {"role": "system", "content": content}, TEXT),
)


def said(body: dict[str, Any]) -> list[str]:
    """Every text, picture and argument of a history, in no order."""
    found: list[str] = []

    def look(value: Any) -> None:
        if isinstance(value, str):
            found.append(value)
        elif isinstance(value, list):
            for each in value:
                look(each)
        elif isinstance(value, dict):
            for name in ("text", "content", "data", "input", "a", "source"):
                if name in value:
                    look(value[name])

    look(body["messages"])
    look(body.get("system"))
    return found


@given(st.lists(TURN, min_size=1, max_size=6))
def test_nothing_of_any_history_is_lost_on_its_way_through_chat_completions(turns):
    sent, _ = chat_of({"messages": turns, "max_tokens": 9})
    back = translate(Route(ANTHROPIC, "claude-opus-5-5"), ChatRequest(sent)).body
    whole = "\n".join(said(dict(back)))
    for text in said({"messages": turns}):
        assert text in whole


@given(st.lists(TURN, min_size=1, max_size=6))
def test_every_call_of_any_history_has_one_result_right_behind_it(turns):
    messages = chat_of({"messages": turns})[0]["messages"]
    expected: list[str] = []
    for message in messages:
        if message["role"] == "tool":
            assert message["tool_call_id"] in expected
            expected.remove(message["tool_call_id"])
        else:
            assert expected == []
            expected = [call["id"] for call in message.get("tool_calls", ())]
    assert expected == []


# ---- answers

CALL = st.builds(
    lambda i, text: {
        "id": f"c{i}",
        "type": "function",
        "function": {"name": "f", "arguments": json.dumps({"a": text})},
    },
    st.integers(0, 99),
    TEXT,
)
ANSWER = st.fixed_dictionaries(
    {"content": st.one_of(st.none(), TEXT)},
    optional={
        "reasoning_content": TEXT,
        "tool_calls": st.lists(CALL, min_size=1, max_size=3, unique_by=lambda c: c["id"]),
    },
)
FINISH = st.sampled_from(["stop", "length", "tool_calls", "content_filter", None])


def completion(message: dict[str, Any], finish: str | None) -> Completion:
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish}
    return Completion({"id": "c", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice]}, USAGE)


class Accumulated:
    """What a client adds up, checked event by event; `take_<type>` for each that says something."""

    def __init__(self) -> None:
        self.message: dict[str, Any] = {}
        self.arguments: list[str] = []
        self.is_open = False

    def take(self, event: dict[str, Any]) -> None:
        getattr(self, f"take_{event['type']}", lambda _event: None)(event)

    def take_message_start(self, event: dict[str, Any]) -> None:
        assert self.message == {}
        self.message = event["message"]

    def take_content_block_start(self, event: dict[str, Any]) -> None:
        assert not self.is_open
        assert event["index"] == len(self.message["content"])
        self.is_open = True
        self.message["content"].append(event["content_block"])
        self.arguments.append("")

    def take_content_block_delta(self, event: dict[str, Any]) -> None:
        assert self.is_open
        block, delta = self.message["content"][event["index"]], event["delta"]
        self.arguments[event["index"]] += delta.get("partial_json", "")
        for name in {"text", "thinking", "signature"} & set(delta):
            block[name] += delta[name]

    def take_content_block_stop(self, event: dict[str, Any]) -> None:
        assert self.is_open
        self.is_open = False
        if self.message["content"][event["index"]]["type"] == "tool_use":
            self.message["content"][event["index"]]["input"] = json.loads(self.arguments[event["index"]])

    def take_message_delta(self, event: dict[str, Any]) -> None:
        self.message |= event["delta"]
        self.message["usage"] |= event["usage"]


def streamed(deltas: list[Delta]) -> Message:
    made, told = MessageEvents(model="m", usage=Usage(3)), Accumulated()
    text = (b"".join(made.feed([delta]) for delta in deltas) + made.end(USAGE)).decode()
    for line in text.split("\n"):
        if line.startswith("data: "):
            told.take(json.loads(line[6:]))
    assert not told.is_open
    assert text.endswith('data: {"type":"message_stop"}\n\n')
    return Message.model_validate(told.message)


@given(ANSWER, FINISH)
def test_a_stream_adds_up_to_what_the_whole_answer_says(message, finish):
    whole = completion(message, finish)
    told = Message.model_validate(message_of(whole, USAGE, model="m"))
    assert streamed(as_chunks(whole.body)).model_dump() == told.model_dump()
    assert (told.usage.input_tokens, told.usage.cache_read_input_tokens, told.usage.output_tokens) == (6, 4, 5)


@given(ANSWER, FINISH)
def test_an_answer_comes_back_as_the_history_of_the_next_turn(message, finish):
    told = message_of(completion(message, finish), USAGE, model="m")
    if not told["content"]:
        return
    back = chat(messages=[*HELLO, {"role": "assistant", "content": told["content"]}])["messages"][1]
    assert (back["content"] or "") == (message["content"] or "")
    assert back.get("reasoning_content") == message.get("reasoning_content")
    assert back.get("tool_calls", []) == [
        {
            **call,
            "function": {
                **call["function"],
                "arguments": wire.dumps(json.loads(call["function"]["arguments"])).decode(),
            },
        }
        for call in message.get("tool_calls", [])
    ]


def test_reasoning_details_of_a_router_come_back_to_it():
    details = [{"type": "reasoning.encrypted", "data": "x" * 20, "id": "r1"}]
    message = {"content": "a", "reasoning_content": "hm", "reasoning_details": details}
    for told in (
        message_of(completion(message, "stop"), USAGE, model="m")["content"],
        streamed(as_chunks(completion(message, "stop").body)).model_dump()["content"],
    ):
        back, notes_on_it = chat_of({"messages": [{"role": "assistant", "content": told}, *HELLO]})
        assert back["messages"][0]["reasoning_details"] == details
        assert notes_on_it == ()


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ({"finish_reason": "stop"}, ("end_turn", None)),
        ({"finish_reason": "stop", "stop_reason": "END"}, ("stop_sequence", "END")),
        ({"finish_reason": "length"}, ("max_tokens", None)),
        ({"finish_reason": "content_filter"}, ("refusal", None)),
        ({"finish_reason": "something new"}, ("end_turn", None)),
    ],
)
def test_why_it_ended(choice, expected):
    body = {"choices": [{"index": 0, "message": {"content": "a"}, **choice}]}
    told = message_of(Completion(body), USAGE, model="m")
    assert (told["stop_reason"], told["stop_sequence"]) == expected
    assert (streamed(as_chunks(body)).stop_reason, streamed(as_chunks(body)).stop_sequence) == expected


def test_arguments_that_are_no_object_still_arrive():
    call = {"id": "c", "function": {"name": "f", "arguments": "not json"}}
    told = message_of(completion({"content": None, "tool_calls": [call]}, "tool_calls"), USAGE, model="m")
    assert told["content"][0]["input"] == {"arguments": "not json"}


# ---- counting


def test_an_estimate_counts_what_is_said_and_media_flat():
    base = estimate({"messages": HELLO})
    assert estimate({"messages": HELLO, "system": "x" * 400}) == base + 100
    assert estimate({"messages": HELLO, "tools": [{"name": "x" * 400}]}) > base + 100
    large = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "Q" * 1_000_000}}
    assert estimate({"messages": [{"role": "user", "content": [large]}]}) < 2_000
    assert estimate({"messages": [{"role": "user", "content": "日" * 400}]}) >= 300
