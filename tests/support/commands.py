"""`chomp-mcp …` in processes of their own that need not import anything: `finished(arguments, env=…)`, `Forked`.

To start Python and import what a server needs takes a second of CPU, and hundreds of tests would do it. Here one
process for a test session (`command_server`) imports everything once and forks whenever a test starts `chomp-mcp`, in
whatever way: `subprocess`, asyncio, the MCP SDK. The fork has its own arguments, environment, folder, pipes and exit,
is a child of the test's process, and leaves as any Python program does; what it has not is a start of its own. So a
variable that Python reads then (PYTHON…, the locale) gets a fresh process, as does all else that is out of the
ordinary, and whatever is started by way of another program (a shell, `python -c`). The workers of pytest-xdist are
forked in the same way, and have loaded what they all need.
"""

from __future__ import annotations

import atexit
import ctypes
import json
import logging
import os
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Lock
from typing import Any

__all__ = ["COMMAND", "Forked", "finished"]

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "chomp_mcp"]
EXECUTABLE = sys.executable
"""A test may name another one, that is not there."""
SCRIPT = Path(sys.executable).parent / "chomp-mcp"
WORKER = ["-u", "-c", "import sys;exec(eval(sys.stdin.readline()))"]
"""How pytest-xdist (execnet, `popen_bootstrapline`) starts a worker of its own: with the code on its stdin."""
MODULES = ("chomp_mcp", "tests.behaviour.other_process", "tests.gateway.replica", "tests.store.other_process")
READ_AT_START = ("PYTHON", "LC_", "LANG")
CHANGES_NOTHING = {"PYTHON_KEYRING_BACKEND": "any", "PYTHONPATH": str(ROOT)}
"""Of those: a library's own, which is read late, and where our package was found."""
STARTED_WITH = dict(os.environ)
PR_SET_CHILD_SUBREAPER = 36

logger = logging.getLogger(__name__)
adopting = Lock()
address = ""
"""Where the process listens that forks for us, once it was started: an abstract socket, which no file remains of."""


def finished(
    *arguments: str, env: Mapping[str, str], stdin: str | bytes = b"", cwd: Path = ROOT, seconds: float = 50
) -> subprocess.CompletedProcess[str]:
    """The finished command, its output as text; killed when it takes longer than `seconds`."""
    given = stdin.encode() if isinstance(stdin, str) else stdin
    line = [*COMMAND, *arguments]
    done = subprocess.run(line, input=given, capture_output=True, check=False, cwd=cwd, env=env, timeout=seconds)
    code, out, err = done.returncode, done.stdout.decode(), done.stderr.decode()
    # pytest shows it when the test fails: a command that printed no JSON said why on stderr.
    logger.warning("chomp-mcp %s ended with %d%s", " ".join(arguments), code, f"\n{err}" if err else "")
    return subprocess.CompletedProcess(line, code, out, err)


class Forked(subprocess.Popen[Any]):
    """Stands in for `subprocess.Popen`, which all ways to start a process use; decides by the command line."""

    def _execute_child(  # noqa: PLR0917 - as subprocess calls it
        self,
        args: Any,
        executable: Any,
        preexec_fn: Any,
        close_fds: bool,
        pass_fds: Any,
        cwd: Any,
        env: Mapping[str, str] | None,
        startupinfo: Any,
        creationflags: int,
        shell: bool,
        p2cread: int,
        p2cwrite: int,
        c2pread: int,
        c2pwrite: int,
        errread: int,
        errwrite: int,
        restore_signals: bool,
        gid: int | None,
        gids: Any,
        uid: int | None,
        umask: int,
        start_new_session: bool,
        process_group: int,
    ) -> None:
        given = os.environ if env is None else env
        program = _program(args)
        is_odd = shell or executable or preexec_fn or pass_fds or (gid, gids, uid, umask) != (None, None, None, -1)
        is_odd = is_odd or process_group != -1 or not (cwd is None or Path(cwd).is_dir())
        if not program or is_odd or not _is_as_here(given):
            super()._execute_child(  # type: ignore[misc]
                *(args, executable, preexec_fn, close_fds, pass_fds, cwd, env, startupinfo, creationflags, shell),
                *(p2cread, p2cwrite, c2pread, c2pwrite, errread, errwrite, restore_signals),
                *(gid, gids, uid, umask, start_new_session, process_group),
            )
            return
        request = {"program": program, "env": dict(given), "cwd": os.fspath(cwd or Path.cwd())}
        request["new_session"] = start_new_session
        streams = [fd if fd != -1 else standard for standard, fd in enumerate((p2cread, c2pwrite, errwrite))]
        self.pid = _adopted(request, streams)
        self._child_created = True
        self._close_pipe_fds(p2cread, p2cwrite, c2pread, c2pwrite, errread, errwrite)  # type: ignore[attr-defined]


def _program(args: Any) -> list[str]:
    """What `command_server` is to run, a module or our script with its arguments; empty for any other program."""
    words = [os.fspath(word) for word in args] if isinstance(args, Sequence) and not isinstance(args, str) else []
    if words == [EXECUTABLE, *WORKER]:
        return WORKER[1:]
    if words[:1] == [EXECUTABLE]:
        options = words[1:2] if words[1:2] == ["-P"] else []
        module = words[1 + len(options) :]
        return module if module[:1] == ["-m"] and module[1:] and module[1] in MODULES else []
    return words if words and words[0] == str(SCRIPT) else []


def _is_as_here(env: Mapping[str, str]) -> bool:
    read = (name for name in env if name.startswith(READ_AT_START))
    return all(
        env[name] == STARTED_WITH.get(name) or CHANGES_NOTHING.get(name, "") in {env[name], "any"} for name in read
    )


def _adopted(request: Mapping[str, Any], streams: Sequence[int]) -> int:
    """The id of a process that was forked for this request, and whose parent is this process.

    It is the server's grandchild, whose own parent ends at once: the kernel then gives it to the nearest ancestor that
    takes such orphans, which we are for as long as this takes.
    """
    data = json.dumps(request).encode() + b"\n"
    with adopting, socket.socket(socket.AF_UNIX) as line:
        line.connect(_server())
        _take_orphans(True)
        try:
            sent = socket.send_fds(line, [data], streams)
            line.sendall(data[sent:])
            return int(line.makefile().read())
        finally:
            _take_orphans(False)


def _take_orphans(whether: bool) -> None:
    if ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, int(whether), 0, 0, 0):
        raise OSError("prctl refused")


def _server() -> str:
    """The address; the process is started once, and ends with us."""
    global address  # noqa: PLW0603 - a command that starts others has a server of its own
    if not address:
        address = f"\0chomp-{os.getpid()}"
        line = [EXECUTABLE, "-m", "tests.support.command_server", address[1:]]
        server = subprocess.Popen(line, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert server.stdout
        if server.stdout.readline() != b"ready\n":
            raise RuntimeError("the server of commands did not start")
        atexit.register(server.communicate, timeout=10)
    return address
