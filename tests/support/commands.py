"""`finished(arguments, env=…)`: the command `chomp-mcp …`, run to its end in a process of its own that need not import.

To start Python and import the package takes 0.3 s of CPU, and hundreds of tests would do it. Here one process for a
test session (`command_server`) imports everything once and forks for each command. The fork has its own arguments,
environment, folder, pipes and exit, and leaves as any Python program does; what it has not is a start of its own.
So a variable that Python reads then (PYTHON…, the locale) gets a fresh process.
"""

from __future__ import annotations

import atexit
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache
from pathlib import Path
from threading import Timer

__all__ = ["COMMAND", "finished"]

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "chomp_mcp"]
READ_AT_START = ("PYTHON", "LC_", "LANG")
STARTED_WITH = dict(os.environ)

logger = logging.getLogger(__name__)


def finished(
    *arguments: str, env: Mapping[str, str], stdin: str | bytes = b"", cwd: Path = ROOT, seconds: float = 50
) -> subprocess.CompletedProcess[str]:
    """The finished command, its output as text; killed when it takes longer than `seconds`."""
    given = stdin.encode() if isinstance(stdin, str) else stdin
    is_as_here = all(STARTED_WITH.get(name) == env[name] for name in env if name.startswith(READ_AT_START))
    if is_as_here and hasattr(os, "fork"):
        code, out, err = _forked(arguments, env, given, cwd, seconds)
    else:
        line = [*COMMAND, *arguments]
        done = subprocess.run(line, input=given, capture_output=True, check=False, cwd=cwd, env=env, timeout=seconds)
        code, out, err = done.returncode, done.stdout, done.stderr
    # pytest shows it when the test fails: a command that printed no JSON said why on stderr.
    logger.warning("chomp-mcp %s ended with %d%s", " ".join(arguments), code, f"\n{err.decode()}" if err else "")
    return subprocess.CompletedProcess([*COMMAND, *arguments], code, out.decode(), err.decode())


def _forked(
    arguments: Sequence[str], env: Mapping[str, str], stdin: bytes, cwd: Path, seconds: float
) -> tuple[int, bytes, bytes]:
    """The exit code (negative: the signal that ended it), stdout, stderr."""
    (their_in, our_in), (our_out, their_out), (our_err, their_err) = os.pipe(), os.pipe(), os.pipe()
    request = json.dumps({"arguments": arguments, "env": dict(env), "cwd": str(cwd)}).encode() + b"\n"
    with socket.socket(socket.AF_UNIX) as line, ThreadPoolExecutor(3) as pool:
        line.connect(_server())
        sent = socket.send_fds(line, [request], [their_in, their_out, their_err])
        line.sendall(request[sent:])
        for fd in (their_in, their_out, their_err):
            os.close(fd)
        answers = line.makefile()
        killer = Timer(seconds, os.kill, (int(answers.readline()), signal.SIGKILL))
        killer.start()
        pool.submit(_write, our_in, stdin)
        out, err = pool.submit(_read, our_out), pool.submit(_read, our_err)
        status = int(answers.readline())
        killer.cancel()
        return os.waitstatus_to_exitcode(status), out.result(), err.result()


def _read(fd: int) -> bytes:
    with open(fd, "rb") as pipe:
        return pipe.read()


def _write(fd: int, data: bytes) -> None:
    with suppress(BrokenPipeError), open(fd, "wb") as pipe:
        pipe.write(data)


@cache
def _server() -> str:
    """Where the process listens that forks for us; it is started once, and ends with us."""
    folder = tempfile.mkdtemp(prefix="chomp-")  # not pytest's own: the path of a socket may be 100 characters long
    path = f"{folder}/commands"
    line = [sys.executable, "-m", "tests.support.command_server", path]
    server = subprocess.Popen(line, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert server.stdin
    assert server.stdout
    if server.stdout.readline() != b"ready\n":
        raise RuntimeError("the server of commands did not start")

    def end() -> None:
        server.communicate(timeout=10)
        Path(path).unlink()
        Path(folder).rmdir()

    atexit.register(end)
    return path
