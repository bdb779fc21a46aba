"""Answers in Markdown, as a terminal's screen has them in the end; and as they came where it is none."""

from __future__ import annotations

import os
import pty
import re
import subprocess

import pytest

from tests.support.commands import COMMAND

PARTS = ["# Ti", "tle\n\nSome **bold", "** words.\n\n- one\n", "- two\n\n```py\nx = 1\n\ny = 2\n```\n", "The end."]


def on_terminal(*arguments: str, **env: str) -> str:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, "ask", "hi", "-m", "lab/m", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "80", "LINES": "40", **env},
    )
    os.close(theirs)
    seen = b""
    while True:
        try:
            piece = os.read(ours, 4096)
        except OSError:  # EIO: the other end is closed
            break
        if not piece:
            break
        seen += piece
    assert process.wait(30) == 0
    os.close(ours)
    return seen.decode()


def screen(seen: str) -> str:
    """What stands there in the end: text, cursor up (F), erase below (J); colours count for nothing."""
    lines, at = [""], 0
    for token in re.findall(r"\x1b\[[\d;]*[A-Za-z]|\r?\n|[^\x1b\r\n]+", seen):
        if moved := re.fullmatch(r"\x1b\[(\d+)F", token):
            at -= int(moved[1])
        elif token == "\x1b[J":
            del lines[at + 1 :]
            lines[at] = ""
        elif token.endswith("\n"):
            at += 1
            lines += [""] * (at + 1 - len(lines))
        elif not token.startswith("\x1b"):
            lines[at] += token
    return "\n".join(line.rstrip() for line in lines)


def test_blocks_are_drawn_in_the_place_of_what_came(home, upstream):
    upstream.stream(PARTS)
    seen = on_terminal()
    shown = screen(seen)
    assert "**" not in shown
    assert "```" not in shown
    assert "\x1b[1mbold" in seen
    for text in ("Title", "Some bold words.", "• one", "• two", "x = 1", "y = 2", "The end."):
        assert shown.count(text) == 1


@pytest.mark.parametrize(("arguments", "env"), [(["--raw"], {}), ([], {"TERM": "dumb"})])
def test_it_stays_as_it_came_where_that_is_wanted(home, upstream, arguments, env):
    upstream.stream(PARTS)
    assert on_terminal(*arguments, **env).replace("\r\n", "\n") == "".join(PARTS) + "\n"


def test_a_pipe_gets_markdown(run, upstream):
    upstream.stream(PARTS)
    assert run("ask", "hi", "-m", "lab/m").stdout == "".join(PARTS) + "\n"
