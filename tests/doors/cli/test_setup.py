"""The guided walk, as a person meets it."""

from __future__ import annotations

import os
import pty
import subprocess

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
