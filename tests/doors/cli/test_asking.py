from __future__ import annotations

import errno
import json
import os
import pty
import signal
import subprocess
import sys

import pytest

from tests.support.commands import COMMAND
from tests.support.scripted import chunk


def test_ask_prints_the_answer_and_tells_the_receipt_on_stderr(run, upstream):
    upstream.answer("hello there")
    done = run("ask", "hi", "-m", "lab/m")
    assert (done.returncode, done.stdout) == (0, "hello there\n")
    assert done.stderr.startswith("lab/m · 7 in, 3 out · ")


def test_calls_of_tools_are_said_after_the_text(run, upstream):
    call = {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    upstream.stream(["Let me see.", chunk(tool_calls=[{"index": 0, **call}])], finish="tool_calls")
    done = run("ask", "hi", "-m", "lab/m")
    assert done.stdout == "Let me see.\n\n" + json.dumps({"tool_calls": [call]}, separators=(",", ":")) + "\n"


def test_words_after_ask_are_one_prompt_and_the_system_prompt_goes_along(run, upstream):
    assert run("ask", "what", "is", "up", "-m", "m", "-s", "be brief").returncode == 0
    assert upstream.chats[0].json["messages"] == [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "what is up"},
    ]


def test_a_dash_reads_the_prompt_from_stdin(run, upstream):
    assert run("ask", "-", "-r", "lab", "-m", "m", stdin="von unten: äöü\n").returncode == 0
    assert upstream.chats[0].json["messages"][-1]["content"] == "von unten: äöü\n"


def test_json_holds_the_answer_and_the_whole_receipt(run, upstream):
    upstream.answer("hello")
    done = run("ask", "hi", "-m", "lab/m", "--json")
    told = json.loads(done.stdout)
    assert (done.returncode, done.stderr) == (0, "")
    assert (told["status"], told["text"], told["job_id"]) == ("done", "hello", "")
    assert told["receipt"]["served"] == "lab/m"
    assert told["receipt"]["usage"] == {"input_tokens": 7, "output_tokens": 3, "cached_tokens": 0}


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["ask", "hi", "-m", "lob/m", "-r", "lob"], 2, "Did you mean lab"),
        (["ask", "hi", "-m", "lab/nothing-like-it", "-r", "nobody-at-all"], 2, "There is no router"),
        (["ask", "  "], 2, "The prompt is empty."),
        (["ask", "hi", "-r", "groq"], 2, "chomp-mcp keys add groq"),
        (["ask", "hi", "-m", "mock/500"], 4, "mock/500"),
        (["ask", "hi", "-m", "mock/429?retry_after=2"], 4, "mock"),
        (["ask", "hi", "-m", "mock/garbage"], 4, "mock"),
        (["ask", "hi", "-m", "mock/empty"], 4, "mock"),
        (["result", "job_0"], 2, "There is no job 'job_0'"),
        (["cancel", "job_0"], 2, "There is no job 'job_0'"),
    ],
)
def test_an_error_is_one_line_on_stderr_with_its_exit_code(run, upstream, arguments, code, text):
    done = run(*arguments)
    assert done.returncode == code
    assert done.stdout == ""
    assert done.stderr.startswith("chomp-mcp: ")
    assert done.stderr.count("\n") == 1
    assert text in done.stderr


def test_a_spent_budget_ends_with_3(run, upstream):
    env = {"LLM_DAILY_BUDGET_USD": "0.000001", "GROQ_API_KEY": "gsk_0123", "CHOMP_ROUTER_GROQ_URL": upstream.url}
    done = run("ask", "hi", "-m", "groq/openai/gpt-oss-120b", env=env)
    assert (done.returncode, done.stdout) == (3, "")
    assert "budget" in done.stderr
    assert upstream.chats == []


def test_a_store_that_is_corrupt_is_named_and_ends_with_5(run, home):
    home.mkdir()
    (home / "state.db").write_bytes(b"no database at all " * 100)
    done = run("dispatch", "hi", "-m", "mock/echo")
    assert done.returncode == 5
    assert str(home / "state.db") in done.stderr


def test_stdin_that_is_not_utf8_is_refused(run):
    done = run("ask", "-", "-m", "mock/echo", stdin=b"\xff\xfe")
    assert done.returncode == 2
    assert "not UTF-8" in done.stderr


def test_an_answer_that_breaks_off_keeps_its_text_and_ends_with_4(run):
    done = run("ask", "hi", "-m", "mock/cut?after=11")
    assert done.returncode == 4
    assert done.stdout.startswith("Lorem ipsum")
    assert done.stdout.endswith("\n")
    assert "chomp-mcp: " in done.stderr


def test_an_answer_reaches_the_terminal_piece_by_piece_and_without_control_characters(home, upstream):
    upstream.hang(after=["one\x1b[2J ", "two"])
    ours, theirs = pty.openpty()
    process = subprocess.Popen([*COMMAND, "ask", "hi", "-m", "lab/m"], stdout=theirs, stderr=subprocess.DEVNULL)
    os.close(theirs)
    seen = _read_until(ours, b"two")
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 130
    assert b"one[2J two" in seen
    assert b"\x1b" not in seen
    os.close(ours)


def _read_until(terminal: int, end: bytes) -> bytes:
    seen = b""
    while end not in seen:
        try:
            seen += os.read(terminal, 1024)
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            break
    return seen


def test_ctrl_c_ends_quietly_with_130_and_stops_the_router(home, upstream):
    upstream.hang(after=["working"])
    process = subprocess.Popen(
        [*COMMAND, "ask", "hi", "-m", "lab/m"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout.read(7) == "working"
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert (process.returncode, errors) == (130, "")
    upstream.wait(upstream.saw_disconnect)


def test_a_reader_that_leaves_early_is_no_error(home, upstream):
    upstream.stream(["line\n"] * 20_000)
    pipeline = f"{sys.executable} -m chomp_mcp ask hi -m lab/m | head -n 1; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", pipeline], capture_output=True, text=True, check=False, timeout=50)
    assert done.stdout == "line\n141\n"
    assert done.stderr == ""


def test_an_error_names_the_next_step_as_a_command(run, keyed):
    keyed.fail(404, {"error": {"message": "no such model", "type": "t", "code": "model_not_found"}})
    for arguments in (
        ("ask", "hi", "-m", "lab/none"),
        ("ask", "hi", "-m", "nobody-has-this"),
        ("ask", "hi", "-m", "a\tb"),
    ):
        done = run(*arguments)
        assert done.returncode in {2, 4}
        assert "list_models" not in done.stderr
        assert "register_keys" not in done.stderr
        assert "chomp-mcp" in done.stderr.partition(":")[2]
