"""Ollama's own API: what cannot go is told or refused, and the server's tool ids stay."""

from __future__ import annotations

import json

import openai
import pytest

from tests.support.wires import HELLO, wires

pytestmark = pytest.mark.anyio

NATIVE = {"num_ctx": 8192}
TEXT = {"type": "text", "text": "what is this?"}
PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,QUJD"}}
LOST = [
    {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}},
    {"type": "file", "file": {"file_data": "data:application/pdf;base64,QUJD"}},
    {"type": "input_audio", "input_audio": {"data": "QUJD", "format": "wav"}},
]


def line(done=True, **message):
    return {"model": "m", "message": {"role": "assistant", "content": "", **message}, "done": done}


@pytest.mark.parametrize("native", [NATIVE, {}])
@pytest.mark.parametrize("part", LOST, ids=lambda part: part["type"])
async def test_parts_that_cannot_go_are_told_or_refused(home, native, part):
    async with wires(home, "ollama") as w:
        if native:
            w.ollama.reply(200, line(content="a cat"))
        messages = [{"role": "user", "content": [TEXT, PICTURE, part]}]
        answer = await w.chat("ollama/m", messages=messages, extra_body=native)
        assert f"messages[].content[].{part['type']}" in " ".join(answer.chomp["notes"])
        sent = w.ollama.chats[-1].json["messages"][0]
        assert sent["content"] == ("what is this?" if native else [TEXT, PICTURE])
        assert sent.get("images") == (["QUJD"] if native else None)
        with pytest.raises(openai.BadRequestError, match=part["type"]):
            await w.chat("ollama/m", messages=[{"role": "user", "content": [part]}], extra_body=native)


@pytest.mark.parametrize("streamed", [False, True])
async def test_the_servers_tool_ids_stay_and_others_are_new_in_every_turn(home, streamed):
    calls = [
        {"id": "call_xyz", "function": {"index": 0, "name": "f", "arguments": {"a": 1}}},
        {"function": {"name": "g", "arguments": {}}},
    ]
    async with wires(home, "ollama") as w:
        seen = []
        for _ in range(2):
            w.ollama.clear()
            kind = {"content-type": "application/x-ndjson" if streamed else "application/json"}
            w.ollama.reply(200, json.dumps(line(tool_calls=calls)) + "\n", kind)
            answer = await (w.streamed if streamed else w.chat)("ollama/m", extra_body=NATIVE)
            seen.append(answer.choices[0].message.tool_calls)
        assert [each[0].id for each in seen] == ["call_xyz"] * 2
        assert seen[0][1].id != seen[1][1].id
        assert [call.function.arguments for call in seen[0]] == ['{"a":1}', "{}"]


async def test_a_history_goes_back_with_its_ids_and_thoughts(home):
    call = {"id": "call_xyz", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}
    history = [
        *HELLO,
        {"role": "assistant", "content": None, "tool_calls": [call], "reasoning_content": "hm", "refusal": "no"},
        {"role": "tool", "tool_call_id": "call_xyz", "content": "1"},
    ]
    async with wires(home, "ollama") as w:
        w.ollama.reply(200, line(content="ok"))
        answer = await w.chat("ollama/m", messages=history, extra_body=NATIVE)
        _, asked, told = w.ollama.chats[-1].json["messages"]
        assert asked["tool_calls"] == [{"id": "call_xyz", "function": {"name": "f", "arguments": {"a": 1}}}]
        assert asked["thinking"] == "hm"
        assert told == {"role": "tool", "content": "1", "tool_call_id": "call_xyz", "tool_name": "f"}
        assert "messages[].refusal" in " ".join(answer.chomp["notes"])
