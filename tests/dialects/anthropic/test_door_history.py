"""The history of a Messages body as one that chat completions takes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chomp_mcp import wire
from chomp_mcp.dialects.anthropic.door_request import chat_of
from chomp_mcp.dialects.anthropic.request import translate
from chomp_mcp.messages import ChatRequest, Route
from chomp_mcp.routers.catalog import load
from chomp_mcp.settings import Settings
from tests.dialects.anthropic.door import HELLO, TEXT, chat

ANTHROPIC = load(Settings(home=Path("nowhere")))["anthropic"]
SAMPLES = sorted((Path(__file__).parent / "samples").glob("*.json"))


def texts_in(value: Any) -> str:
    """Everything that is said in it, in order."""
    return wire.dumps(value).decode()


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


IDS = st.integers(0, 3).map("toolu_{}".format)
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
