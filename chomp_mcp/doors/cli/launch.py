"""How other programs start chomp-mcp, and in which environment MCP clients do."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from chomp_mcp.doors.cli.parser import RUN_JOB
from chomp_mcp.errors import StoreError

if TYPE_CHECKING:
    from chomp_mcp.gateway.jobs import JobRunner
    from chomp_mcp.messages import Caller, ChatRequest, Job

__all__ = ["INHERITED", "client_environment", "command", "detached", "dispatch"]

INHERITED = (
    ("HOME", "LOGNAME", "PATH", "SHELL", "TERM", "USER")
    if os.name != "nt"
    else (
        "APPDATA", "HOMEDRIVE", "HOMEPATH", "LOCALAPPDATA", "PATH", "PATHEXT", "PROCESSOR_ARCHITECTURE",
        "SYSTEMDRIVE", "SYSTEMROOT", "TEMP", "USERNAME", "USERPROFILE",
    )
)  # fmt: skip
"""All that the official SDKs hand on to a stdio server (mcp.client.stdio and its TypeScript twin)."""


def command() -> list[str]:
    """The absolute command that starts this installation: the script beside the interpreter, else the module."""
    name = "chomp-mcp.exe" if os.name == "nt" else "chomp-mcp"
    for folder in (Path(sys.executable).parent, Path(sysconfig.get_path("scripts"))):
        if (folder / name).is_file():
            return [str(folder / name)]
    return [sys.executable, "-m", "chomp_mcp"]


def client_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """What an MCP client leaves of the environment when it starts the server; CHOMP_HOME as its entry sets it."""
    return {name: environ[name] for name in (*INHERITED, "CHOMP_HOME") if name in environ}


async def dispatch(jobs: JobRunner, caller: Caller, request: ChatRequest, *, prompt: str, system: str = "") -> Job:
    """Store a job and start the process that runs it, which outlives this one.

    Raises:
        ChompError: what `JobRunner.enqueue` raises.
        StoreError: the process could not be started; the job is cancelled then.
    """
    job = await jobs.enqueue(caller, request, prompt=prompt, system=system)
    try:
        detached([RUN_JOB, job.id])
    except OSError as error:
        await jobs.cancel(caller, job.id)
        raise StoreError(f"The job's process could not be started: {error.strerror}.", hint="Try again.") from None
    return job


def detached(arguments: Sequence[str]) -> None:
    """Start `python -m chomp_mcp …` as a process of its own that outlives this one and its terminal.

    `-P` keeps files of the working directory from shadowing modules.

    Raises:
        OSError: the process could not be started.
    """
    subprocess.Popen(
        [sys.executable, "-P", "-m", "chomp_mcp", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        creationflags=getattr(subprocess, "DETACHED_PROCESS", 0) | getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
    )
