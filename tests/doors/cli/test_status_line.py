"""What is waited for, on a terminal, and gone in the end."""

from __future__ import annotations

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
