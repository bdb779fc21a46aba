"""How other programs start chomp-mcp, and in which environment MCP clients do."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path

__all__ = ["INHERITED", "client_environment", "command", "lasting_command", "typed_command"]

NAME = "chomp-mcp"

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


def lasting_command() -> list[str]:
    """The command for a client's configuration: what `uvx` and `pipx run` unpack into a cache is gone one day."""
    found = command()
    if not any(map(_is_cache, (Path(found[0]), Path(sys.prefix)))):
        return found
    return [shutil.which("uvx") or "uvx", "chomp-mcp"]


def typed_command() -> str:
    """What a person types here to start it again: the name where the PATH finds this very installation, else a path."""
    lasting = lasting_command()
    if lasting != (found := command()):
        return shlex.join([Path(lasting[0]).name, *lasting[1:]])
    on_path = shutil.which(NAME)
    if on_path and Path(on_path).resolve() == Path(found[0]).resolve():
        return NAME
    path = Path(found[0])
    shown = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
    return shlex.join([str(shown), *found[1:]])


def _is_cache(path: Path) -> bool:
    """Below uv's cache (its buckets are called archive-v0, environments-v2 …), or pipx's."""
    if any(re.fullmatch(r"(archive|environments|builds)-v\d+", part) for part in path.parts):
        return True
    pipx = os.environ.get("PIPX_HOME")
    caches = [os.environ.get("UV_CACHE_DIR"), pipx and Path(pipx) / ".cache"]
    pairs = zip(path.parts, path.parts[1:], strict=False)
    return ("pipx", ".cache") in pairs or any(folder and path.is_relative_to(folder) for folder in caches)


def client_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """What an MCP client leaves of the environment when it starts the server; CHOMP_HOME as its entry sets it."""
    return {name: environ[name] for name in (*INHERITED, "CHOMP_HOME") if name in environ}
