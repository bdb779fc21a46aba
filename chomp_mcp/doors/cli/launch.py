"""How other programs start chomp-mcp, and in which environment MCP clients do."""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path

__all__ = ["INHERITED", "client_environment", "command"]

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
