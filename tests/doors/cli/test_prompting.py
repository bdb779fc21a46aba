from __future__ import annotations

import json
import os
import pty
import socket
import subprocess
import sys

import pytest

from tests.support.commands import COMMAND


def said(upstream, at: int = -1) -> str:
    return upstream.chats[at].json["messages"][-1]["content"]


def test_what_is_piped_in_goes_before_the_words(run, upstream):
    assert run("ask", "Explain this", "-m", "lab/m", stdin="def f(): pass\n").returncode == 0
    assert said(upstream) == "def f(): pass\n\nExplain this"


def test_a_dash_stands_where_the_piped_text_goes(run, upstream):
    run("ask", "-", "Explain", "-m", "lab/m", stdin="code\n")
    assert said(upstream) == "code\n\nExplain"
    run("ask", "Translate:", "-", "into French", "-m", "lab/m", stdin="code\n")
    assert said(upstream) == "Translate:\n\ncode\n\ninto French"


def test_more_than_a_prompt_may_have_is_refused_without_reading_on(home):
    done = subprocess.run(
        ["bash", "-c", f"yes | {' '.join(COMMAND)} ask x -m mock/echo"],
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )
    assert done.returncode == 2
    assert "stdin has more than" in done.stderr


def test_a_socket_that_says_nothing_is_no_input(home, upstream):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        done = subprocess.run(
            [*COMMAND, "ask", "hi", "-m", "lab/m"], stdin=theirs, capture_output=True, check=False, timeout=50
        )
    assert done.returncode == 0
    assert said(upstream) == "hi"


def test_options_are_json_where_they_can_be_read_as_that(run, upstream):
    run("ask", "hi", "-m", "lab/m", "-o", "temperature=0.2", "-o", 'stop=["a"]', "-o", "user=me")
    body = upstream.chats[0].json
    assert (body["temperature"], body["stop"], body["user"]) == (0.2, ["a"], "me")


def test_a_schema_travels_as_the_format_of_the_answer(run, upstream, tmp_path):
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    (tmp_path / "my schema.json").write_text(json.dumps(schema))
    run("ask", "hi", "-m", "lab/m", "--schema", "my schema.json")
    expected = {"type": "json_schema", "json_schema": {"name": "my_schema", "schema": schema}}
    assert upstream.chats[0].json["response_format"] == expected


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["-o", "nothing"], "is not NAME=VALUE"),
        (["--schema", "nowhere.json"], "cannot be read: No such file"),
        (["--thread", "a/b"], "cannot be the name of a conversation"),
        (["-c"], "There is no conversation to continue"),
    ],
)
def test_what_cannot_be_used_is_told_before_anything_is_sent(run, upstream, arguments, text):
    done = run("ask", "hi", "-m", "lab/m", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert text in done.stderr
    assert upstream.chats == []


def test_the_last_conversation_goes_on_with_its_model(run, upstream):
    upstream.answer("one")
    run("ask", "first", "-m", "lab/m", "-s", "be brief")
    upstream.answer("two")
    assert run("ask", "second", "-c").returncode == 0
    assert [message["content"] for message in upstream.chats[1].json["messages"]] == [
        "be brief", "first", "one", "second",
    ]  # fmt: skip


def test_conversations_with_names_are_apart(run, upstream):
    run("ask", "a", "-m", "lab/m", "--thread", "work")
    run("ask", "b", "-m", "lab/m")
    run("ask", "c", "--thread", "work")
    assert [m["content"] for m in upstream.chats[2].json["messages"] if m["role"] == "user"] == ["a", "c"]
    run("ask", "d", "-c")
    assert [m["content"] for m in upstream.chats[3].json["messages"] if m["role"] == "user"] == ["a", "c", "d"]


def test_chat_asks_line_after_line_in_one_conversation(run, upstream):
    upstream.answer("yes")
    done = run("chat", "-m", "lab/m", stdin="one\n\ntwo\n")
    assert (done.returncode, done.stdout) == (0, "yes\nyes\n")
    assert [m["content"] for m in upstream.chats[1].json["messages"]] == ["one", "yes", "two"]


def test_a_terminal_is_told_after_a_second_what_is_waited_for(home, upstream):
    upstream.hang()
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, "ask", "hi", "-m", "lab/m"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=theirs
    )
    os.close(theirs)
    seen = b""
    while b"waiting for lab/m" not in seen:
        seen += os.read(ours, 1024)
    process.terminate()
    process.wait(20)
    os.close(ours)


def test_errors_are_json_where_json_was_asked_for(run, upstream):
    upstream.fail(400, "no such thing")
    done = run("ask", "hi", "-m", "lab/m", "--json")
    told = json.loads(done.stderr)
    assert (done.returncode, done.stdout, told["error"]["exit_code"]) == (4, "", 4)
    assert "no such thing" in told["error"]["message"]
    assert [attempt["outcome"] for attempt in told["receipt"]["attempts"]] == ["caller_fault"]
    assert json.loads(run("ask", "--json").stderr)["error"]["exit_code"] == 2


def test_an_error_names_commands_and_no_tools(run, upstream):
    done = run("ask", "hi", "-m", "zzzzzzzz")
    assert "chomp-mcp models" in done.stderr
    assert "list_models" not in done.stderr
    assert "register_keys" not in run("ask", "hi", "-r", "groq").stderr


@pytest.mark.parametrize(
    ("command", "text"),
    [
        ("status >/dev/full", "The output cannot be written: No space left on device."),
        ("--help >/dev/full", "The output cannot be written: No space left on device."),
        ("jobs --json >/dev/full", ""),
        ("ask hi -m mock/echo >/dev/full", "The output cannot be written"),
        ("status >&-", "stdout is closed"),
    ],
)
def test_an_output_that_cannot_be_written_is_one_line(home, command, text):
    shell = f"exec {' '.join(COMMAND)} {command} </dev/null"
    done = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, check=False, timeout=50)
    assert done.returncode == 5
    assert "Traceback" not in done.stderr
    assert done.stderr.count("\n") == 1
    assert text in done.stderr


def test_what_a_command_without_stderr_starts_has_one():
    """Workers of `serve` that lack it cannot start."""
    code = "import os; from chomp_mcp.doors.cli import main; raise SystemExit(main() or not os.get_inheritable(2))"
    shell = f"exec {sys.executable} -c '{code}' completion bash 2>&-"
    assert subprocess.run(["bash", "-c", shell], stdout=subprocess.DEVNULL, check=False, timeout=50).returncode == 0


def test_ctrl_d_at_a_key_is_one_line(home):
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, "keys", "add", "groq"], stdin=theirs, stdout=subprocess.PIPE, stderr=theirs, start_new_session=True
    )
    os.close(theirs)
    seen = b""
    while b"typed hidden: " not in seen:
        seen += os.read(ours, 1024)
    os.write(ours, b"\x04")
    process.communicate(timeout=30)
    assert process.returncode == 2
    seen += os.read(ours, 4096)
    assert b"The input ended" in seen
    assert b"Traceback" not in seen
    os.close(ours)


@pytest.mark.parametrize("locale", ["C", "POSIX"])
def test_a_pipe_gets_utf8_whatever_the_locale(run, locale):
    done = run("ask", "naïve café", "-m", "mock/echo", env={"LC_ALL": locale, "PYTHONIOENCODING": "ascii"})
    assert done.stdout == "naïve café\n"
