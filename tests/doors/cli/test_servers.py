"""serve on a terminal: what a person sees of what happens."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess

from tests.support.commands import COMMAND


def read_until(terminal: int, end: str) -> str:
    seen = ""
    while end not in seen:
        seen += os.read(terminal, 4096).decode("utf-8", "replace")
    return seen


def test_a_terminal_is_told_what_is_where_and_what_the_end_waits_for(home, run, upstream):
    upstream.hang(after=["one"])
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, "serve", "--port", "0"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=theirs
    )
    os.close(theirs)
    told = read_until(ours, "Ctrl-C ends it.")
    url = told.split()[2]
    assert all(f"{url}{path}" in told for path in ("/", "/v1", "/mcp"))
    body = json.dumps({"model": "lab/m", "stream": True, "messages": [{"role": "user", "content": "hi"}]})
    ask = ["curl", "-sN", f"{url}/v1/chat/completions", "-H", "content-type: application/json", "-d", body]
    with subprocess.Popen(ask, stdout=subprocess.PIPE, text=True) as caller:
        assert "one" in caller.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert "for 1 answer under way; Ctrl-C again" in read_until(ours, "ends at once.")
        process.send_signal(signal.SIGINT)
        assert process.wait(8) == 0
    last = os.read(ours, 4096).decode()
    assert "chomp-mcp ends now." in last
    assert "Cancelled" not in last
    assert "Traceback" not in last
    os.close(ours)


def test_several_workers_end_with_one_voice(home, run, upstream):
    upstream.hang(after=["one"])
    ours, theirs = pty.openpty()
    command = [*COMMAND, "serve", "--port", "0", "--workers", "2"]
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=theirs, start_new_session=True
    )
    os.close(theirs)
    url = read_until(ours, "Ctrl-C ends it.").split()[2]
    body = json.dumps({"model": "lab/m", "stream": True, "messages": [{"role": "user", "content": "hi"}]})
    ask = ["curl", "-sN", f"{url}/v1/chat/completions", "-H", "content-type: application/json", "-d", body]
    with subprocess.Popen(ask, stdout=subprocess.PIPE, text=True) as caller:
        assert "one" in caller.stdout.readline()
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does it: all of them hear it
        read_until(ours, "Ctrl-C again ends at once.")
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(8) == 0
    assert os.read(ours, 4096).decode().split() == ["chomp-mcp", "ends", "now."]
    os.close(ours)
