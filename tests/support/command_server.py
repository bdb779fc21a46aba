"""`python -m tests.support.command_server PATH`: imports the package once, and forks for each command asked for.

A request on the socket is one line of JSON (`arguments`, `env`, `cwd`) with the file descriptors of the three streams.
The answer is two lines: the process id, then its wait status. The server ends with its own stdin.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import pkgutil
import runpy
import select
import socket
import sys
import threading
import time
import traceback
from contextlib import suppress
from typing import Any, NoReturn

import chomp_mcp

STANDARD_FDS = (0, 1, 2)


def serve(listening: socket.socket) -> None:
    """Fork for each command; returns in the command's own process, and when nobody is left to ask."""
    while True:
        ready, _, _ = select.select([listening, sys.stdin], [], [])
        if sys.stdin in ready:
            os._exit(0)
        line, _ = listening.accept()
        with suppress(ChildProcessError):  # whoever has answered is buried with the next request
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        if os.fork() == 0:
            listening.close()
            answer(line)
            return
        line.close()


def answer(line: socket.socket) -> None:
    """Start the command and tell its end; returns in the command's own process."""
    request, fds = received(line)
    pid = os.fork()
    if pid == 0:
        line.close()
        become(request, fds)
        return
    # The pipes must be the command's alone: whoever reads them waits until nobody can write.
    for fd in fds:
        os.close(fd)
    line.sendall(f"{pid}\n".encode())
    line.sendall(f"{os.waitpid(pid, 0)[1]}\n".encode())
    os._exit(0)


def received(line: socket.socket) -> tuple[dict[str, Any], list[int]]:
    data, fds, _, _ = socket.recv_fds(line, 1 << 16, len(STANDARD_FDS))
    while not data.endswith(b"\n"):
        data += line.recv(1 << 16)
    return json.loads(data), fds


def become(request: dict[str, Any], fds: list[int]) -> None:
    """Take over what a process gets from whoever starts it."""
    for fd, standard in zip(fds, STANDARD_FDS, strict=True):
        os.dup2(fd, standard)
        os.close(fd)
    # The old ones remember what theirs was: a file, that can be sought in, or a terminal.
    for fd, name in enumerate(("stdin", "stdout", "stderr")):
        old = getattr(sys, name)
        new = open(fd, old.mode, 1 if fd == 2 else -1, old.encoding, old.errors, closefd=False)  # noqa: SIM115
        setattr(sys, name, new)
        setattr(sys, f"__{name}__", new)
    os.environ.clear()
    os.environ.update(request["env"])
    time.tzset()
    os.chdir(request["cwd"])
    sys.path[0] = request["cwd"]
    sys.argv[1:] = request["arguments"]


def main(path: str) -> None:
    for module in pkgutil.walk_packages(chomp_mcp.__path__, "chomp_mcp."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    if threading.active_count() > 1:
        raise RuntimeError("an import started a thread, which no fork would have")
    gc.freeze()
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(path)
        listening.listen()
        os.write(1, b"ready\n")
        serve(listening)


def run() -> NoReturn:
    """`python -m chomp_mcp`, and what Python does at its end but for freeing memory: that alone takes 0.1 s."""
    try:
        runpy.run_module("chomp_mcp", run_name="__main__", alter_sys=True)
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # noqa: BLE001 - as the interpreter itself
        traceback.print_exc()
        code = 1
    threading._shutdown()
    atexit._run_exitfuncs()
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        code = 120
    os._exit(code)


if __name__ == "__main__":
    main(sys.argv[1])
    run()
