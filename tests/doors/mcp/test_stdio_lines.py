"""Lines that no JSON parser takes: through the real server, and the rules by themselves."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mcp.types import jsonrpc_message_adapter
from pydantic import ValidationError

from chomp_mcp.doors.mcp.incoming import mended
from chomp_mcp.doors.mcp.stdio_lines import refusal, split_lines
from tests.doors.mcp.test_stdio import INITIALIZE, started

DEEP = "[" * 2000 + "]" * 2000
ENVELOPE = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientInfo": {"name": "t", "version": "0"},
    "io.modelcontextprotocol/clientCapabilities": {},
}


def asking(prompt: str, request_id: int, **params: object) -> str:
    arguments = {"prompt": prompt, "model": "mock/echo"}
    request = {"name": "ask", "arguments": arguments, **params}
    return json.dumps({"jsonrpc": "2.0", "id": request_id, "method": "tools/call", "params": request})


def talk(server: subprocess.Popen[str], *lines: str) -> list[dict[str, object]]:
    """Each line's answer, before the next one is sent."""
    assert server.stdin
    assert server.stdout
    answers = []
    for line in lines:
        server.stdin.write(line + "\n")
        server.stdin.flush()
        answers.append(json.loads(server.stdout.readline()))
    server.communicate("", timeout=20)
    return answers


def test_half_an_emoji_is_replaced_and_what_is_no_json_is_answered(tmp_path: Path) -> None:
    with started(tmp_path) as server:
        answers = talk(
            server,
            json.dumps(INITIALIZE),
            asking("cut \ud83d", 2),
            '{"jsonrpc": "2.0", "id": 3,',
            f'{{"jsonrpc": "2.0", "id": 4, "method": "ping", "params": {{"a": {DEEP}}}}}',
            '{"jsonrpc": "2.0", "id": 5, "method": "ping"}',
        )
    assert [answer["id"] for answer in answers] == [1, 2, None, 4, 5]
    assert answers[1]["result"]["structuredContent"]["text"] == "cut \ufffd"  # type: ignore[index]
    assert [answers[n]["error"]["code"] for n in (2, 3)] == [-32700, -32700]  # type: ignore[index]
    assert answers[4]["result"] == {}


def test_the_first_message_decides_the_era_even_with_half_an_emoji_after_a_broken_line(tmp_path: Path) -> None:
    with started(tmp_path) as server:
        answers = talk(server, "broken", asking("cut \ud83d", 2, _meta=ENVELOPE), asking("hi", 3, _meta=ENVELOPE))
    assert [answer["id"] for answer in answers] == [None, 2, 3]
    assert answers[1]["result"]["structuredContent"]["text"] == "cut \ufffd"  # type: ignore[index]
    assert answers[2]["result"]["resultType"] == "complete"  # type: ignore[index]


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=30).map(lambda text: text + "\\ud83d"))
def test_text_without_half_pairs_stays_as_it_is(text: str) -> None:
    assert json.loads(mended(json.dumps(text))) == text


@given(st.text(st.one_of(st.characters(), st.characters(categories=["Cs"])), max_size=30))
def test_half_pairs_become_the_replacement_character(text: str) -> None:
    told = json.loads(mended(json.dumps(text)))
    whole = json.loads(json.dumps(text))  # two halves beside each other are a pair
    assert told == "".join("\ufffd" if "\ud800" <= character <= "\udfff" else character for character in whole)


@given(st.lists(st.binary(max_size=9).map(lambda line: line.replace(b"\n", b"")), max_size=9), st.integers(1, 7))
def test_lines_come_out_whole_whatever_the_chunks(lines: list[bytes], size: int) -> None:
    sent = b"".join(line + b"\n" for line in lines)
    chunks = iter([sent[at : at + size] for at in range(0, len(sent), size)])
    assert list(split_lines(lambda: next(chunks, b""))) == lines


def test_a_last_line_needs_no_end() -> None:
    chunks = iter([b"one\ntw", b"o"])
    assert list(split_lines(lambda: next(chunks, b""))) == [b"one", b"two"]


def told(line: str) -> tuple[object, int] | None:
    with pytest.raises(ValidationError) as caught:
        jsonrpc_message_adapter.validate_json(line, by_name=False)
    answer = refusal(caught.value)
    return None if answer is None else (answer.id, answer.error.code)


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        ("\n", None),
        ("nothing", (None, -32700)),
        ('{"jsonrpc":"2.0","id":"a-1","method":"tools/call","params":{"id":9,', ("a-1", -32700)),
        (f'{{"method":"tools/call","params":{DEEP},"jsonrpc":"2.0","id":7}}', (7, -32700)),
        (f'{{"jsonrpc":"2.0","id":7,"result":{DEEP}}}', (None, -32700)),
        ("[]", (None, -32600)),
        ("5", (None, -32600)),
        ('{"id":4,"method":"ping"}', (4, -32600)),
        ('{"jsonrpc":"2.0","id":4,"method":"ping","params":[1]}', (4, -32600)),
        ('{"jsonrpc":"2.0","id":true}', (None, -32600)),
        ('{"jsonrpc":"2.0","id":4,"result":3}', None),
        ('{"jsonrpc":"2.0","id":4,"error":{}}', None),
    ],
)
def test_a_request_is_answered_under_its_id_and_an_answer_never(line: str, answer: tuple[object, int] | None) -> None:
    assert told(line) == answer
