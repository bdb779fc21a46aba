"""`python -m tests.support.command_server NAME`: imports the package once, and forks for each command asked for.

A request on the abstract socket of that name is one line of JSON (`program`, `env`, `cwd`, `new_session`) with the file
descriptors of the three streams. The answer is the process id, once that process has lost its parent. The server ends
with its own stdin.
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
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

import chomp_mcp
from chomp_mcp import version
from chomp_mcp.doors.http import openapi
from chomp_mcp.routers import catalog, model_facts, prices
from tests.support import commands
from tests.support.offline import stay_offline

STANDARD_FDS = (0, 1, 2)
STARTERS = {"demo", "doctor", "keys", "run", "setup"}
"""Commands that start this program again. What a server starts (workers, the processes of its jobs) is not forked."""
LOADED_LATE = (
    "anyio._backends._asyncio",
    "encodings.idna",
    "encodings.utf_8_sig",
    "filelock",
    "genai_prices.data_snapshot",
    "genai_prices.data_units",
    "keyring",
    "keyring.backends.SecretService",
    "keyring.backends.Windows",
    "keyring.backends.chainer",
    "keyring.backends.kwallet",
    "keyring.backends.libsecret",
    "keyring.backends.macOS",
    "mcp.server.mcpserver",
    "prometheus_client",
    "redis.asyncio",
    "rich.logging",
    "rich.markdown",
    "truststore",
    "uvicorn.lifespan.on",
    "uvicorn.loops.uvloop",
)
"""What our functions import when they are called."""
READ_ONCE = (catalog._built_in, model_facts._shipped, openapi._written, prices._providers, version.version)
"""What they read from the files of the package, and keep."""
OF_THE_TESTS = (
    *("anthropic", "docstring_parser", "httpcore2", "hypothesis", "jsonschema", "openai", "opentelemetry.sdk.trace"),
    *("playwright.async_api", "pytest"),
)
"""What every worker of the tests would import, for seconds."""


def serve(listening: socket.socket) -> dict[str, Any]:
    """Fork for each command; returns its request in the command's own process, and ends when nobody is left to ask."""
    while True:
        ready, _, _ = select.select([listening, 0], [], [])
        if 0 in ready:
            os._exit(0)
        line, _ = listening.accept()
        request, fds = received(line)
        if is_worker(request):
            loaded(OF_THE_TESTS)
        between = os.fork()
        if between == 0:
            listening.close()
            passing = os.getpid()
            pid = os.fork()
            if pid == 0:
                line.close()
                while os.getppid() == passing:  # a program begins with the parent that it keeps
                    time.sleep(0.001)
                become(request, fds)
                is_starter = is_worker(request) or STARTERS.intersection(request["program"][1:3])
                return served_too(request) if is_starter else request
            line.sendall(str(pid).encode())
            os._exit(0)
        # The pipes must be the command's alone: whoever reads them waits until nobody can write.
        for fd in fds:
            os.close(fd)
        os.waitpid(between, 0)
        line.close()


def is_worker(request: dict[str, Any]) -> bool:
    return bool(request["program"] == commands.WORKER[1:])


def loaded(modules: Iterable[str]) -> None:
    for module in modules:
        importlib.import_module(module)
    if threading.active_count() > 1:
        raise RuntimeError("an import started a thread, which no fork would have")
    gc.freeze()


def received(line: socket.socket) -> tuple[dict[str, Any], list[int]]:
    data, fds, _, _ = socket.recv_fds(line, 1 << 16, len(STANDARD_FDS))
    while not data.endswith(b"\n"):
        data += line.recv(1 << 16)
    return json.loads(data), fds


def become(request: dict[str, Any], fds: list[int]) -> None:
    """Take over what a process gets from whoever starts it."""
    if request["new_session"]:
        os.setsid()
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
    program, *arguments = request["program"]
    sys.path[0] = request["cwd"] if program == "-m" else str(Path(program).parent)
    sys.argv[:] = [program, *arguments[program == "-m" :]]
    sys.orig_argv[:] = [sys.executable, *request["program"]]


def main(name: str) -> dict[str, Any]:
    found = (module.name for module in pkgutil.walk_packages(chomp_mcp.__path__, "chomp_mcp."))
    stay_offline()
    for read in READ_ONCE:
        read()
    loaded((*(module for module in found if not module.endswith("__main__")), *LOADED_LATE))
    with listening_at(name) as listening:
        os.write(1, b"ready\n")
        return serve(listening)


def listening_at(name: str) -> socket.socket:
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(f"\0{name}")
    listening.listen()
    return listening


def served_too(request: dict[str, Any]) -> dict[str, Any]:
    """What this command starts is forked as well, by a child of its own: returns in the command, and in those."""
    theirs, ours = os.pipe()
    name = f"chomp-{os.getpid()}"
    listening = listening_at(name)
    if os.fork():
        listening.close()
        os.close(theirs)
        commands.address = f"\0{name}"
        subprocess.Popen = commands.Forked  # type: ignore[misc]
        return request
    os.close(ours)
    os.dup2(theirs, 0)
    os.close(theirs)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for standard in STANDARD_FDS[1:]:
        os.dup2(nowhere, standard)
    os.close(nowhere)
    with listening:
        return serve(listening)


def run(program: str, module: str = "", *_: str) -> NoReturn:
    """`python -m chomp_mcp`, and what Python does at its end but for freeing memory: that alone takes 0.1 s."""
    try:
        if program == "-c":
            sys.modules["__main__"] = ModuleType("__main__")
            exec(module, vars(sys.modules["__main__"]))
        elif program == "-m":
            runpy.run_module(module, run_name="__main__", alter_sys=True)
        else:
            runpy.run_path(program, run_name="__main__")
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except KeyboardInterrupt:
        traceback.print_exc()
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
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
    run(*main(sys.argv[1])["program"])
