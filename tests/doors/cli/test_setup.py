"""The guided walk and the shell's completion, as a person and a shell meet them."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.commands import COMMAND

KEY = "gsk_abcdefghijklmnop4f2a"
ANSWERS = (("Which one? ", "groq"), ("typed hidden: ", KEY))


def test_the_walk_goes_from_nothing_to_the_first_answer(home, tmp_path, upstream):
    upstream.models(["openai/gpt-oss-120b"])
    upstream.answer("Hello, I am here.")
    env = {**os.environ, "HOME": str(tmp_path), "PATH": "/usr/bin:/bin", "CHOMP_ROUTER_GROQ_URL": upstream.url}
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, "setup"], stdin=theirs, stdout=theirs, stderr=theirs, env=env, start_new_session=True
    )
    os.close(theirs)
    seen, told = "", ""
    for question, said in ANSWERS:
        while question not in seen:
            seen += os.read(ours, 4096).decode("utf-8", "replace")
        told += seen
        seen = ""
        os.write(ours, f"{said}\n".encode())
    while "chomp-mcp status" not in seen:
        seen += os.read(ours, 4096).decode("utf-8", "replace")
    told += seen
    assert process.wait(30) == 0
    os.close(ours)
    assert told.index("Groq") < told.index("OpenCode Zen")
    assert "Hello, I am here." in told
    assert "groq/openai/gpt-oss-120b · " in told
    assert KEY not in told


def test_the_walk_needs_a_terminal(run):
    done = run("setup")
    assert done.returncode == 2
    assert "keys add ROUTER" in done.stderr


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("chomp-mcp keys add gr", {"groq"}),
        ("chomp-mcp models gr", {"groq"}),
        ("chomp-mcp ask hi -m mock/ec", {"mock/echo"}),
        ("chomp-mcp insta", {"install"}),
        ("chomp-mcp install clau", {"claude-desktop", "claude-code"}),
    ],
)
def test_a_shell_is_told_the_words_that_fit(home, tmp_path, line, expected):
    out = tmp_path / "words"
    env = {
        **os.environ,
        "_ARGCOMPLETE": "1",
        "_ARGCOMPLETE_IFS": "\n",
        "_ARGCOMPLETE_STDOUT_FILENAME": str(out),
        "COMP_LINE": line,
        "COMP_POINT": str(len(line)),
    }
    script = Path(sys.executable).parent / "chomp-mcp"
    subprocess.run([script], env=env, stdin=subprocess.DEVNULL, check=True, timeout=50)
    assert {word.strip() for word in out.read_text().split("\n")} == expected


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_shell_has_its_script(run, shell):
    done = run("completion", shell)
    assert done.returncode == 0
    assert "chomp-mcp" in done.stdout
