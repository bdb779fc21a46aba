"""What only a terminal shows: what a command waits for, gone in the end; the routers that matter."""

from __future__ import annotations

import contextlib
import os
import pty
import signal
import subprocess

from tests.support.commands import COMMAND


def test_a_command_that_waits_says_for_what_and_wipes_it_at_its_end(home, upstream):
    upstream.on(path="/models").hang()
    ours, theirs = pty.openpty()
    with subprocess.Popen([*COMMAND, "models", "lab"], stdout=subprocess.PIPE, stderr=theirs, text=True) as process:
        os.close(theirs)
        seen = ""
        while "asking lab for its models · 1 s" not in seen:
            seen += os.read(ours, 4096).decode()
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=20)[0] == ""
    while not seen.endswith("\r\x1b[K"):
        seen += os.read(ours, 4096).decode()
    assert "Traceback" not in seen
    assert process.returncode == 130
    os.close(ours)


def test_a_terminal_has_one_line_for_the_routers_without_a_key(home):
    ours, theirs = pty.openpty()
    command = [*COMMAND, "status"]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=theirs, stderr=subprocess.DEVNULL):
        os.close(theirs)
        seen = ""
        with contextlib.suppress(OSError):  # the other end is closed: Linux says EIO
            while piece := os.read(ours, 4096):
                seen += piece.decode()
    os.close(ours)
    rows = [line.split()[0] for line in seen.partition("\r\n\r\n")[0].splitlines()]
    assert "mock" in rows
    assert "groq" not in rows
    assert "Without a key: zen, groq, " in seen
